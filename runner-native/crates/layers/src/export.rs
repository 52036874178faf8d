//! A layer as a blob: its tar, hashed, compressed by several threads, hashed again and written. The tar is cut into blocks of a fixed size and each
//! is compressed for itself (gzip members, zstd frames, which may follow each other by RFC 1952 and RFC 8878): the result depends on nothing else.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::ScopedJoinHandle;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::archive::hex;
use crate::contents::thread_count;
use crate::data_reader::Data;
use crate::error::{NativeError, Result};
use crate::framing::FramingReader;
use crate::index::Index;
use crate::tar_writer::{Sink, rebuild_tar, write_tar};

const BLOCKS_AHEAD: usize = 2;
const GZIP_BLOCK_BYTES: usize = 1 << 20;
const ZSTD_BLOCK_BYTES: usize = 4 << 20;
/// Seven blocks of eight take the first, the eighth the second. Level 1 alone takes half of level 6's time and makes 8 % more than `gzip -6` does;
/// 2 makes 3 % more, and takes a third longer.
const GZIP_LEVELS: [i32; 2] = [1, 2];
const ZSTD_LEVEL: i32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TarSummary {
    pub diff_id: String,
    pub digest: String,
    pub size: u64,
    pub tar_size: u64,
}

/// Which layer, and how its tar was framed when others made it.
pub struct Layer<'a> {
    pub index: &'a Path,
    pub data: &'a Path,
    pub split: Option<&'a Path>,
}

type Block = Arc<Vec<u8>>;
/// A block of the tar with its number.
type Numbered = (usize, Block);

/// Without `out` only the digests are wanted.
pub fn export_tar(layer: &Layer, out: Option<&Path>, compression: Compression, level: Option<i32>) -> Result<TarSummary> {
    let index = Index::read(layer.index)?;
    let data = Data::open(layer.data)?;
    let mut framing = layer.split.map(FramingReader::open).transpose()?;
    let file = out.map(|path| File::create_new(path).map_err(|error| NativeError::io("create", error).path(path))).transpose()?;
    let result = run(compression, level, file, &mut |sink| match &mut framing {
        Some(framing) => rebuild_tar(&index, &data, framing, sink),
        None => write_tar(&index.tree, |_| &data, sink),
    });
    if let (Err(_), Some(path)) = (&result, out) {
        // The first failure is what counts.
        let _ = std::fs::remove_file(path);
    }
    result.map_err(|error| if error.path.is_none() && error.op == "write" { error.path(out.unwrap_or(Path::new(""))) } else { error })
}

fn run(
    compression: Compression,
    level: Option<i32>,
    file: Option<File>,
    produce: &mut dyn FnMut(&mut Sink) -> Result<()>,
) -> Result<TarSummary> {
    let level = Level::new(compression, level)?;
    let threads = if compression == Compression::None { 1 } else { thread_count() };
    std::thread::scope(|scope| {
        let (mut to_workers, mut from_workers) = (Vec::new(), Vec::new());
        for _ in 0..threads {
            let (block_out, block_in) = sync_channel::<Numbered>(BLOCKS_AHEAD);
            let (packed_out, packed_in) = sync_channel::<Result<Block>>(BLOCKS_AHEAD);
            scope.spawn(move || compress_blocks(level, &block_in, &packed_out));
            to_workers.push(block_out);
            from_workers.push(packed_in);
        }
        let (copy_out, copy_in) = sync_channel::<Block>(BLOCKS_AHEAD);
        // Plain, the blob is the tar: hashed once, on its way out.
        let hashing = (compression != Compression::None).then(|| scope.spawn(move || sum(copy_in.iter())));
        let writing = scope.spawn(move || write_blocks(&from_workers, file));
        let mut cutter = Cutter {
            block: Vec::new(),
            block_bytes: level.block_bytes(),
            count: 0,
            workers: to_workers,
            copy: hashing.is_some().then_some(copy_out),
        };
        let produced = produce(&mut |bytes| cutter.push(bytes)).and_then(|()| cutter.flush());
        drop(cutter);
        // What the writer met is why pushing failed, if both did.
        let (digest, size) = join(writing)??;
        produced?;
        let (diff_id, tar_size) = hashing.map(join).transpose()?.unwrap_or_else(|| (digest.clone(), size));
        Ok(TarSummary { diff_id, digest, size, tar_size })
    })
}

fn join<T>(thread: ScopedJoinHandle<T>) -> Result<T> {
    thread.join().map_err(|_| NativeError::new("internal/assertion", "write").detail("a thread ended"))
}

/// Cuts the tar into blocks and deals them out in turn.
struct Cutter {
    block: Vec<u8>,
    block_bytes: usize,
    count: usize,
    workers: Vec<SyncSender<Numbered>>,
    copy: Option<SyncSender<Block>>,
}

