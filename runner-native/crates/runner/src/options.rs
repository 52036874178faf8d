//! Options before the operands, each with a value: all that the commands of this binary have.

use crate::arguments::usage;
use std::ffi::{OsStr, OsString};
use tbuild_runtime::error::Result;

pub struct Options<'a> {
    given: Vec<(&'a OsStr, &'a OsStr)>,
    /// From the first word that is no option.
    pub operands: &'a [OsString],
}

impl<'a> Options<'a> {
    pub fn read(arguments: &'a [OsString], known: &[&str]) -> Result<Self> {
        let mut given = Vec::new();
        let mut operands = arguments;
        while let [name, after @ ..] = operands
            && name.as_encoded_bytes().starts_with(b"-")
        {
            let shown = name.to_string_lossy();
            if !known.contains(&shown.as_ref()) {
                return Err(usage(format!("unknown option {shown}")));
            }
            let [value, after @ ..] = after else { return Err(usage(format!("{shown} needs a value"))) };
            given.push((name.as_os_str(), value.as_os_str()));
            operands = after;
        }
        Ok(Self { given, operands })
    }

    /// The last one given under any of the names.
    pub fn value(&self, names: &[&str]) -> Option<&'a OsStr> {
        self.given.iter().rfind(|(name, _)| names.iter().any(|known| name == known)).map(|(_, value)| *value)
    }
}
