//! What a layer or a context consists of: entries, and the tree they make. A `Tree` is sorted and complete: it starts with the root,
//! every parent is there and is a directory, no path comes twice, hard links agree. Whoever holds a `Tree` need not check that again.

use std::collections::HashMap;

use crate::error::{NativeError, Result};

/// Longest path in a layer: the kernel's PATH_MAX without the final zero.
const PATH_MAX_BYTES: usize = 4095;
const NAME_MAX_BYTES: usize = 255;
/// What one layer may hold, so that hostile archives are refused before they are out of memory.
const ENTRIES_MAX: usize = 4 << 20;
const METADATA_MAX_BYTES: usize = 512 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    File = 1,
    Directory = 2,
    Symlink = 3,
    CharDevice = 4,
    BlockDevice = 5,
    Fifo = 6,
    Socket = 7,
    Whiteout = 8,
}

impl Kind {
    pub fn from_byte(byte: u8) -> Option<Self> {
        let all =
            [Self::File, Self::Directory, Self::Symlink, Self::CharDevice, Self::BlockDevice, Self::Fifo, Self::Socket, Self::Whiteout];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtime {
    pub seconds: i64,
    pub nanos: u32,
}

pub type Digest = [u8; 32];
/// Sorted by name, names unique.
pub type Xattrs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// Where a regular file's content is. While a layer is being written only its writer knows what the number means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Nowhere,
    /// An offset in the finished data file.
    At(u64),
    /// A start in the writer's memory: a small content that will stand beside its inode.
    Held(u64),
    /// The number of a file in the directory writer's staging area.
    Part(u64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub size: u64,
    pub digest: Digest,
    pub place: Place,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: Box<[u8]>,
    pub kind: Kind,
    pub implied: bool,
    pub opaque: bool,
    /// A directory with whiteouts in it; `Tree` finds out. Their marks make overlayfs look for them.
    pub holds_whiteouts: bool,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: (u32, u32),
    pub mtime: Mtime,
    pub target: Box<[u8]>,
    pub xattrs: Xattrs,
    /// Of a regular file.
    pub content: Content,
    /// Entries with the same number are hard links of each other. In a `Tree`: the index of the group's first entry.
    pub inode: u64,
}

/// One line, names as text: entries are looked at by the thousand.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, mode, uid, gid, rdev, mtime, inode, .. } = self;
        let marks = [(self.implied, " implied"), (self.opaque, " opaque")].map(|(set, mark)| if set { mark } else { "" }).concat();
        write!(
            f,
            "{} {kind:?}{marks} {mode:o} {uid}:{gid} {rdev:?} {}.{:09} #{inode}",
            self.path.escape_ascii(),
            mtime.seconds,
            mtime.nanos
        )?;
        write!(f, " {} bytes {}", self.content.size, blake3::Hash::from(self.content.digest).to_hex().split_at(8).0)?;
        self.xattrs.iter().try_for_each(|(name, value)| write!(f, " {}[{}]", name.escape_ascii(), value.len()))?;
        if self.target.is_empty() { Ok(()) } else { write!(f, " -> {}", self.target.escape_ascii()) }
    }
}

impl Entry {
    pub fn new(path: &[u8], kind: Kind) -> Self {
        Self {
            path: path.into(),
            kind,
            implied: false,
            opaque: false,
            holds_whiteouts: false,
            mode: 0,
            uid: 0,
            gid: 0,
            rdev: (0, 0),
            mtime: Mtime::default(),
            target: Box::default(),
            xattrs: Xattrs::new(),
            content: Content::default(),
            inode: 0,
        }
    }

    /// It neither hides what lower layers have, nor has an extended attribute.
    pub fn is_plain(&self) -> bool {
        self.kind != Kind::Whiteout && !self.opaque && self.xattrs.is_empty()
    }

    /// A directory nobody listed: 0755 root:root, to be given the attributes of the layers below.
    pub fn implied_directory(path: &[u8]) -> Self {
        Self { implied: true, mode: 0o755, ..Self::new(path, Kind::Directory) }
    }

