//! Layers with everything in them that a layer can have, one over the other.

use super::support::whiteout;
use rustix::fs::{self as kernel, CWD, FileType, Mode, XattrFlags};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

type Fill = fn(&Path);

/// Bottom to top.
pub const STACK: [(&str, Fill); 5] = [("one", below), ("two", everything), ("three", hiding), ("four", between), ("five", above)];

const FIRST: u32 = 1 << 31;
const COUNT: u32 = (1 << 31) - 2;

/// As tbuild's containers have it.
pub fn give_user_namespace(spec: &mut Value) {
    spec["userns"] = json!({ "first": FIRST, "count": COUNT });
    let linux = &mut spec["config"]["linux"];
    linux["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    for map in ["uidMappings", "gidMappings"] {
        linux[map] = json!([{ "containerID": 0, "hostID": FIRST, "size": COUNT }]);
    }
}

fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789)).unwrap();
}

fn mark(path: &Path, name: &str, value: &[u8]) {
    kernel::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn opaque(path: &Path) {
    fs::create_dir_all(path).unwrap();
    mark(path, "trusted.overlay.opaque", b"y");
}

/// What the layers above hide, replace and add to.
fn below(root: &Path) {
    let files = root.join("files");
    for name in ["kept", "replaced", "gone", "merged/one", "merged/gone", "opaque/hidden", "by-file/x", "back/hidden", "left/x"] {
        write(&files.join(name), format!("{name} below\n"), 0o644);
    }
    write(&files.join("by-directory"), "a file", 0o600);
}

fn everything(root: &Path) {
    let files = root.join("files");
    write(&files.join("replaced"), "replaced\n", 0o4755);
    write(&files.join("merged/two"), "two\n", 0o600);
    write(&files.join("empty"), "", 0o000);
    write(&files.join("large"), (0..1_000_003_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>(), 0o640);
    write(&files.join("next/hidden-by-three"), "x", 0o644);
    write(&files.join("next/kept"), "x", 0o644);
    write(&files.join("over-whiteout/deep/x"), "hidden by a whiteout in three, over which five has a directory", 0o644);
    for (name, uid, gid) in [("large", 1000, 70_000), ("empty", 0, 5)] {
        chown(files.join(name), Some(uid), Some(gid)).unwrap();
    }
    fs::create_dir(files.join("sticky")).unwrap();
    fs::set_permissions(files.join("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("merged/two", files.join("link")).unwrap();
    symlink("x/".repeat(2000), files.join("long-link")).unwrap();
    for (name, kind, device) in [
        ("char", FileType::CharacterDevice, kernel::makedev(1, 3)),
        ("block", FileType::BlockDevice, kernel::makedev(259, 70_000)),
        ("fifo", FileType::Fifo, 0),
        ("socket", FileType::Socket, 0),
    ] {
        kernel::mknodat(CWD, files.join(name), kind, Mode::from_raw_mode(0o620), device).unwrap();
    }
    write(&files.join("hard/one"), "linked", 0o644);
    fs::hard_link(files.join("hard/one"), files.join("hard/two")).unwrap();
    fs::create_dir(files.join("other")).unwrap();
    fs::hard_link(files.join("hard/one"), files.join("other/three")).unwrap();
    write(&files.join("other/alone"), "linked", 0o644);
    fs::hard_link(files.join("other/alone"), files.join("other/alone-no-more")).unwrap();
    write(&files.join("n".repeat(255)), "a long name", 0o644);
    write(&files.join(OsStr::from_bytes(b"\xff\xfe \xc3\xa9\n\"")), "no text", 0o644);
    write(&files.join(["d".repeat(250).as_str(); 14].join("/")).join("deep"), "deep", 0o644);
    attributes(&files.join("with-attributes"));
}

/// Their forms are those of linux/posix_acl_xattr.h and linux/capability.h.
fn attributes(directory: &Path) {
    const NONE: u32 = u32::MAX;
    let acl = |entries: &[(u16, u16, u32)]| {
        let entries =
            entries.iter().flat_map(|(tag, rights, id)| [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat());
        2_u32.to_le_bytes().into_iter().chain(entries).collect::<Vec<u8>>()
    };
    let rights = acl(&[(1, 6, NONE), (2, 7, 1000), (4, 4, NONE), (8, 5, 70_000), (16, 7, NONE), (32, 0, NONE)]);
    for name in ["file", "acl", "capability", "capability-of-one"] {
        write(&directory.join(name), name, 0o755);
    }
    mark(&directory.join("file"), "user.name", b"value\0with a zero");
    mark(&directory.join("file"), "user.empty", b"");
    mark(&directory.join("file"), "user.long", &[b'x'; 3000]);
    mark(&directory.join("acl"), "system.posix_acl_access", &rights);
    mark(directory, "system.posix_acl_default", &rights);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    mark(&directory.join("capability"), "security.capability", &words(&[0x0200_0001, 1 << 13, 0, 0, 0]));
    mark(&directory.join("capability-of-one"), "security.capability", &words(&[0x0300_0000, 1 << 10, 0, 0, 0, 1000]));
}

fn hiding(root: &Path) {
    let files = root.join("files");
    fs::create_dir_all(files.join("merged")).unwrap();
    fs::create_dir_all(files.join("next")).unwrap();
    for name in ["gone", "merged/gone", "next/hidden-by-three", "other", "over-whiteout", "not-there-anyway"] {
        whiteout(&files.join(name));
    }
    opaque(&files.join("opaque"));
    write(&files.join("opaque/new"), "new\n", 0o644);
    write(&files.join("by-file"), "a file over a directory", 0o644);
    write(&files.join("by-directory/x"), "a directory over a file", 0o644);
    whiteout(&files.join("back"));
    fs::set_permissions(files.join("merged"), fs::Permissions::from_mode(0o711)).unwrap();
}

fn between(root: &Path) {
    let files = root.join("files");
    write(&files.join("back/again"), "a directory over a whiteout", 0o644);
    write(&files.join("merged/three"), "three\n", 0o644);
    write(&files.join("left/y"), "y", 0o644);
    opaque(&files.join("next/new"));
}

fn above(root: &Path) {
    let files = root.join("files");
    write(&files.join("merged/four"), "four\n", 0o644);
    write(&files.join("over-whiteout/new"), "new", 0o644);
    whiteout(&files.join("merged/three-that-is-not-there"));
    fs::create_dir(files.join("left")).unwrap();
    whiteout(&files.join("left/x"));
    write(&files.join("new"), "new\n", 0o644);
}
