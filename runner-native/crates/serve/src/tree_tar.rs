//! `tbuild-runner tree-tar`: a tar of what stacks of layers show, to standard output, whatever that is; what is wanted comes as JSON on standard input.

use std::io;

use serde::Deserialize;
use tbuild_layers::{NativeError, Stack};

#[derive(Deserialize)]
struct TreeTar {
    stacks: Vec<Stack>,
    mtime: Option<i64>,
}

pub fn tree_tar() -> Result<(), NativeError> {
    let TreeTar { stacks, mtime } = serde_json::from_reader(io::stdin())
        .map_err(|error| NativeError::new("native/bad-request", "tree-tar").detail(error.to_string()))?;
    tbuild_layers::write_tree_tar(&stacks, rustix::stdio::stdout(), mtime)
}
