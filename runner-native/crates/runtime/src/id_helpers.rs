//! newuidmap and newgidmap: programs with more rights than ours that map the ids which /etc/subuid and /etc/subgid give an account
//! (shadow-utils: newuidmap(1), subuid(5)). What is in the two files is only looked at here; the programs check it.

use crate::error::{NAMESPACE, NativeError, Result};
use rustix::process::Pid;
use std::io;
use std::process::{Command, Stdio};

/// The operation of an error that leaves a process without any map.
pub const FIRST: &str = "newuidmap";
const SECOND: &str = "newgidmap";

type Ranges = Vec<(u32, u32)>;

/// First id and number of the uids, and of the gids; else why there are none.
pub fn ids_of_account(uid: u32) -> std::result::Result<(Ranges, Ranges), String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let passwd = read("/etc/passwd");
    let name = name_of(&passwd, uid);
    let (uids, gids) = (ranges_of(&read("/etc/subuid"), name, uid), ranges_of(&read("/etc/subgid"), name, uid));
    if uids.is_empty() || gids.is_empty() {
        return Err(format!("/etc/subuid and /etc/subgid give {} no further ids", name.unwrap_or(&uid.to_string())));
    }
    Ok((uids, gids))
}

fn name_of(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// Lines are `name or uid:first:number`; what is none is none of ours.
fn ranges_of(text: &str, name: Option<&str>, uid: u32) -> Ranges {
    let mut all: Ranges = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [account, first, number] = fields[..] else { continue };
        let is_ours = Some(account) == name || account.parse() == Ok(uid);
        if let (true, Ok(first), Ok(number)) = (is_ours, first.parse(), number.parse())
            && number > 0
            && !all.contains(&(first, number))
        {
            all.push((first, number));
        }
    }
    all
}

/// `maps`: lines of uid_map and gid_map.
pub fn map(process: Pid, uids: &str, gids: &str) -> Result<()> {
    run(FIRST, process, uids)?;
    run(SECOND, process, gids)
}

fn run(helper: &str, process: Pid, map: &str) -> Result<()> {
    let failed = |detail: String| NativeError::new(NAMESPACE, helper).detail(detail);
    let mut command = Command::new(helper);
    command.arg(process.as_raw_nonzero().to_string()).args(map.split_whitespace());
    let output = command.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(format!("{helper} is missing: Debian has it in uidmap")),
        _ => failed(format!("cannot execute {helper}: {error}")),
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(format!("{helper} failed: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_name_and_by_its_number() {
        let name = name_of("root:x:0:0::/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n", 1000);
        assert_eq!(name, Some("ana"));
        let text = "root:1:9\nana:100000:65536\n\nana:broken:1\nana:7:0\n1000:400000:5\nana:100000:65536\nanastasia:5:5\n";
        assert_eq!(ranges_of(text, name, 1000), [(100_000, 65_536), (400_000, 5)]);
        assert_eq!(ranges_of(text, None, 1000), [(400_000, 5)]);
    }
}
