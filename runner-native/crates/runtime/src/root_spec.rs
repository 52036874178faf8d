//! SPEC of `with-root`, as docs/native.md defines it: data only.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::path::PathBuf;
use tbuild_layers::{Driver, GapLayer};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootSpec {
    pub scratch: PathBuf,
    /// Bottom to top.
    pub layers: Vec<Layer>,
    #[serde(default)]
    pub stub: Vec<Stub>,
    #[serde(default)]
    pub make: Vec<MadeDirectory>,
    pub upper: Option<Upper>,
    /// That of config.json: what the root is made of is shown under its ids.
    pub userns: Option<UserNamespace>,
    #[serde(default)]
    pub files: Vec<File>,
    /// The container is to have a network of its own: then these are its files, in the place of those of the same names.
    pub own_network: Option<Vec<File>>,
    #[serde(default)]
    pub mounts: Vec<FurtherRoot>,
    /// Handed on as it was written: other runtimes know fields that we do not.
    pub config: Box<RawValue>,
    pub commit: Option<Commit>,
}

impl RootSpec {
    pub fn is_traced(&self) -> bool {
        self.layers.iter().chain(self.mounts.iter().flat_map(|root| &root.layers)).any(|layer| layer.traced().is_some())
    }
}

#[derive(Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Layer {
    Erofs {
        erofs: PathBuf,
        #[serde(default, rename = "loop")]
        by_loop: bool,
    },
    Directory {
        directory: PathBuf,
    },
    /// Adjacent layers, bottom to top, that the file observer serves as one.
    Traced {
        traced: Vec<TracedLayer>,
    },
}

impl Layer {
    pub fn traced(&self) -> Option<&[TracedLayer]> {
        if let Self::Traced { traced } = self { Some(traced) } else { None }
    }
}

/// Contents are read from an image as from any file: how this machine would mount it does not matter.
#[derive(Deserialize, PartialEq)]
pub struct TracedLayer {
    index: PathBuf,
    #[serde(alias = "erofs", alias = "directory")]
    data: PathBuf,
}

impl TracedLayer {
    pub fn files(&self) -> GapLayer {
        GapLayer { index: self.index.clone(), data: self.data.clone() }
    }
}

#[derive(Deserialize)]
pub struct Stub {
    pub path: PathBuf,
    #[serde(rename = "type")]
    pub kind: StubKind,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum StubKind {
    Dir,
    File,
}

impl RootSpec {
    pub fn take_files_of_own_network(&mut self) {
        for file in self.own_network.take().unwrap_or_default() {
            self.files.retain(|other| other.name != file.name);
            self.files.push(file);
        }
    }
}

/// A directory of the result, and whose it is where it must be made.
#[derive(Deserialize)]
pub struct MadeDirectory {
    pub path: PathBuf,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Upper {
    Tmpfs {
        #[serde(rename = "tmpfs")]
        size_bytes: u64,
    },
    Directory {
        directory: PathBuf,
        work: PathBuf,
        /// What a program syncs is on the disk then, and may be used after a crash of the machine.
        #[serde(default)]
        lasts: bool,
    },
}

/// Ids from 0 on are those of the host from `first` on.
#[derive(Deserialize)]
pub struct UserNamespace {
    pub first: u32,
    pub count: u32,
}

#[derive(Deserialize)]
pub struct File {
    pub name: String,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// In base64.
    pub data: String,
}

#[derive(Deserialize)]
pub struct FurtherRoot {
    pub layers: Vec<Layer>,
    #[serde(default)]
    pub writable: bool,
}

#[derive(Deserialize)]
pub struct Commit {
    pub driver: Driver,
    pub out: PathBuf,
    /// Of all that the layer holds, in seconds since the epoch.
    pub mtime: Option<i64>,
    /// Also what a command left that ended with another status than 0.
    #[serde(default, rename = "ofFailed")]
    pub of_failed: bool,
}
