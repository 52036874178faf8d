//! What the commands of an OCI runtime read their arguments with, and the error for those that cannot be.

use std::path::PathBuf;
use tbuild_runtime::error::{Context, NativeError, Result, USAGE};

pub fn text(parser: &mut lexopt::Parser) -> Result<String> {
    parser.value().map_err(wrong)?.into_string().map_err(|value| usage(format!("{} is not text", value.to_string_lossy())))
}

pub fn absolute(parser: &mut lexopt::Parser) -> Result<PathBuf> {
    let value = parser.value().map_err(wrong)?;
    std::path::absolute(&value).at(USAGE, "resolve", &value)
}

pub fn number(parser: &mut lexopt::Parser, flag: &str) -> Result<u32> {
    let value = text(parser)?;
    value.parse().map_err(|_| usage(format!("{flag} takes a number, not {value:?}")))
}

pub fn the_one(ids: &[String]) -> Result<&str> {
    match ids {
        [id] => Ok(id),
        [] => Err(usage("a container's id is missing")),
        [_, second, ..] => Err(usage(format!("one container's id is enough: {second:?} is too much"))),
    }
}

pub fn wrong(error: lexopt::Error) -> NativeError {
    usage(error.to_string())
}

pub fn usage(detail: impl Into<String>) -> NativeError {
    NativeError::new(USAGE, "read the arguments").detail(detail)
}
