//! The operations of docs/native.md, from their JSON to the library that does them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tbuild_layers::{Compression, Digest, Driver, Layer, LayerRequest, NativeError, Stack, UnpackOptions};

use crate::lease::Lease;
use crate::{Answer, Session};

#[derive(Deserialize)]
struct Head {
    id: Option<u64>,
    op: String,
}

#[derive(Deserialize)]
struct Open {
    root: PathBuf,
}

#[derive(Deserialize)]
struct Lock {
    path: PathBuf,
    #[serde(default)]
    shared: bool,
    wait: bool,
}

#[derive(Deserialize)]
struct Unlock {
    lock: u64,
}

#[derive(Deserialize)]
struct Scan {
    root: PathBuf,
    paths: Option<Vec<String>>,
    out: PathBuf,
    cache: Option<PathBuf>,
}

#[derive(Deserialize)]
struct PackDir {
    driver: Driver,
    out: PathBuf,
    dir: PathBuf,
    #[serde(default)]
    overlay: bool,
}

#[derive(Deserialize)]
struct IndexUpper {
    dir: PathBuf,
    out: PathBuf,
}

#[derive(Deserialize)]
struct Unpack {
    driver: Driver,
    out: PathBuf,
    archive: PathBuf,
    #[serde(default)]
    whiteouts: bool,
    #[serde(default)]
    split: bool,
    #[serde(rename = "maxBytes")]
    max_bytes: Option<u64>,
    keep: Option<PathBuf>,
    digest: Option<String>,
    like: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Tar {
    index: PathBuf,
    data: PathBuf,
    split: Option<PathBuf>,
    out: Option<PathBuf>,
    compression: Compression,
    level: Option<i32>,
}

#[derive(Deserialize)]
struct Retime {
    driver: Driver,
    out: PathBuf,
    index: PathBuf,
    data: PathBuf,
    mtime: i64,
}

#[derive(Deserialize)]
struct Verify {
    index: PathBuf,
    data: PathBuf,
}

#[derive(Deserialize)]
struct CopyTree {
    stacks: Vec<Stack>,
    out: PathBuf,
    mtime: Option<i64>,
    #[serde(default)]
    owners: bool,
}

#[derive(Deserialize)]
struct PlaceTree {
    from: PathBuf,
    to: PathBuf,
    #[serde(default)]
    delete: bool,
}

#[derive(Deserialize)]
struct SetOwner {
    path: PathBuf,
    uid: u32,
    gid: u32,
}

#[derive(Deserialize)]
struct OnePath {
    path: PathBuf,
}

/// Whether a request may wait for another process without end. Those are short; a long line is not read twice to find out.
pub fn may_wait(line: &[u8]) -> bool {
    line.len() < 64 << 10
        && serde_json::from_slice(line).is_ok_and(|head: Head| head.op == "lock")
        && serde_json::from_slice(line).is_ok_and(|lock: Lock| lock.wait)
}

pub fn answer(line: &[u8], session: &Session) -> (Option<u64>, Answer) {
    match serde_json::from_slice::<Head>(line) {
        Ok(head) => (head.id, dispatch(&head.op, line, session)),
        Err(error) => (None, Err(bad_request("read request", &error))),
    }
}

fn dispatch(op: &str, line: &[u8], session: &Session) -> Answer {
    match op {
        "open" => open(&parse(op, line)?, session),
        "close" => {
            if let Some(lease) = crate::lock(&session.lease).take() {
                lease.end();
            }
            Ok(json!({}))
        }
        "lock" => {
            let Lock { path, shared, wait } = parse(op, line)?;
            Ok(json!({ "lock": session.locks.lock(&path, shared, wait)? }))
        }
        "unlock" => {
            let Unlock { lock } = parse(op, line)?;
            session.locks.unlock(lock).map(|()| json!({}))
        }
        "scan" => {
            let Scan { root, paths, out, cache } = parse(op, line)?;
            let paths = paths.map(|paths| paths.into_iter().map(String::into_bytes).collect::<Vec<_>>());
            ok(tbuild_layers::scan(&root, paths.as_deref(), &out, cache.as_deref())?)
        }
        "writeLayer" => ok(tbuild_layers::write_layer(&parse::<LayerRequest>(op, line)?)?),
        "packDir" => {
            let PackDir { driver, out, dir, overlay } = parse(op, line)?;
            ok(tbuild_layers::pack_dir(driver, &out, &dir, overlay)?)
        }
        "indexUpper" => {
            let IndexUpper { dir, out } = parse(op, line)?;
            ok(tbuild_layers::index_upper(&dir, &out)?)
        }
        "unpack" => {
            let Unpack { driver, out, archive, whiteouts, split, max_bytes, keep, digest, like } = parse(op, line)?;
            let digest = digest.map(|hex| parse_digest(op, &hex)).transpose()?;
            let options = UnpackOptions { whiteouts, split, max_bytes, keep: keep.as_deref(), digest, like: like.as_deref() };
            ok(tbuild_layers::unpack(driver, &out, &archive, options)?)
        }
        "tar" => {
            let Tar { index, data, split, out, compression, level } = parse(op, line)?;
            let layer = Layer { index: &index, data: &data, split: split.as_deref() };
            ok(tbuild_layers::export_tar(&layer, out.as_deref(), compression, level)?)
        }
        "copyTree" => {
            let CopyTree { stacks, out, mtime, owners } = parse(op, line)?;
            ok(tbuild_layers::copy_tree(&stacks, &out, mtime, owners)?)
        }
        "placeTree" => {
            let PlaceTree { from, to, delete } = parse(op, line)?;
            tbuild_layers::place_tree(&from, &to, delete).map(|()| json!({}))
        }
        "retime" => {
            let Retime { driver, out, index, data, mtime } = parse(op, line)?;
            ok(tbuild_layers::retime(driver, &out, &index, &data, mtime)?)
        }
        "fifo" => make_fifo(&parse::<OnePath>(op, line)?.path),
        "sha256" => ok(tbuild_layers::sha256(&parse::<OnePath>(op, line)?.path)?),
        "verify" => {
            let Verify { index, data } = parse(op, line)?;
            Ok(json!({ "problems": tbuild_layers::verify(&index, &data)? }))
        }
        "verifyIndex" => ok(tbuild_layers::verify_index(&parse::<OnePath>(op, line)?.path)?),
        "setOwner" => {
            let SetOwner { path, uid, gid } = parse(op, line)?;
            tbuild_layers::set_owner(&path, uid, gid).map(|()| json!({}))
        }
        "measure" => {
            let OnePath { path } = parse(op, line)?;
            ok(tbuild_layers::measure(&path)?)
        }
        "remove" => {
            let OnePath { path } = parse(op, line)?;
            refuse_root(&path)?;
            tbuild_layers::remove(&path).map(|()| json!({}))
        }
        _ => Err(NativeError::new("native/bad-request", op).detail("there is no such operation")),
    }
}

fn open(request: &Open, session: &Session) -> Answer {
    let mut lease = crate::lock(&session.lease);
    if lease.is_some() {
        return Err(NativeError::new("native/bad-request", "open").detail("a store is open already"));
    }
    let (opened, dead) = Lease::open(&request.root)?;
    let dir = opened.dir().to_path_buf();
    *lease = Some(opened);
    Ok(json!({ "dir": dir, "dead": dead, "ids": session.ids }))
}

fn make_fifo(path: &Path) -> Answer {
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, path, FileType::Fifo, mode, 0).map_err(|error| NativeError::io("make FIFO", error).path(path))?;
    Ok(json!({}))
}

fn parse_digest(op: &str, hex: &str) -> Result<Digest, NativeError> {
    tbuild_layers::parse_digest(hex).ok_or_else(|| NativeError::new("native/bad-request", op).detail("the digest is not BLAKE3 in hex"))
}

fn refuse_root(path: &Path) -> Result<(), NativeError> {
    if path.as_os_str().as_bytes().iter().all(|&byte| byte == b'/') {
        return Err(NativeError::new("native/bad-request", "remove").detail("the root of the file system is not to be removed"));
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(op: &str, line: &[u8]) -> Result<T, NativeError> {
    serde_json::from_slice(line).map_err(|error| bad_request(op, &error))
}

fn bad_request(op: &str, error: &serde_json::Error) -> NativeError {
    NativeError::new("native/bad-request", op).detail(error.to_string())
}

fn ok(answer: impl Serialize) -> Result<Value, NativeError> {
    serde_json::to_value(answer).map_err(|error| bad_request("answer", &error))
}
