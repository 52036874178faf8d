//! Layers as files: indexes, EROFS images, directory trees, tars and their framing. The formats are those of docs/native.md.
//! Input (contexts, archives, uppers) is hostile: nothing outside the output paths is ever written.

mod archive;
mod beneath;
mod contents;
mod copy_tree;
mod data_reader;
mod data_writer;
mod directory_writer;
mod entry;
mod erofs;
pub mod error;
mod export;
mod extract;
mod framing;
mod gap;
mod image_writer;
mod in_root;
mod index;
mod layer_tree;
mod like;
mod live_tar;
mod measure;
mod owner;
mod pack;
mod place_tree;
mod remove;
mod retime;
mod scan;
mod stack;
mod stat_cache;
mod summary;
mod tar_header;
mod tar_reader;
mod tar_special;
mod tar_writer;
mod tree_tar;
mod unpack;
mod verify;
mod walk;
mod write_layer;
mod xattrs;

pub use copy_tree::{CopySummary, copy_tree};
pub use data_reader::read_range;
pub use entry::{Digest, Entry, Kind};
pub use error::{NativeError, Result};
pub use export::{Compression, FileSum, Layer, TarSummary, export_tar, sha256};
pub use extract::{Extracted, Target, extract_tar};
pub use gap::{Gap, GapLayer};
pub use in_root::{Spot, resolve};
pub use live_tar::write_live_tar;
pub use measure::{Measure, measure};
pub use owner::{set_owner, set_owner_at};
pub use pack::{index_upper, pack_dir, pack_upper};
pub use place_tree::place_tree;
pub use remove::remove;
pub use retime::retime;
pub use scan::{ScanSummary, scan};
pub use stack::{Stack, StackLayer};
pub use summary::{Driver, LayerSummary};
pub use tree_tar::write_tree_tar;
pub use unpack::{UnpackOptions, UnpackSummary, unpack};
pub use verify::{IndexSummary, verify, verify_index};
pub use write_layer::{LayerRequest, parse_digest, write_layer};

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
mod tests;
