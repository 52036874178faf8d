//! A layer that TypeScript decided: a list of entries, and where their contents are.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use crate::beneath;
use crate::contents::{Job, Source, write_contents};
use crate::data_writer::DataWriter;
use crate::entry::{Digest, Entry, Kind, Mtime, Names, Tree, check_path, is_overlay_xattr};
use crate::error::{NativeError, Result};
use crate::summary::{Driver, LayerSummary};

#[derive(Debug, Deserialize)]
pub struct LayerRequest {
    driver: Driver,
    out: PathBuf,
    #[serde(default)]
    sources: Vec<RequestedSource>,
    entries: Vec<Requested>,
    /// Of the layer that others made, in hex, of which this is another form.
    #[serde(rename = "diffId")]
    diff_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RequestedSource {
    Root(PathBuf),
    Data(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RequestedKind {
    File,
    Dir,
    Symlink,
    Char,
    Block,
    Fifo,
    Socket,
    Whiteout,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum At {
    Offset(u64),
    Path(String),
}

#[derive(Debug, Deserialize)]
struct Requested {
    path: String,
    #[serde(rename = "type")]
    kind: RequestedKind,
    #[serde(default)]
    mode: u32,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default)]
    mtime: (i64, u32),
    #[serde(default)]
    implied: bool,
    #[serde(default)]
    opaque: bool,
    link: Option<String>,
    hardlink: Option<String>,
    rdev: Option<(u32, u32)>,
    #[serde(default)]
    xattrs: BTreeMap<String, String>,
    size: Option<u64>,
    digest: Option<String>,
    source: Option<usize>,
    at: Option<At>,
    text: Option<String>,
}

enum Opened {
    Root(OwnedFd),
    Data(File),
}

pub fn write_layer(request: &LayerRequest) -> Result<LayerSummary> {
    let by_path: HashMap<&[u8], usize> = request.entries.iter().enumerate().map(|(index, entry)| (entry.path.as_bytes(), index)).collect();
    let entries: Vec<Entry> =
        request.entries.iter().enumerate().map(|(index, _)| make_entry(&request.entries, index, &by_path)).collect::<Result<_>>()?;
    let mut tree = Tree::new(entries, Names::Layer)?;
    let sources: Vec<Opened> = request.sources.iter().map(open_source).collect::<Result<_>>()?;
    let mut jobs = Vec::new();
    for (index, entry) in tree.entries().iter().enumerate() {
        if entry.kind == Kind::File && tree.leads(index) {
            // The first path of a group may be a link to the one that says where the content is.
            let requested = &request.entries[lead(&request.entries, by_path[&*entry.path], &by_path)?];
            jobs.push(make_job(requested, &sources)?);
        }
    }
    let mut writer = DataWriter::create(request.driver, &request.out)?;
    let mut contents = write_contents(&jobs, &mut writer)?.into_iter();
    tree.set_contents(|_, entry| contents.next().unwrap_or(entry.content));
    writer.finish_as(tree, request.diff_id.as_deref())
}

fn bad_request(path: &str, why: &str) -> NativeError {
    NativeError::new("native/bad-request", "write layer").path(path).detail(why)
}

/// Follows `hardlink` to the entry that is listed in full.
fn lead(entries: &[Requested], index: usize, by_path: &HashMap<&[u8], usize>) -> Result<usize> {
    let Some(target) = &entries[index].hardlink else { return Ok(index) };
    let found = by_path.get(target.as_bytes()).copied().filter(|found| entries[*found].hardlink.is_none());
    found.ok_or_else(|| bad_request(&entries[index].path, "its hard link names no entry, or one that is a link itself"))
}

fn make_entry(entries: &[Requested], index: usize, by_path: &HashMap<&[u8], usize>) -> Result<Entry> {
    let lead = lead(entries, index, by_path)?;
    let (path, from) = (&entries[index].path, &entries[lead]);
    let kind = match from.kind {
        RequestedKind::Whiteout => return Ok(Entry { inode: lead as u64, ..Entry::whiteout(path.as_bytes()) }),
        RequestedKind::File => Kind::File,
        RequestedKind::Dir => Kind::Directory,
        RequestedKind::Symlink => Kind::Symlink,
        RequestedKind::Char => Kind::CharDevice,
        RequestedKind::Block => Kind::BlockDevice,
        RequestedKind::Fifo => Kind::Fifo,
        RequestedKind::Socket => Kind::Socket,
    };
    if from.mode > 0o7777 || from.mtime.1 >= 1_000_000_000 {
        return Err(bad_request(path, "its mode or its nanoseconds are out of range"));
    }
    let mut entry = Entry {
        implied: from.implied,
        opaque: from.opaque,
        mode: from.mode,
        uid: from.uid,
        gid: from.gid,
        mtime: Mtime { seconds: from.mtime.0, nanos: from.mtime.1 },
        inode: lead as u64,
        ..Entry::new(path.as_bytes(), kind)
    };
    if let (Kind::Symlink, Some(target)) = (kind, &from.link) {
        entry.target = target.as_bytes().into();
    }
    if let (Kind::CharDevice | Kind::BlockDevice, Some(rdev)) = (kind, from.rdev) {
        entry.rdev = rdev;
    }
    for (name, value) in from.xattrs.iter().filter(|(name, _)| !is_overlay_xattr(name.as_bytes())) {
        let value = BASE64_STANDARD.decode(value).map_err(|_| bad_request(path, "an extended attribute is not base64"))?;
        entry.xattrs.push((name.as_bytes().into(), value.into()));
    }
    Ok(entry)
}

fn open_source(source: &RequestedSource) -> Result<Opened> {
    Ok(match source {
        RequestedSource::Root(path) => Opened::Root(beneath::open_root(path)?),
        RequestedSource::Data(path) => Opened::Data(File::open(path).map_err(|error| NativeError::io("open", error).path(path))?),
    })
}

fn make_job<'a>(entry: &'a Requested, sources: &'a [Opened]) -> Result<Job<'a>> {
    let digest =
        entry.digest.as_deref().map(|hex| parse_digest(hex).ok_or_else(|| bad_request(&entry.path, "its digest is not BLAKE3 in hex")));
    let digest = digest.transpose()?;
    if let Some(text) = &entry.text {
        return Ok(Job { source: Source::Text(text.as_bytes()), size: text.len() as u64, digest });
    }
    let opened =
        entry.source.map(|number| sources.get(number).ok_or_else(|| bad_request(&entry.path, "its source is not listed"))).transpose()?;
    let (source, size) = match (opened, &entry.at) {
        (None, _) if entry.size.unwrap_or(0) == 0 => (Source::Text(b""), Some(0)),
        (Some(Opened::Root(root)), Some(At::Path(path))) => {
            check_path(path.as_bytes(), Names::Any)?;
            (Source::File { root, path: path.as_bytes() }, entry.size.or_else(|| size_of(root, path)))
        }
        (Some(Opened::Data(file)), Some(At::Offset(offset))) => (Source::Range { file, offset: *offset }, entry.size),
        _ => return Err(bad_request(&entry.path, "where its content is was not said")),
    };
    let size = size.ok_or_else(|| bad_request(&entry.path, "its size is not known"))?;
    Ok(Job { source, size, digest })
}

/// When the caller expects no particular size, the file's own.
fn size_of(root: &OwnedFd, path: &str) -> Option<u64> {
    let file = File::from(beneath::open_file(root, path.as_bytes()).ok()?);
    file.metadata().ok().map(|metadata| metadata.len())
}

pub fn parse_digest(hex: &str) -> Option<Digest> {
    let hex = hex.strip_prefix("blake3:").unwrap_or(hex);
    blake3::Hash::from_hex(hex).ok().map(Digest::from)
}
