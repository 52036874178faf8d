//! The container's log, as docker's json-file has it: a line of JSON for each line of output, with its stream and time. Rotated by size. Never in the
//! container's way: what a full disk has no room for is counted, and told in the log when there is room again. A line is there whole or not at all.

use crate::spec::LogSpec;
use rustix::fs::{FileType, Mode, OFlags, SeekFrom, fstat, ftruncate, open, seek};
use rustix::io::{Errno, retry_on_intr, write};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tbuild_runtime::error::{Context, Result, STATE};
use tbuild_runtime::record::timestamp;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What has no end of line after this is an entry without one (moby: daemon/logger/copier.go).
const ENTRY_BYTES_MAX: usize = 16 << 10;

pub struct Log {
    /// None: nothing is kept.
    file: Option<LogFile>,
    /// Of each stream what has no end of line yet.
    begun: [Vec<u8>; 2],
    lost: Lost,
}

#[derive(Default)]
struct Lost {
    entries: u64,
    bytes: u64,
}

impl Log {
    pub fn open(spec: Option<&LogSpec>) -> Result<Self> {
        let file = spec.map(LogFile::open).transpose()?;
        Ok(Self { file, begun: [Vec::new(), Vec::new()], lost: Lost::default() })
    }

    pub fn take(&mut self, stream: Stream, mut bytes: &[u8]) {
        if self.file.is_none() {
            return;
        }
        let time = now();
        let mut lines = Vec::new();
        let mut begun = std::mem::take(&mut self.begun[stream as usize]);
        while !bytes.is_empty() {
            let room = ENTRY_BYTES_MAX - begun.len();
            let end = bytes.iter().take(room).position(|byte| *byte == b'\n').map(|at| at + 1);
            let (now, later) = bytes.split_at(end.unwrap_or(room.min(bytes.len())));
            bytes = later;
            begun.extend_from_slice(now);
            if end.is_some() {
                self.add(&mut lines, &entry(stream, &begun, &time));
                begun.clear();
            } else if begun.len() == ENTRY_BYTES_MAX {
                let whole = begun.len() - incomplete_character(&begun);
                self.add(&mut lines, &entry(stream, &begun[..whole], &time));
                begun.drain(..whole);
            }
        }
        self.begun[stream as usize] = begun;
        self.write(&lines);
    }

    /// The container has ended: what it began to write is all there will be.
    pub fn finish(&mut self) {
        let time = now();
        let mut lines = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let begun = std::mem::take(&mut self.begun[stream as usize]);
            if !begun.is_empty() && self.file.is_some() {
                self.add(&mut lines, &entry(stream, &begun, &time));
            }
        }
        self.write(&lines);
    }

    /// Puts an entry behind those to be written; where they would be too much for one file, those go first.
    fn add(&mut self, lines: &mut Vec<u8>, entry: &[u8]) {
        let is_too_much = self.file.as_ref().is_some_and(|file| file.is_full_with(lines.len() + entry.len()));
        if is_too_much {
            self.write(lines);
            lines.clear();
            self.file.iter_mut().for_each(LogFile::rotate);
        }
        lines.extend_from_slice(entry);
    }

    fn write(&mut self, lines: &[u8]) {
        let Some(file) = &mut self.file else { return };
        if self.lost.entries > 0 {
            let said = format!(
                "tbuild: {} entries of this log ({} bytes) were lost, for they could not be written\n",
                self.lost.entries, self.lost.bytes
            );
            if !file.append(&entry(Stream::Stderr, said.as_bytes(), &now())).is_empty() {
                return self.lose(lines);
            }
            self.lost = Lost::default();
        }
        let rest = file.append(lines);
        self.lose(rest);
    }

    fn lose(&mut self, lines: &[u8]) {
        self.lost.entries += lines.split_inclusive(|byte| *byte == b'\n').count() as u64;
        self.lost.bytes += lines.len() as u64;
    }
}

