//! The one error that crosses the seam, `{"code","op","path","errno","detail"}`. Codes are those of src/base/errors.ts:
//! the family before the slash says whose fault it is. `detail` is lower case, names the operand, has no full stop.

use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub type Result<T> = std::result::Result<T, NativeError>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeError {
    pub code: String,
    pub op: String,
    pub path: Option<String>,
    pub errno: Option<String>,
    pub detail: String,
}

impl NativeError {
    pub fn new(code: &str, op: &str) -> Self {
        Self { code: code.into(), op: op.into(), path: None, errno: None, detail: String::new() }
    }

    /// A failed system call. A full disk is the store's fault whatever was being tried; the rest is `native/io` until the caller says better.
    pub fn io(op: &str, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let errno = error.raw_os_error();
        let code = match errno.map(errno_name).as_deref() {
            Some("ENOSPC" | "EDQUOT") => "store/full",
            _ => "native/io",
        };
        Self { errno: errno.map(errno_name), detail: describe(&error), ..Self::new(code, op) }
    }

    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    #[must_use]
    pub fn path(self, path: impl AsRef<Path>) -> Self {
        Self { path: Some(path.as_ref().to_string_lossy().into_owned()), ..self }
    }

    /// The same failure under another code, unless the disk was full.
    #[must_use]
    pub fn or_code(self, code: &str) -> Self {
        if self.code == "native/io" { Self { code: code.into(), ..self } } else { self }
    }
}

impl fmt::Display for NativeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.op)?;
        if let Some(path) = &self.path {
            write!(f, " {path}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

impl std::error::Error for NativeError {}

/// A limit of ours that an archive goes beyond.
pub fn too_large(detail: &str) -> NativeError {
    NativeError::new("native/too-large", "read archive").detail(detail)
}

/// A limit of the caller's.
pub fn over_limit() -> NativeError {
    NativeError::new("native/over-limit", "read archive").detail("it unpacks to more than is allowed")
}

/// A layer error that had to travel through `io::Read` or `io::Write` comes out as it went in.
impl From<NativeError> for io::Error {
    fn from(error: NativeError) -> Self {
        io::Error::other(error)
    }
}

/// The system's words without "(os error 2)", lower case.
fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// The symbolic name ("ENOENT"); numbers are Linux's, the same on x86-64 and arm64.
pub fn errno_name(errno: i32) -> String {
    let name = match errno {
        1 => "EPERM",
        2 => "ENOENT",
        3 => "ESRCH",
        4 => "EINTR",
        5 => "EIO",
        6 => "ENXIO",
        7 => "E2BIG",
        8 => "ENOEXEC",
        9 => "EBADF",
        10 => "ECHILD",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        15 => "ENOTBLK",
        16 => "EBUSY",
        17 => "EEXIST",
        18 => "EXDEV",
        19 => "ENODEV",
        20 => "ENOTDIR",
        21 => "EISDIR",
        22 => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        25 => "ENOTTY",
        26 => "ETXTBSY",
        27 => "EFBIG",
        28 => "ENOSPC",
        29 => "ESPIPE",
        30 => "EROFS",
        31 => "EMLINK",
        32 => "EPIPE",
        33 => "EDOM",
        34 => "ERANGE",
        35 => "EDEADLK",
        36 => "ENAMETOOLONG",
        38 => "ENOSYS",
        39 => "ENOTEMPTY",
        40 => "ELOOP",
        61 => "ENODATA",
        62 => "ETIME",
        71 => "EPROTO",
        74 => "EBADMSG",
        75 => "EOVERFLOW",
        87 => "EUSERS",
        95 => "EOPNOTSUPP",
        104 => "ECONNRESET",
        110 => "ETIMEDOUT",
        111 => "ECONNREFUSED",
        116 => "ESTALE",
        117 => "EUCLEAN",
        122 => "EDQUOT",
        other => return format!("E{other}"),
    };
    name.into()
}
