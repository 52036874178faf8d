//! HOME for a command that is given none: its user's directory in the container's /etc/passwd, else `/`. Engines rely on their runtime for it (runc,
//! crun). The file is the image's: it may be anything, of any size. Called with the container's root as `/`.

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use std::borrow::Cow;
use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

/// More than any system has users for.
const PASSWD_BYTES_MAX: u64 = 1 << 20;

pub fn complete(environment: &[CString], uid: u32) -> Cow<'_, [CString]> {
    let is_given = |entry: &CString| entry.to_bytes().strip_prefix(b"HOME=").is_some_and(|value| !value.is_empty());
    if environment.iter().any(is_given) {
        return Cow::Borrowed(environment);
    }
    let home = open_passwd().and_then(|passwd| home_of(uid, passwd)).unwrap_or_else(|| b"/".to_vec());
    let mut environment: Vec<CString> = environment.iter().filter(|entry| entry.to_bytes() != b"HOME=").cloned().collect();
    environment.extend(CString::new([b"HOME=", home.as_slice()].concat()));
    Cow::Owned(environment)
}

/// Neither waits for what is no file nor reads it.
fn open_passwd() -> Option<File> {
    let passwd = open("/etc/passwd", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let is_file = fstat(&passwd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    is_file.then(|| passwd.into())
}

/// The sixth of the fields of the first line for the user: `name:password:uid:gid:name:home:shell`.
fn home_of(uid: u32, passwd: impl Read) -> Option<Vec<u8>> {
    let uid = uid.to_string();
    let lines = BufReader::new(passwd.take(PASSWD_BYTES_MAX)).split(b'\n').map_while(std::io::Result::ok);
    let homes = lines.filter_map(|line| {
        let fields: Vec<&[u8]> = line.splitn(7, |byte| *byte == b':').collect();
        (fields.len() >= 6 && fields[2] == uid.as_bytes()).then(|| fields[5].to_vec())
    });
    homes.into_iter().next().filter(|home| !home.is_empty() && !home.contains(&0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_the_user_tells() {
        let passwd = b"# comment\nroot:x:0:0:root:/root:/bin/sh\nshort:x:5\nfive:x:5:5::/home/five\nagain:x:5:5::/other:\nempty:x:6:6:::\n";
        let home = |uid| home_of(uid, passwd.as_slice()).map(|home| String::from_utf8(home).unwrap());
        assert_eq!(home(0).as_deref(), Some("/root"));
        assert_eq!(home(5).as_deref(), Some("/home/five"));
        assert_eq!((home(6), home(7)), (None, None));
        assert_eq!(home_of(0, std::io::repeat(b'x')), None);
    }

    #[test]
    fn what_is_given_stays() {
        let entries = |list: &[&str]| list.iter().map(|entry| CString::new(*entry).unwrap()).collect::<Vec<_>>();
        assert_eq!(complete(&entries(&["HOME=/mine", "A=1"]), 0).as_ref(), entries(&["HOME=/mine", "A=1"]));
        let empty = entries(&["HOME=", "A=1"]);
        assert_eq!(complete(&empty, u32::MAX).as_ref(), entries(&["A=1", "HOME=/"]));
    }
}
