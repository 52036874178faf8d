//! `layers/<id>.split`: what a tar has besides the contents of its files, so that a layer that others made is rebuilt bit for bit.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{NativeError, Result};

const MAGIC: &[u8; 8] = b"TBSPLIT\0";
const VERSION: u32 = 1;
const RAW: u8 = 0;
const CONTENT: u8 = 1;
const RAW_MAX_BYTES: usize = 64 << 10;
const LEVEL: i32 = 3;

pub enum Record {
    Raw(Vec<u8>),
    Content { path: Vec<u8>, size: u64 },
}

pub struct FramingWriter {
    path: PathBuf,
    out: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    raw: Vec<u8>,
}

impl FramingWriter {
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |error| NativeError::io("create", error).path(path);
        let mut file = BufWriter::new(File::options().write(true).create_new(true).open(path).map_err(failed)?);
        file.write_all(MAGIC).and_then(|()| file.write_all(&u64::from(VERSION).to_le_bytes())).map_err(failed)?;
        let out = zstd::stream::write::Encoder::new(file, LEVEL).map_err(failed)?;
        Ok(Self { path: path.into(), out, raw: Vec::new() })
    }

    pub fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(RAW_MAX_BYTES) {
            if self.raw.len() + piece.len() > RAW_MAX_BYTES {
                self.flush_raw()?;
            }
            self.raw.extend_from_slice(piece);
        }
        Ok(())
    }

    pub fn content(&mut self, path: &[u8], size: u64) -> Result<()> {
        self.flush_raw()?;
        let length = (path.len() as u32).to_le_bytes();
        self.write(&[&[CONTENT], length.as_slice(), path, &size.to_le_bytes()].concat())
    }

    fn flush_raw(&mut self) -> Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let mut raw = std::mem::take(&mut self.raw);
        let length = (raw.len() as u32).to_le_bytes();
        self.write(&[&[RAW], length.as_slice()].concat())?;
        self.write(&raw)?;
        raw.clear();
        self.raw = raw;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|error| NativeError::io("write", error).path(&self.path))
    }

    pub fn finish(mut self) -> Result<PathBuf> {
        self.flush_raw()?;
        let failed = |error| NativeError::io("write", error).path(&self.path);
        let file = self.out.finish().and_then(|buffer| buffer.into_inner().map_err(std::io::IntoInnerError::into_error)).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        Ok(self.path)
    }
}

pub struct FramingReader {
    path: PathBuf,
    input: BufReader<zstd::stream::read::Decoder<'static, BufReader<File>>>,
}

impl FramingReader {
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| NativeError::io("open", error).path(path);
        let mut file = File::open(path).map_err(failed)?;
        let mut head = [0; 16];
        file.read_exact(&mut head).map_err(failed)?;
        if head[..8] != *MAGIC || head[8..] != u64::from(VERSION).to_le_bytes() {
            return Err(damaged(path, "it is not a framing of version 1"));
        }
        let input = BufReader::new(zstd::stream::read::Decoder::new(file).map_err(failed)?);
        Ok(Self { path: path.into(), input })
    }

    pub fn next_record(&mut self) -> Result<Option<Record>> {
        let mut kind = [0];
        if self.input.read(&mut kind).map_err(|error| self.failed(&error))? == 0 {
            return Ok(None);
        }
        let length = u32::from_le_bytes(self.read()?) as usize;
        if length > RAW_MAX_BYTES || kind[0] > CONTENT {
            return Err(damaged(&self.path, "a record is malformed"));
        }
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes).map_err(|error| self.failed(&error))?;
        if kind[0] == RAW {
            return Ok(Some(Record::Raw(bytes)));
        }
        Ok(Some(Record::Content { path: bytes, size: u64::from_le_bytes(self.read()?) }))
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|error| self.failed(&error))?;
        Ok(bytes)
    }

    fn failed(&self, error: &std::io::Error) -> NativeError {
        damaged(&self.path, &error.to_string().to_lowercase())
    }
}

fn damaged(path: &Path, why: &str) -> NativeError {
    NativeError::new("store/damaged", "read framing").path(path).detail(why)
}

/// Contents that a later member of the archive has replaced are not in the layer: they go into the framing itself.
/// `is_lost` tells them by number; `read` reads the one of that number from an offset.
pub fn keep_lost(path: &Path, is_lost: impl Fn(u64) -> bool, mut read: impl FnMut(u64, u64, &mut [u8]) -> Result<()>) -> Result<()> {
    let rewritten = path.with_added_extension("new");
    let mut reader = FramingReader::open(path)?;
    let mut writer = FramingWriter::create(&rewritten)?;
    let mut number = 0;
    while let Some(record) = reader.next_record()? {
        match record {
            Record::Raw(bytes) => writer.raw(&bytes)?,
            Record::Content { path, size } => {
                if is_lost(number) {
                    copy_raw(&mut writer, size, |at, buffer| read(number, at, buffer))?;
                } else {
                    writer.content(&path, size)?;
                }
                number += 1;
            }
        }
    }
    writer.finish()?;
    std::fs::rename(&rewritten, path).map_err(|error| NativeError::io("rename", error).path(path))
}

fn copy_raw(writer: &mut FramingWriter, size: u64, mut read: impl FnMut(u64, &mut [u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; RAW_MAX_BYTES];
    let mut at = 0;
    while at < size {
        let step = buffer.len().min((size - at) as usize);
        read(at, &mut buffer[..step])?;
        writer.raw(&buffer[..step])?;
        at += step as u64;
    }
    Ok(())
}