fn now() -> String {
    timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// What is no UTF-8 cannot be JSON: U+FFFD stands for it, as with docker.
fn entry(stream: Stream, text: &[u8], time: &str) -> Vec<u8> {
    let text = serde_json::to_string(&String::from_utf8_lossy(text)).unwrap_or_default();
    let stream = if stream == Stream::Stdout { "stdout" } else { "stderr" };
    format!("{{\"log\":{text},\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n").into_bytes()
}

/// How many bytes at the end begin a character of UTF-8 that goes on.
fn incomplete_character(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last() {
        Some(chunk) if chunk.invalid().len() < 4 && !chunk.invalid().is_empty() => match std::str::from_utf8(chunk.invalid()) {
            Err(error) if error.error_len().is_none() => chunk.invalid().len(),
            _ => 0,
        },
        _ => 0,
    }
}

struct LogFile {
    path: PathBuf,
    max_bytes: Option<u64>,
    max_files: u32,
    /// None: it could not be made anew after a rotation.
    fd: Option<OwnedFd>,
    size_bytes: u64,
}

impl LogFile {
    fn open(spec: &LogSpec) -> Result<Self> {
        let opened = open_file(&spec.path).at(STATE, "open the log", &spec.path)?;
        let size_bytes = forget_torn_entry(&opened).at(STATE, "read the log", &spec.path)?;
        Ok(Self { path: spec.path.clone(), max_bytes: spec.max_bytes, max_files: spec.max_files.max(1), fd: Some(opened), size_bytes })
    }

    /// An entry that is larger than a file may be has one to itself.
    fn is_full_with(&self, more: usize) -> bool {
        self.max_bytes.is_some_and(|max| self.size_bytes + more as u64 > max)
    }

    /// Entries, as many as there is room for. Returns what could not be written.
    fn append<'a>(&mut self, entries: &'a [u8]) -> &'a [u8] {
        match self.try_append(entries) {
            Ok(written) => &entries[written..],
            Err(_) => entries,
        }
    }

    /// How many bytes are there now, to the end of an entry.
    fn try_append(&mut self, entries: &[u8]) -> rustix::io::Result<usize> {
        if self.fd.is_none() {
            self.fd = Some(open_file(&self.path)?);
        }
        let Some(fd) = &self.fd else { return Err(Errno::BADF) };
        let mut written = 0;
        while written < entries.len() {
            match retry_on_intr(|| write(fd, &entries[written..])) {
                Ok(count) => written += count,
                Err(_) => break,
            }
        }
        // Others may have emptied it meanwhile.
        self.size_bytes = fstat(fd)?.st_size as u64;
        let whole = entries[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < written {
            self.size_bytes = self.size_bytes.saturating_sub((written - whole) as u64);
            ftruncate(fd, self.size_bytes)?;
        }
        Ok(whole)
    }

    /// `log` becomes `log.1`, and so on; the oldest goes.
    fn rotate(&mut self) {
        if self.size_bytes == 0 {
            return;
        }
        let numbered = |number: u32| -> PathBuf {
            match number {
                0 => self.path.clone(),
                _ => PathBuf::from(format!("{}.{number}", self.path.display())),
            }
        };
        if self.max_files == 1 {
            let _ = std::fs::remove_file(&self.path);
        }
        for number in (0..self.max_files - 1).rev() {
            let _ = std::fs::rename(numbered(number), numbered(number + 1));
        }
        self.fd = open_file(&self.path).ok();
        self.size_bytes = 0;
    }
}

fn open_file(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    open(path, flags, Mode::RUSR | Mode::WUSR)
}

/// A monitor that was killed, or a machine that crashed, may have left half an entry at the end. Returns the size.
fn forget_torn_entry(file: &OwnedFd) -> std::io::Result<u64> {
    const LOOK_BYTES: u64 = 128 << 10; // more than an entry takes, escapes and all
    let stat = fstat(file)?;
    let size = stat.st_size as u64;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || size == 0 {
        return Ok(size);
    }
    let start = size.saturating_sub(LOOK_BYTES);
    let mut end = vec![0; (size - start) as usize];
    File::from(file.as_fd().try_clone_to_owned()?).read_exact_at(&mut end, start)?;
    let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(start, |at| start + at as u64 + 1);
    ftruncate(file, whole)?;
    seek(file, SeekFrom::End(0))?;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(directory: &Path, max_bytes: Option<u64>, max_files: u32) -> Log {
        Log::open(Some(&LogSpec { path: directory.join("log"), max_bytes, max_files })).unwrap()
    }

    fn texts(path: &Path) -> Vec<String> {
        let lines = std::fs::read_to_string(path).unwrap();
        lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["log"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn an_entry_is_a_line_and_what_is_too_long_for_one_is_several() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(directory.path(), None, 1);
        log.take(Stream::Stdout, b"one\ntw");
        log.take(Stream::Stderr, b"other\n");
        log.take(Stream::Stdout, b"o\n\nthe end");
        log.take(Stream::Stdout, "ü".repeat(10_000).as_bytes());
        log.finish();
        let texts = texts(&directory.path().join("log"));
        assert_eq!(texts[..4], ["one\n", "other\n", "two\n", "\n"]);
        assert_eq!(texts[4..].concat(), format!("the end{}", "ü".repeat(10_000)));
        assert_eq!(texts.len(), 6);
        assert!(texts[4].len() <= ENTRY_BYTES_MAX);
    }

    #[test]
    fn rotated_files_lose_no_entry_and_are_no_more_than_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(directory.path(), Some(1000), 3);
        for number in 0..100 {
            log.take(Stream::Stdout, format!("{number}\n").as_bytes());
        }
        let names = ["log.2", "log.1", "log"];
        let all: Vec<String> = names.iter().flat_map(|name| texts(&directory.path().join(name))).collect();
        let last = (100 - all.len()..100).map(|number| format!("{number}\n")).collect::<Vec<_>>();
        assert_eq!(all, last);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
        for name in names {
            assert!(std::fs::metadata(directory.path().join(name)).unwrap().len() <= 1000);
        }
    }

    #[test]
    fn half_an_entry_at_the_end_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        log(directory.path(), None, 1).take(Stream::Stdout, b"one\n");
        let path = directory.path().join("log");
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"log\":\"tw")).unwrap();
        log(directory.path(), None, 1).take(Stream::Stdout, b"three\n");
        assert_eq!(texts(&path), ["one\n", "three\n"]);
    }

    #[test]
    fn what_cannot_be_written_is_told_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = log(directory.path(), None, 1);
        // A descriptor that takes no writes, as on a disk that is full.
        let writable = log.file.as_mut().unwrap().fd.take();
        log.file.as_mut().unwrap().fd = Some(open("/dev/full", OFlags::RDWR, Mode::empty()).unwrap());
        log.take(Stream::Stdout, b"lost\nlost too\n");
        log.file.as_mut().unwrap().fd = writable;
        log.take(Stream::Stdout, b"kept\n");
        let texts = texts(&path);
        assert!(texts[0].starts_with("tbuild: 2 entries of this log"), "{texts:?}");
        assert_eq!(texts[1], "kept\n");
    }
}
