//! The index of a context: what a build may observe of it, contents hashed. There is no data file; the contents stay where they are.

use std::path::Path;

use serde::Serialize;

use crate::beneath;
use crate::entry::{Kind, Names, Tree};
use crate::error::{NativeError, Result};
use crate::index::{self, GROUP, INLINE_MAX_BYTES, PASSWD};
use crate::stat_cache::{self, Identity, Known, StatCache};
use crate::walk::{Found, Walk, number_inodes};

#[derive(Debug, Serialize)]
pub struct ScanSummary {
    pub index: String,
    pub entries: u64,
    pub bytes: u64,
    pub tree: String,
}

/// What of a context's attributes gets into a layer: neither `user.*` (BuildKit's answer) nor labels of the host's security modules.
pub fn keep_xattr(name: &[u8]) -> bool {
    !name.starts_with(b"user.") && !name.starts_with(b"trusted.") && !is_host_label(name)
}

pub fn is_host_label(name: &[u8]) -> bool {
    [b"security.selinux".as_slice(), b"security.SMACK64", b"security.ima", b"security.evm", b"security.apparmor"].contains(&name)
}

/// Everything below `root`, or only `paths` and the root. The index is written to `out`. `cache`: where digests of unchanged files are kept.
pub fn scan(root: &Path, paths: Option<&[Vec<u8>]>, out: &Path, cache: Option<&Path>) -> Result<ScanSummary> {
    let directory = beneath::open_root(root)?;
    let began = stat_cache::now();
    let known = cache.map(StatCache::read);
    let walk = Walk { root: &directory, hash: true, known: known.as_ref(), keep_xattr, lenient: false };
    let found = match paths {
        Some(paths) => {
            paths.iter().try_for_each(|path| crate::entry::check_path(path, Names::Any))?;
            walk.only(paths)?
        }
        None => walk.all()?,
    };
    if let (Some(cache), Some(known)) = (cache, &known) {
        known.update(cache, found.iter().filter_map(|found| remember(found, began)).collect());
    }
    let tree = Tree::new(number_inodes(found), Names::Any)?;
    let read_small = |path: &[u8]| {
        let entry = &tree.entries()[tree.find(path)?];
        let small = entry.kind == Kind::File && entry.content.size <= INLINE_MAX_BYTES;
        let file = beneath::open_file(&directory, path).ok().filter(|_| small)?;
        let mut content = Vec::new();
        let read = std::io::Read::read_to_end(&mut std::io::Read::take(std::fs::File::from(file), INLINE_MAX_BYTES), &mut content);
        read.ok().filter(|_| blake3::hash(&content) == entry.content.digest).map(|_| content)
    };
    let encoded = index::encode(&tree, 0, [read_small(PASSWD), read_small(GROUP)], None);
    std::fs::write(out, &encoded.bytes).map_err(|error| NativeError::io("write", error).path(out))?;
    Ok(ScanSummary {
        index: out.to_string_lossy().into_owned(),
        entries: tree.entries().len() as u64,
        bytes: tree.content_bytes(),
        tree: encoded.tree.to_string(),
    })
}

fn remember(found: &Found, began: i64) -> Option<Known> {
    let stat = found.stat.as_ref()?;
    Some(Known {
        path: found.entry.path.clone(),
        identity: Identity::of(stat),
        digest: found.entry.content.digest,
        settled: stat_cache::is_settled(stat, began),
    })
}