    /// A whiteout has no attributes: overlayfs's are hard links of each other, with the first one's times.
    pub fn whiteout(path: &[u8]) -> Self {
        Self::new(path, Kind::Whiteout)
    }

    /// The `size` field of the index.
    pub fn size(&self) -> u64 {
        match self.kind {
            Kind::File => self.content.size,
            Kind::Symlink => self.target.len() as u64,
            _ => 0,
        }
    }

    fn metadata_bytes(&self) -> usize {
        self.path.len() + self.target.len() + self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

/// What stands before the last slash, and after it. The root has neither.
pub fn split_path(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

pub fn join_path(parent: &[u8], name: &[u8]) -> Box<[u8]> {
    if parent.is_empty() { name.into() } else { [parent, b"/", name].concat().into() }
}

/// Xattrs of overlayfs say in an xattr what type 8 and flag 2 say in an index; they never enter one.
pub fn is_overlay_xattr(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// Which names a tree may hold: a layer's tar could not say `.wh.x`; a context may have such a file, and ignore it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Layer,
    Any,
}

/// Whether `path` can stand in a tree.
pub fn check_path(path: &[u8], names: Names) -> Result<()> {
    let refuse = |why: &str| Err(bad_entry(path, why));
    if path.is_empty() {
        return Ok(());
    }
    if path.len() > PATH_MAX_BYTES {
        return refuse("the path is longer than 4095 bytes");
    }
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." | b".." => return refuse("the path is not a clean relative path"),
            _ if name.len() > NAME_MAX_BYTES => return refuse("a name is longer than 255 bytes"),
            _ if name.contains(&0) => return refuse("a name holds a zero byte"),
            _ if names == Names::Layer && name.starts_with(b".wh.") => return refuse("a name that starts with .wh. cannot be in a layer"),
            _ => {}
        }
    }
    Ok(())
}

fn bad_entry(path: &[u8], why: &str) -> NativeError {
    NativeError::new("native/bad-entry", "check").path(as_path(path)).detail(why)
}

/// Bytes as a path, on Unix the same thing.
pub fn as_path(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(bytes))
}

pub struct Tree {
    entries: Vec<Entry>,
    /// For each entry the index of its directory; the root's own is 0.
    parents: Vec<u32>,
}