impl Cutter {
    fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.block.reserve(self.block_bytes - self.block.len());
            let step = bytes.len().min(self.block_bytes - self.block.len());
            self.block.extend_from_slice(&bytes[..step]);
            bytes = &bytes[step..];
            if self.block.len() == self.block_bytes {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = Arc::new(std::mem::take(&mut self.block));
        let stopped = || NativeError::new("native/io", "write").detail("writing has stopped");
        if let Some(copy) = &self.copy {
            copy.send(Arc::clone(&block)).map_err(|_| stopped())?;
        }
        let worker = &self.workers[self.count % self.workers.len()];
        worker.send((self.count, block)).map_err(|_| stopped())?;
        self.count += 1;
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Level {
    None,
    /// As `GZIP_LEVELS`.
    Gzip([libdeflater::CompressionLvl; 2]),
    Zstd(i32),
}

impl Level {
    fn new(compression: Compression, level: Option<i32>) -> Result<Self> {
        let refuse = || NativeError::new("native/bad-request", "tar").detail("there is no such compression level");
        let gzip = |default| libdeflater::CompressionLvl::new(level.unwrap_or(default)).map_err(|_| refuse());
        Ok(match compression {
            Compression::None => Level::None,
            Compression::Gzip => Level::Gzip([gzip(GZIP_LEVELS[0])?, gzip(GZIP_LEVELS[1])?]),
            Compression::Zstd => {
                Level::Zstd(Some(level.unwrap_or(ZSTD_LEVEL)).filter(|level| (1..=22).contains(level)).ok_or_else(refuse)?)
            }
        })
    }

    fn block_bytes(self) -> usize {
        if matches!(self, Level::Zstd(_)) { ZSTD_BLOCK_BYTES } else { GZIP_BLOCK_BYTES }
    }
}

fn compress_blocks(level: Level, blocks: &Receiver<Numbered>, out: &SyncSender<Result<Block>>) {
    let mut compressor = Compressor::new(level);
    for (number, block) in blocks {
        let packed = compressor.as_mut().map_err(|error| error.clone()).and_then(|compressor| compressor.compress(number, block));
        if out.send(packed).is_err() {
            return;
        }
    }
}

enum Compressor {
    None,
    /// With room for what they make.
    Gzip([libdeflater::Compressor; 2], Vec<u8>),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    fn new(level: Level) -> Result<Self> {
        Ok(match level {
            Level::None => Compressor::None,
            Level::Gzip(levels) => Compressor::Gzip(levels.map(libdeflater::Compressor::new), Vec::new()),
            Level::Zstd(level) => Compressor::Zstd(zstd::bulk::Compressor::new(level).map_err(failed)?),
        })
    }

    fn compress(&mut self, number: usize, block: Block) -> Result<Block> {
        match self {
            Compressor::None => Ok(block),
            Compressor::Gzip(compressors, room) => {
                let compressor = &mut compressors[usize::from(number % 8 == 7)];
                room.resize(compressor.gzip_compress_bound(block.len()).max(room.len()), 0);
                let length = compressor
                    .gzip_compress(&block, room)
                    .map_err(|error| NativeError::new("internal/assertion", "compress").detail(error.to_string()))?;
                Ok(Arc::new(room[..length].to_vec()))
            }
            Compressor::Zstd(compressor) => compressor.compress(&block).map(Arc::new).map_err(failed),
        }
    }
}

fn failed(error: std::io::Error) -> NativeError {
    NativeError::io("compress", error)
}

/// Takes the blocks in the order they were dealt; returns digest and size. Not synced: who asked for it reads it now, and keeps it nowhere.
fn write_blocks(workers: &[Receiver<Result<Block>>], mut file: Option<File>) -> Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut size = 0;
    for worker in workers.iter().cycle() {
        let Ok(block) = worker.recv() else { break };
        let block = block?;
        if let Some(file) = &mut file {
            file.write_all(&block).map_err(|error| NativeError::io("write", error))?;
        }
        hasher.update(&*block);
        size += block.len() as u64;
    }
    Ok((hex(&hasher.finalize()), size))
}

fn sum(blocks: impl Iterator<Item = Block>) -> (String, u64) {
    let mut hasher = Sha256::new();
    let size = blocks.map(|block| (hasher.update(&*block), block.len() as u64).1).sum();
    (hex(&hasher.finalize()), size)
}

#[derive(Debug, Serialize)]
pub struct FileSum {
    pub digest: String,
    pub size: u64,
}

/// sha256 of a file.
pub fn sha256(path: &Path) -> Result<FileSum> {
    let failed = |op: &str, error| NativeError::io(op, error).path(path);
    let mut file = File::open(path).map_err(|error| failed("open", error))?;
    let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        match std::io::Read::read(&mut file, &mut buffer).map_err(|error| failed("read", error))? {
            0 => return Ok(FileSum { digest: hex(&hasher.finalize()), size }),
            count => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
        }
    }
}
