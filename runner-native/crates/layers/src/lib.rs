//! Layers as files: indexes, EROFS images, directory trees, tars and their framing. The formats are those of docs/native.md.
//! Input (contexts, archives, uppers) is hostile: nothing outside the output paths is ever written.

pub mod error;
mod summary;

use std::path::Path;

pub use error::{NativeError, Result};
pub use summary::{Driver, LayerSummary};

/// A directory as a layer: `<out>.index` with `<out>.erofs` or the tree `<out>/`. With `overlay_upper` the directory is what overlayfs wrote.
pub fn pack_dir(_driver: Driver, _out: &Path, _dir: &Path, _overlay_upper: bool) -> Result<LayerSummary> {
    Err(NativeError::new("native/unsupported", "pack").detail("not here yet"))
}
