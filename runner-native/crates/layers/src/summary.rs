//! What the caller learns about a finished layer.

use serde::{Deserialize, Serialize};

/// How a layer's tree is kept: an EROFS image, or a plain directory where EROFS cannot be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    Erofs,
    Directory,
}

/// A *layer summary* of docs/native.md. Digests are hex; paths are those of the finished files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerSummary {
    pub id: String,
    pub tree: String,
    pub index: String,
    pub data: String,
    pub bytes: u64,
    pub entries: u64,
    pub data_bytes: u64,
}
