//! Layers as files: indexes, EROFS images, directory trees, tars and their framing. The formats are those of docs/native.md.
//! Input (contexts, archives, uppers) is hostile: nothing outside the output paths is ever written.

mod beneath;
mod contents;
mod data_reader;
mod data_writer;
mod directory_writer;
mod entry;
mod erofs;
pub mod error;
mod image_writer;
mod index;
mod pack;
mod remove;
mod scan;
mod summary;
mod walk;
mod write_layer;
mod xattrs;

pub use error::{NativeError, Result};
pub use pack::pack_dir;
pub use remove::remove;
pub use scan::{ScanSummary, scan};
pub use summary::{Driver, LayerSummary};
pub use write_layer::{LayerRequest, write_layer};
