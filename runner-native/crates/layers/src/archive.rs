//! An archive as a stream of plain tar bytes: read once, from a file, a FIFO or an fd, decompressed by what its first bytes say, and hashed on the
//! way in and after decompression. Reading, decompressing, hashing and whatever the caller does run on a thread each, with little in between.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use rustix::fs::{Mode, OFlags};

use crate::contents::changed;
use crate::error::{NativeError, Result};

const CHUNK_BYTES: usize = 512 << 10;
const CHUNKS_AHEAD: usize = 4;
/// What a decoder may take: windows beyond this are refused (xz -9 needs 65 MiB, zstd's default limit is 128 MiB).
const XZ_MEMORY_BYTES: u64 = 256 << 20;
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

type Chunk = Arc<Vec<u8>>;
type Chunks = Receiver<io::Result<Chunk>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Plain,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Format {
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Format::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Format::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Xz,
            _ => Format::Plain,
        }
    }
}

pub struct Sum {
    pub digest: String,
    pub size: u64,
    /// Of what is read from a file that is to have one.
    pub blake3: Option<[u8; 32]>,
}

/// What reading an archive may come to.
#[derive(Clone, Copy, Default)]
pub struct Bounds<'a> {
    /// Of the plain bytes.
    pub max_bytes: Option<u64>,
    /// It is a regular file, and its BLAKE3 is wanted.
    pub is_steady_file: bool,
    /// Where the bytes read go, too: all that there are, even when nobody wants the plain ones any more.
    pub keep: Option<&'a Path>,
}

/// The plain bytes. Threads end by themselves when this is dropped; the one that keeps what it reads is waited for.
pub struct Archive {
    plain: ChunkReader,
    reading: Option<JoinHandle<Sum>>,
    decoding: Option<JoinHandle<Option<Sum>>>,
    is_kept: bool,
}

impl Archive {
    /// Opening a FIFO waits for its other end, unless a file was promised.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Self> {
        let Bounds { is_steady_file, keep, .. } = bounds;
        let kept = keep.map(create_kept).transpose()?;
        let file = if is_steady_file { open_regular(path)? } else { File::open(path).map_err(|error| failed(error, path))? };
        if !is_steady_file {
            // Of a FIFO, so that its two ends wait for each other less often. What is none has no such size.
            let _ = rustix::pipe::fcntl_setpipe_size(&file, 2 * CHUNK_BYTES);
        }
        Ok(Self::begin(file, bounds, kept))
    }

    /// Of what is open, whatever it is.
    pub fn of(file: File) -> Self {
        Self::begin(file, Bounds::default(), None)
    }

    fn begin(file: File, Bounds { max_bytes, is_steady_file, .. }: Bounds, kept: Option<File>) -> Self {
        let is_kept = kept.is_some();
        let (raw_out, raw_in) = sync_channel(CHUNKS_AHEAD);
        let (plain_out, plain_in) = sync_channel(CHUNKS_AHEAD);
        let reading = std::thread::spawn(move || read_chunks(file, &raw_out, is_steady_file, kept));
        let decoding = std::thread::spawn(move || decode(ChunkReader::new(raw_in), &plain_out));
        let plain = ChunkReader { left: max_bytes.unwrap_or(u64::MAX), ..ChunkReader::new(plain_in) };
        Self { plain, reading: Some(reading), decoding: Some(decoding), is_kept }
    }

    /// Of the plain bytes and of those read, once the caller has read all.
    pub fn finish(mut self) -> Result<(Sum, Sum)> {
        self.stop();
        let ended = || NativeError::new("internal/assertion", "read archive").detail("a reading thread ended");
        let raw = self.reading.take().and_then(|thread| thread.join().ok()).ok_or_else(ended)?;
        let plain = self.decoding.take().and_then(|thread| thread.join().ok()).ok_or_else(ended)?;
        let plain = plain.unwrap_or_else(|| Sum { digest: raw.digest.clone(), size: raw.size, blake3: None });
        Ok((plain, raw))
    }

    /// No more plain bytes are wanted.
    fn stop(&mut self) {
        self.plain = ChunkReader::new(sync_channel(0).1);
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.stop();
        if let Some(reading) = self.reading.take().filter(|_| self.is_kept) {
            // What it met is of no interest to whoever did not ask for its sum.
            let _ = reading.join();
        }
    }
}

fn create_kept(path: &Path) -> Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path).map_err(|error| NativeError::io("create", error).path(path))
}

/// A file of someone else's: it may have become a FIFO or a link since it was looked at.
fn open_regular(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let other = || changed(path.as_os_str().as_bytes(), "it is no regular file any more");
    let file = rustix::fs::open(path, flags, Mode::empty()).map(File::from).map_err(|error| match error {
        rustix::io::Errno::LOOP | rustix::io::Errno::NXIO | rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => other(),
        _ => failed(error.into(), path),
    })?;
    if file.metadata().map_err(|error| failed(error, path))?.is_file() { Ok(file) } else { Err(other()) }
}

fn failed(error: io::Error, path: &Path) -> NativeError {
    NativeError::io("open", error).path(path)
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.plain.read(buffer)
    }
}

impl BufRead for Archive {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.plain.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.plain.consume(count);
    }
}

