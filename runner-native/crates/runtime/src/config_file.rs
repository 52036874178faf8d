//! config.json, and what else a caller gives as JSON, from a file to data: a bound for what is read, and for what no string may hold.
//! Knows nothing of what the fields mean.

use crate::error::{CONFIG, Context, NativeError, Result};
use crate::spec::Config;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What the kernel takes of arguments and variables is less, and so is what anyone writes.
const BYTES_MAX: u64 = 8 << 20;

/// A file of the caller's, which may be of any size or have no end.
pub fn read(path: &Path) -> Result<String> {
    read_from(File::open(path).at(CONFIG, "read", path)?, path)
}

/// `path`: what errors call it.
pub fn read_from(file: impl Read, path: &Path) -> Result<String> {
    let mut text = String::new();
    file.take(BYTES_MAX + 1).read_to_string(&mut text).at(CONFIG, "read", path)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(wrong(path.display(), format!("is larger than {} MiB", BYTES_MAX >> 20)));
    }
    Ok(text)
}

pub fn parse(text: &str) -> Result<Config> {
    parse_as("config.json", text)
}

/// `file`: its name, for errors.
pub fn parse_as<T: DeserializeOwned>(file: &str, text: &str) -> Result<T> {
    // No path, argument or value of the kernel's can hold one; it would end there, and be another.
    if has_zero_byte(text) {
        return Err(wrong(file, "a string in it contains a zero byte"));
    }
    serde_json::from_str(text).map_err(|error| wrong(file, error))
}

/// JSON can say one in a single way.
fn has_zero_byte(text: &str) -> bool {
    let is_escape = |at: usize| text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0;
    text.match_indices("\\u0000").any(|(at, _)| is_escape(at))
}

fn wrong(file: impl Display, detail: impl Display) -> NativeError {
    NativeError::new(CONFIG, "read").path(file.to_string()).detail(format!("{file}: {detail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_byte_is_refused_wherever_it_stands() {
        for text in [r#"{"hostname":"a\u0000"}"#, r#"{"annotations":{"\u0000":""}}"#, r#"{"hostname":"\\\u0000"}"#] {
            assert!(parse(text).err().unwrap().detail.contains("zero byte"), "{text}");
        }
        assert_eq!(parse(r#"{"hostname":"\\u0000"}"#).unwrap().hostname, "\\u0000");
    }

    #[test]
    fn a_file_without_end_is_too_large() {
        assert!(read(Path::new("/dev/zero")).unwrap_err().detail.contains("larger than 8 MiB"));
    }
}