impl Tree {
    /// Sorts and checks. The root may be missing; any other parent may not.
    pub fn new(mut entries: Vec<Entry>, names: Names) -> Result<Self> {
        if !entries.iter().any(|entry| entry.path.is_empty()) {
            let unused = entries.iter().map(|entry| entry.inode).max().map_or(0, |highest| highest + 1);
            entries.push(Entry { inode: unused, ..Entry::implied_directory(b"") });
        }
        if entries.len() > ENTRIES_MAX || entries.iter().map(Entry::metadata_bytes).sum::<usize>() > METADATA_MAX_BYTES {
            return Err(NativeError::new("native/too-large", "check")
                .detail("a layer holds at most 4 million entries and 512 MiB of names and attributes"));
        }
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        for entry in &mut entries {
            check_path(&entry.path, names)?;
            check_entry(entry)?;
            entry.xattrs.sort_unstable();
        }
        let parents = find_parents(&entries)?;
        for index in 1..entries.len() {
            let is_whiteout = entries[index].kind == Kind::Whiteout;
            entries[parents[index] as usize].holds_whiteouts |= is_whiteout;
        }
        number_groups(&mut entries)?;
        Ok(Self { entries, parents })
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    pub fn parent(&self, index: usize) -> usize {
        self.parents[index] as usize
    }

    pub fn find(&self, path: &[u8]) -> Option<usize> {
        self.entries.binary_search_by(|entry| (*entry.path).cmp(path)).ok()
    }

    /// True for the one entry of a hard-link group that stands for the inode.
    pub fn leads(&self, index: usize) -> bool {
        self.entries[index].inode == index as u64
    }

    /// One time for everything. A whiteout has none.
    pub fn set_times(&mut self, seconds: i64) {
        for entry in self.entries.iter_mut().filter(|entry| entry.kind != Kind::Whiteout) {
            entry.mtime = Mtime { seconds, nanos: 0 };
        }
    }

    /// Replaces what is known of the regular files' contents; `content` is asked once for each group.
    pub fn set_contents(&mut self, mut content: impl FnMut(usize, &Entry) -> Content) {
        for index in 0..self.entries.len() {
            let lead = self.entries[index].inode as usize;
            if self.entries[index].kind == Kind::File {
                let found = if lead == index { content(index, &self.entries[index]) } else { self.entries[lead].content };
                self.entries[index].content = found;
            }
        }
    }

    /// Bytes of all regular files, each hard-link group once.
    pub fn content_bytes(&self) -> u64 {
        self.entries
            .iter()
            .enumerate()
            .filter(|(index, _)| self.leads(*index))
            .map(|(_, entry)| entry.content.size)
            .fold(0, u64::saturating_add)
    }
}

fn check_entry(entry: &Entry) -> Result<()> {
    let refuse = |why: &str| Err(bad_entry(&entry.path, why));
    if entry.path.is_empty() && entry.kind != Kind::Directory {
        return refuse("the root is not a directory");
    }
    if entry.kind != Kind::Directory && (entry.implied || entry.opaque) {
        return refuse("only a directory can be implied or opaque");
    }
    match entry.kind {
        Kind::Symlink if entry.target.is_empty() => return refuse("a symlink without a target"),
        Kind::Symlink if entry.target.len() > PATH_MAX_BYTES => return refuse("a symlink's target is longer than 4095 bytes"),
        Kind::Symlink if entry.target.contains(&0) => return refuse("a symlink's target holds a zero byte"),
        Kind::CharDevice if entry.rdev == (0, 0) => {
            return refuse("the character device 0/0 is overlayfs's whiteout and cannot be in a layer");
        }
        Kind::CharDevice | Kind::BlockDevice if entry.rdev.0 > 0xfff || entry.rdev.1 > 0xf_ffff => {
            return refuse("a device number is out of range");
        }
        _ => {}
    }
    for (name, value) in &entry.xattrs {
        if name.is_empty() || name.len() > NAME_MAX_BYTES || name.contains(&0) || value.len() > 0xffff || is_overlay_xattr(name) {
            return refuse(&format!("the extended attribute {} cannot be kept", name.escape_ascii()));
        }
    }
    Ok(())
}

fn find_parents(entries: &[Entry]) -> Result<Vec<u32>> {
    let mut directories: HashMap<&[u8], u32> = HashMap::new();
    let mut parents = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 && entries[index - 1].path == entry.path {
            return Err(bad_entry(&entry.path, "the path comes twice"));
        }
        let parent = split_path(&entry.path).0;
        // Sorted by bytes, so a directory comes before all that is in it.
        match directories.get(parent) {
            Some(&parent) => parents.push(parent),
            None if index == 0 => parents.push(0),
            None => return Err(bad_entry(&entry.path, "its parent is not a directory of the tree")),
        }
        if entry.kind == Kind::Directory {
            directories.insert(&entry.path, index as u32);
        }
    }
    Ok(parents)
}

/// Renumbers `inode` to the index of the group's first entry.
fn number_groups(entries: &mut [Entry]) -> Result<()> {
    let mut first: HashMap<u64, usize> = HashMap::with_capacity(entries.len());
    for index in 0..entries.len() {
        let lead = *first.entry(entries[index].inode).or_insert(index);
        entries[index].inode = lead as u64;
        if lead == index {
            continue;
        }
        let shared = matches!(entries[index].kind, Kind::Directory | Kind::Whiteout);
        let same = Entry { path: entries[lead].path.clone(), ..entries[index].clone() };
        if shared || same != entries[lead] {
            return Err(bad_entry(&entries[index].path, "it cannot be a hard link of the other paths of its group"));
        }
    }
    Ok(())
}
