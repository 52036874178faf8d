//! What a scan takes from its cache: nothing that could have changed.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::index::Index;
use crate::stat_cache::{Identity, StatCache};

struct Context {
    dir: tempfile::TempDir,
}

impl Context {
    /// A hundred files that have not changed for a while, as far as their times tell.
    fn settled() -> Self {
        let context = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(context.path("files")).unwrap();
        (0..100).for_each(|i| fs::write(context.path(&format!("files/{i}")), format!("content {i}")).unwrap());
        // The change time cannot be set; waiting it out is the only way.
        std::thread::sleep(Duration::from_millis(3100));
        context
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn scan(&self, cache: Option<&Path>) -> String {
        crate::scan(&self.path("files"), None, &self.path("index"), cache).unwrap().tree
    }

    fn identity(&self, name: &str) -> Identity {
        Identity::of(&rustix::fs::stat(self.path(name)).unwrap())
    }
}

#[test]
fn a_scan_remembers_what_has_not_changed_and_reads_what_has() {
    let context = Context::settled();
    let cache = context.path("cache");
    assert_eq!(context.scan(Some(&cache)), context.scan(None));
    let known = StatCache::read(&cache);
    let digest = known.find(b"7", context.identity("files/7")).expect("a settled file is remembered");
    assert_eq!(digest, *blake3::hash(b"content 7").as_bytes());

    // The same size, and the old modification time put back: the change time tells.
    let file = fs::File::options().write(true).open(context.path("files/7")).unwrap();
    let before = file.metadata().unwrap();
    file.write_all_at(b"CONTENT 7", 0).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    assert_eq!(file.metadata().unwrap().mtime_nsec(), before.mtime_nsec());
    assert!(StatCache::read(&cache).find(b"7", context.identity("files/7")).is_none());

    // Another file under the same name, a new one, one that is gone, one whose mode changed.
    fs::write(context.path("other"), "content 8").unwrap();
    fs::rename(context.path("other"), context.path("files/8")).unwrap();
    fs::write(context.path("files/new"), "new").unwrap();
    fs::remove_file(context.path("files/9")).unwrap();
    fs::set_permissions(context.path("files/10"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(context.scan(Some(&cache)), context.scan(None));
    // Changed a moment ago: read again next time too.
    let known = StatCache::read(&cache);
    for name in ["7", "8", "new"] {
        assert!(known.find(name.as_bytes(), context.identity(&format!("files/{name}"))).is_none(), "{name} is too young to be trusted");
    }
    assert!(known.find(b"11", context.identity("files/11")).is_some());
}

#[test]
fn a_cached_digest_is_really_used() {
    let context = Context::settled();
    let cache = context.path("cache");
    let truth = context.scan(Some(&cache));
    let mut bytes = fs::read(&cache).unwrap();
    let end = bytes.len() - 32;
    let place = bytes.windows(32).position(|window| window == blake3::hash(b"content 7").as_bytes()).unwrap();
    bytes[place] ^= 1;
    // Damaged: not used.
    fs::write(&cache, &bytes).unwrap();
    assert_eq!(context.scan(Some(&cache)), truth);
    // With a checksum that fits, the wrong digest is believed, which shows that the file was not read.
    let checksum = *blake3::hash(&bytes[..end]).as_bytes();
    bytes[end..].copy_from_slice(&checksum);
    fs::write(&cache, &bytes).unwrap();
    context.scan(Some(&cache));
    let index = Index::read(&context.path("index")).unwrap();
    assert_eq!(index.tree.entries()[index.tree.find(b"7").unwrap()].content.digest[..], bytes[place..place + 32]);
}

#[test]
fn a_cache_is_written_only_when_it_changes_and_never_has_to_be() {
    let context = Context::settled();
    let cache = context.path("cache");
    context.scan(Some(&cache));
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    fs::File::options().write(true).open(&cache).unwrap().set_modified(old).unwrap();
    context.scan(Some(&cache));
    assert_eq!(fs::metadata(&cache).unwrap().modified().unwrap(), old);
    for junk in [b"".as_slice(), b"TBSTAT\0\x01", &[0xff; 100]] {
        fs::write(&cache, junk).unwrap();
        assert_eq!(context.scan(Some(&cache)), context.scan(None));
    }
    assert_eq!(context.scan(Some(Path::new("/proc/no/cache"))), context.scan(None));
}
