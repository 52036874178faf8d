//! `tbuild-runner serve`: file work for one tbuild process, one JSON request a line on stdin, one JSON answer a line on stdout.

use std::io;

/// Answers requests until stdin ends.
pub fn main() -> io::Result<()> {
    Ok(())
}