fn read_chunks(mut file: impl Read, out: &SyncSender<io::Result<Chunk>>, blake3: bool, mut keep: Option<File>) -> Sum {
    let mut hasher = Sha256::new();
    let mut content = blake3.then(blake3::Hasher::new);
    let mut size = 0;
    loop {
        let (chunk, result) = read_chunk(&mut file);
        if !chunk.is_empty() {
            let chunk = Arc::new(chunk);
            if out.send(Ok(Arc::clone(&chunk))).is_err() && keep.is_none() {
                break;
            }
            if let Some(Err(error)) = keep.as_mut().map(|keep| keep.write_all(&chunk)) {
                let _ = out.send(Err(error));
                break;
            }
            hasher.update(&*chunk);
            if let Some(content) = &mut content {
                content.update(&chunk);
            }
            size += chunk.len() as u64;
        }
        match result {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                // Whether anyone still listens makes no difference.
                let _ = out.send(Err(error));
                break;
            }
        }
    }
    Sum { digest: hex(&hasher.finalize()), size, blake3: content.map(|content| content.finalize().into()) }
}

/// A full chunk, unless the input ends or fails: then what came before that, for an archive that is damaged behind its beginning is one all the
/// same. Whether there is more.
fn read_chunk(input: &mut impl Read) -> (Vec<u8>, io::Result<bool>) {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    let result = input.take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
    (chunk, result.map(|count| count == CHUNK_BYTES))
}

/// None: the input was plain, and its sum is that of what was read.
fn decode(mut raw: ChunkReader, out: &SyncSender<io::Result<Chunk>>) -> Option<Sum> {
    let format = match raw.fill_buf() {
        Ok(head) => Format::of(head),
        Err(error) => {
            let _ = out.send(Err(error));
            return None;
        }
    };
    if format == Format::Plain {
        pass(raw, out);
        return None;
    }
    let (copy_out, copy_in) = sync_channel::<Chunk>(CHUNKS_AHEAD);
    let hashing = std::thread::spawn(move || {
        let mut hasher = Sha256::new();
        let size = copy_in.iter().map(|chunk| (hasher.update(&*chunk), chunk.len() as u64).1).sum();
        Sum { digest: hex(&hasher.finalize()), size, blake3: None }
    });
    if let Err(error) = decode_chunks(format, &mut raw, |chunk| copy_out.send(Arc::clone(&chunk)).is_ok() && out.send(Ok(chunk)).is_ok()) {
        let _ = out.send(Err(error));
    }
    drop(copy_out);
    hashing.join().ok()
}

fn pass(raw: ChunkReader, out: &SyncSender<io::Result<Chunk>>) {
    let (first, rest) = (raw.current, raw.chunks);
    if out.send(Ok(first)).is_ok() {
        for chunk in rest {
            if out.send(chunk).is_err() {
                return;
            }
        }
    }
}

fn decode_chunks(format: Format, raw: &mut ChunkReader, mut emit: impl FnMut(Chunk) -> bool) -> io::Result<()> {
    let mut decoder: Box<dyn Read + '_> = match format {
        Format::Gzip => Box::new(GzipMembers { member: Some(flate2::bufread::GzDecoder::new(&mut *raw)) }),
        Format::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut *raw)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
        Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(&mut *raw)),
        Format::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(&mut *raw, stream))
        }
        Format::Plain => Box::new(&mut *raw),
    };
    loop {
        let (chunk, result) = read_chunk(&mut decoder);
        if !chunk.is_empty() && !emit(Arc::new(chunk)) {
            return Ok(());
        }
        if !result? {
            break;
        }
    }
    drop(decoder);
    expect_padding(raw)
}

/// Tapes and some tools fill up with zeros; anything else behind the end is no part of what was compressed.
fn expect_padding(raw: &mut ChunkReader) -> io::Result<()> {
    loop {
        let rest = raw.fill_buf()?;
        if rest.is_empty() {
            return Ok(());
        }
        if rest.iter().any(|&byte| byte != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there is something behind the end of the compressed data"));
        }
        let count = rest.len();
        raw.consume(count);
    }
}

/// Concatenated gzip members; flate2's own multi-member decoder takes zeros at the end for a broken member.
struct GzipMembers<R> {
    member: Option<flate2::bufread::GzDecoder<R>>,
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let mut raw = self.member.take().map(flate2::bufread::GzDecoder::into_inner);
            if let Some(raw) = raw.take_if(|raw| raw.fill_buf().is_ok_and(|rest| rest.first() == Some(&0x1f))) {
                self.member = Some(flate2::bufread::GzDecoder::new(raw));
            }
        }
        Ok(0)
    }
}

/// Chunks of another thread as a reader.
struct ChunkReader {
    chunks: Chunks,
    current: Chunk,
    at: usize,
    /// How many more bytes may come.
    left: u64,
}

impl ChunkReader {
    fn new(chunks: Chunks) -> Self {
        Self { chunks, current: Chunk::default(), at: 0, left: u64::MAX }
    }
}

impl BufRead for ChunkReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.current.len() {
            match self.chunks.recv() {
                Ok(chunk) => {
                    (self.current, self.at) = (chunk?, 0);
                    self.left = self.left.checked_sub(self.current.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
                }
                Err(_) => break,
            }
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
        text
    })
}
