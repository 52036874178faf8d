//! The keys that leave a container to itself: `ctrl-p,ctrl-q`, or others as docker's --detach-keys names them.

use tbuild_runtime::error::{NativeError, Result, USAGE};

#[derive(Clone)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them were pressed last.
    pressed: usize,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self { keys: vec![0x10, 0x11], pressed: 0 }
    }
}

impl DetachKeys {
    pub fn none() -> Self {
        Self { keys: Vec::new(), pressed: 0 }
    }

    /// Letters and `ctrl-` with a letter or one of `@ [ \ ] ^ _`, separated by commas.
    pub fn read(text: &str) -> Result<Self> {
        let keys = text.split(',').map(|key| key_code(key).ok_or_else(|| unknown(text, key))).collect::<Result<_>>()?;
        Ok(Self { keys, pressed: 0 })
    }

    /// What of it is to be handed on; None: all keys have been pressed, one after the other.
    pub fn pass(&mut self, typed: &[u8]) -> Option<Vec<u8>> {
        if self.keys.is_empty() {
            return Some(typed.to_vec());
        }
        let mut passed = Vec::with_capacity(typed.len());
        for &byte in typed {
            if byte != self.keys[self.pressed] {
                passed.extend_from_slice(&self.keys[..self.pressed]);
                self.pressed = 0;
            }
            if byte != self.keys[self.pressed] {
                passed.push(byte);
                continue;
            }
            self.pressed += 1;
            if self.pressed == self.keys.len() {
                return None;
            }
        }
        Some(passed)
    }
}

fn key_code(key: &str) -> Option<u8> {
    match (key.strip_prefix("ctrl-").map(str::as_bytes), key.as_bytes()) {
        (Some([letter @ (b'a'..=b'z' | b'A'..=b'Z')]), _) => Some(letter.to_ascii_lowercase() - b'a' + 1),
        (Some([other @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]), _) => Some(other - b'@'),
        (None, [only]) if only.is_ascii() => Some(*only),
        _ => None,
    }
}

fn unknown(text: &str, key: &str) -> NativeError {
    let detail = format!("invalid detach keys ({text}): unknown character: '{key}'");
    NativeError::new(USAGE, "read the keys").detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_by_name() {
        for (text, expected) in [("ctrl-p,ctrl-q", vec![16, 17]), ("a", vec![97]), ("ctrl-@,x", vec![0, 120]), ("ctrl-\\", vec![28])] {
            assert_eq!(DetachKeys::read(text).unwrap().keys, expected, "{text}");
        }
        for text in ["", "ctrl-", "ab", "ctrl-1", "a,,b"] {
            assert!(DetachKeys::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_only_begins_like_them_is_handed_on() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.pass(b"a\x10").unwrap(), b"a");
        assert_eq!(keys.pass(b"\x10b").unwrap(), b"\x10\x10b");
        assert_eq!(keys.pass(b"\x10").unwrap(), b"");
        assert!(keys.pass(b"\x11").is_none());
    }
}
