//! Layers of both drivers: what TypeScript asks for, what a directory holds, what an upper says.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{directory, file, is_root, observe, read_index, run, trees, visible, write};
use crate::entry::Kind;
use crate::error::NativeError;
use crate::index::Index;
use crate::summary::{Driver, LayerSummary};

fn request(value: Value) -> Result<LayerSummary, NativeError> {
    crate::write_layer(&serde_json::from_value(value).unwrap())
}

fn code(result: Result<LayerSummary, NativeError>) -> String {
    result.unwrap_err().code
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_directory_layer_shows_exactly_the_tree(trees::Planted(mut listed) in trees::tree()) {
        // What ext4 has no room for stands in the index alone.
        for (entry, _) in &mut listed {
            entry.xattrs.retain(|(name, value)| name.len() + value.len() < 100);
            entry.mtime.seconds = entry.mtime.seconds.clamp(-1000, 1 << 33);
        }
        // A whiteout below an opaque directory hides nothing, and is in the index alone too.
        let opaque: Vec<_> = listed.iter().filter(|(entry, _)| entry.opaque).map(|(entry, _)| [&entry.path, b"/".as_slice()].concat()).collect();
        let is_below = |path: &[u8]| opaque.iter().any(|directory| path.starts_with(directory) || directory == b"/");
        listed.retain(|(entry, _)| entry.kind != Kind::Whiteout || !is_below(&entry.path));
        let dir = tempfile::tempdir().unwrap();
        let summary = write(Driver::Directory, &dir.path().join("layer"), listed);
        let index = read_index(&summary);
        prop_assert_eq!(crate::verify(Path::new(&summary.index), Path::new(&summary.data)).unwrap(), Vec::<String>::new());
        prop_assert!(!dir.path().join("layer.parts").exists());
        if is_root() {
            prop_assert_eq!(observe(Path::new(&summary.data)), visible(index.tree.entries()));
        }
    }

    #[test]
    fn damaged_indexes_are_refused_and_nothing_worse(trees::Planted(listed) in trees::tree(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let dir = tempfile::tempdir().unwrap();
        let summary = write(Driver::Erofs, &dir.path().join("layer"), listed);
        let mut bytes = std::fs::read(&summary.index).unwrap();
        prop_assert_eq!(Index::decode(&bytes).unwrap().id.to_string(), summary.id.clone());
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // Some bits are in fields the tree digest leaves out.
        if let Ok(index) = Index::decode(&bytes) {
            prop_assert_ne!(index.id.to_string(), summary.id);
        }
        prop_assert!(Index::decode(&bytes[..at]).is_err());
    }
}

#[test]
fn both_drivers_agree_on_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let listed =
        vec![directory(""), directory("etc"), file("etc/passwd", b"root:x:0:0::/:\n"), file("etc/group", b""), file("big", &[1; 100_000])];
    let image = write(Driver::Erofs, &dir.path().join("image"), listed.clone());
    let tree = write(Driver::Directory, &dir.path().join("tree"), listed);
    assert_eq!((&image.tree, image.bytes, image.entries), (&tree.tree, tree.bytes, tree.entries));
    assert_eq!(read_index(&image).inlined, [Some(b"root:x:0:0::/:\n".to_vec()), Some(Vec::new())]);
    assert_eq!(read_index(&tree).inlined, read_index(&image).inlined);
}

#[test]
fn a_requested_layer_takes_contents_from_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let context = dir.path().join("context");
    std::fs::create_dir_all(context.join("sub")).unwrap();
    std::fs::write(context.join("sub/small"), "small").unwrap();
    std::fs::write(context.join("sub/large"), vec![3; 3 << 20]).unwrap();
    let other = write(Driver::Erofs, &dir.path().join("other"), vec![directory(""), file("x", b"from a layer"), file("y", &[9; 5000])]);
    let other_index = read_index(&other);
    let at = |path: &[u8]| match other_index.tree.entries()[other_index.tree.find(path).unwrap()].content.place {
        crate::entry::Place::At(offset) => offset,
        _ => panic!("no place"),
    };
    let digest = |content: &[u8]| blake3::hash(content).to_string();
    let summary = request(json!({
        "driver": "erofs", "out": dir.path().join("layer"),
        "sources": [{"root": context}, {"data": other.data}],
        "entries": [
            {"path": "z/linked", "type": "file", "hardlink": "z/small"},
            {"path": "z", "type": "dir", "mode": 0o750, "uid": 7, "gid": 8, "mtime": [5, 6]},
            {"path": "z/small", "type": "file", "mode": 0o4755, "source": 0, "at": "sub/small", "size": 5, "digest": digest(b"small")},
            {"path": "z/large", "type": "file", "mode": 0o644, "source": 0, "at": "sub/large", "size": 3 << 20},
            {"path": "z/range", "type": "file", "mode": 0o644, "source": 1, "at": at(b"x"), "size": 12},
            {"path": "z/blocks", "type": "file", "mode": 0o644, "source": 1, "at": at(b"y"), "size": 5000, "digest": digest(&[9; 5000])},
            {"path": "z/text", "type": "file", "mode": 0o644, "text": "größe", "xattrs": {"user.k": "dg=="}},
            {"path": "z/empty", "type": "file", "mode": 0o644},
            {"path": "z/link", "type": "symlink", "mode": 0o777, "link": "text"},
            {"path": "z/null", "type": "char", "mode": 0o666, "rdev": [1, 3]},
            {"path": "z/gone", "type": "whiteout"}
        ]
    }))
    .unwrap();
    let index = read_index(&summary);
    let entry = |path: &str| &index.tree.entries()[index.tree.find(path.as_bytes()).unwrap()];
    assert!(entry("").implied);
    assert_eq!(entry("z/linked").inode, index.tree.find(b"z/linked").unwrap() as u64);
    assert_eq!(entry("z/small").inode, entry("z/linked").inode);
    assert_eq!((entry("z").mode, entry("z").uid, entry("z").mtime.nanos), (0o750, 7, 6));
    assert_eq!(entry("z/gone").kind, Kind::Whiteout);
    assert_eq!(crate::verify(Path::new(&summary.index), Path::new(&summary.data)).unwrap(), Vec::<String>::new());
    let contents: [(&str, &[u8]); 4] =
        [("z/linked", b"small"), ("z/range", b"from a layer"), ("z/text", "größe".as_bytes()), ("z/blocks", &[9; 5000])];
    for (path, content) in contents {
        assert_eq!(entry(path).content.digest, *blake3::hash(content).as_bytes(), "{path}");
    }
}

#[test]
fn a_context_that_changed_or_leads_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("context")).unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    std::fs::write(dir.path().join("context/file"), "now").unwrap();
    symlink("../secret", dir.path().join("context/link")).unwrap();
    symlink("..", dir.path().join("context/up")).unwrap();
    run(Command::new("mkfifo").arg(dir.path().join("context/fifo")));
    let ask = |at: &str, size: u64, digest: Option<String>| {
        let out = dir.path().join("layer");
        let result = request(json!({
            "driver": "erofs", "out": out, "sources": [{"root": dir.path().join("context")}],
            "entries": [{"path": "f", "type": "file", "mode": 0o644, "source": 0, "at": at, "size": size, "digest": digest}]
        }));
        assert!(!out.with_added_extension("erofs").exists() && !out.with_added_extension("index").exists(), "{at} left something");
        code(result)
    };
    assert_eq!(ask("file", 3, Some(blake3::hash(b"old").to_string())), "context/changed");
    assert_eq!(ask("file", 2, None), "context/changed");
    assert_eq!(ask("file", 9 << 20, None), "context/changed");
    assert_eq!(ask("fifo", 3, None), "context/changed");
    assert_eq!(ask("link", 6, None), "context/changed");
    assert_eq!(ask("up/secret", 6, None), "context/changed");
    assert_eq!(ask("missing", 6, None), "context/changed");
    assert_eq!(ask("../secret", 6, None), "native/bad-entry");
}

#[test]
fn a_tree_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let long = "n".repeat(256);
    let lists = [
        json!([{"path": "a/b", "type": "dir"}]),
        json!([{"path": "a", "type": "file"}, {"path": "a/b", "type": "dir"}]),
        json!([{"path": "a", "type": "dir"}, {"path": "a", "type": "dir"}]),
        json!([{"path": "../a", "type": "dir"}]),
        json!([{"path": "/a", "type": "dir"}]),
        json!([{"path": ".wh.a", "type": "file"}]),
        json!([{"path": long, "type": "dir"}]),
        json!([{"path": "a\u{0}b", "type": "dir"}]),
        json!([{"path": "a", "type": "symlink"}]),
        json!([{"path": "a", "type": "char", "rdev": [0, 0]}]),
        json!([{"path": "a", "type": "file", "opaque": true}]),
        json!([{"path": "", "type": "file"}]),
    ];
    for entries in lists {
        let result = request(json!({"driver": "erofs", "out": dir.path().join("layer"), "entries": entries}));
        assert_eq!(code(result), "native/bad-entry", "{entries}");
    }
    let links = json!([{"path": "a", "type": "file", "hardlink": "b"}, {"path": "b", "type": "file", "hardlink": "a"}]);
    assert_eq!(code(request(json!({"driver": "erofs", "out": dir.path().join("layer"), "entries": links}))), "native/bad-request");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_upper_becomes_whiteouts_and_opaque_directories() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let upper = dir.path().join("upper");
    std::fs::create_dir_all(upper.join("opaque")).unwrap();
    std::fs::create_dir_all(upper.join("user-opaque")).unwrap();
    for name in ["gone", "gone-too"] {
        run(Command::new("mknod").arg(upper.join(name)).args(["c", "0", "0"]));
    }
    std::fs::hard_link(upper.join("gone"), upper.join("opaque/gone")).unwrap();
    std::fs::write(upper.join("user-opaque/marked"), "").unwrap();
    std::fs::write(upper.join("kept"), "kept").unwrap();
    std::fs::set_permissions(upper.join("kept"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    let mark = |name: &str, value: &str, path: &str| {
        let path = upper.join(path);
        rustix::fs::lsetxattr(&path, name, value.as_bytes(), rustix::fs::XattrFlags::empty()).unwrap();
    };
    mark("trusted.overlay.opaque", "y", "opaque");
    mark("user.overlay.opaque", "y", "user-opaque");
    mark("user.overlay.whiteout", "", "user-opaque/marked");
    mark("trusted.overlay.impure", "y", "");
    mark("user.own", "value", "kept");
    let summary = crate::pack_dir(Driver::Erofs, &dir.path().join("layer"), &upper, true).unwrap();
    let index = read_index(&summary);
    let seen: Vec<(String, Kind, bool)> =
        index.tree.entries().iter().map(|entry| (String::from_utf8_lossy(&entry.path).into_owned(), entry.kind, entry.opaque)).collect();
    let expected = [
        ("", Kind::Directory, false),
        ("gone", Kind::Whiteout, false),
        ("gone-too", Kind::Whiteout, false),
        ("kept", Kind::File, false),
        ("opaque", Kind::Directory, true),
        ("opaque/gone", Kind::Whiteout, false),
        ("user-opaque", Kind::Directory, true),
        ("user-opaque/marked", Kind::Whiteout, false),
    ];
    assert_eq!(seen, expected.map(|(path, kind, opaque)| (path.to_string(), kind, opaque)));
    assert_eq!(index.tree.entries()[3].mode, 0o4711);
    assert_eq!(index.tree.entries()[3].xattrs.len(), 1);
    mark("trusted.overlay.redirect", "/x", "opaque");
    assert_eq!(code(crate::pack_dir(Driver::Erofs, &dir.path().join("again"), &upper, true)), "native/bad-upper");
}

#[test]
fn a_scan_is_the_tree_of_the_same_layer() {
    let dir = tempfile::tempdir().unwrap();
    let context = dir.path().join("context");
    std::fs::create_dir_all(context.join("a/b")).unwrap();
    for number in 0..300 {
        std::fs::write(context.join(format!("a/b/{number}")), format!("{number}")).unwrap();
    }
    std::fs::write(context.join("large"), vec![5; 3 << 20]).unwrap();
    std::fs::hard_link(context.join("large"), context.join("linked")).unwrap();
    symlink("nowhere", context.join("link")).unwrap();
    let scan = crate::scan(&context, None, &dir.path().join("scan"), None).unwrap();
    let packed = crate::pack_dir(Driver::Erofs, &dir.path().join("layer"), &context, false).unwrap();
    assert_eq!((scan.tree, scan.bytes, scan.entries), (packed.tree, packed.bytes, packed.entries));

    let some = |paths: &[&str]| {
        crate::scan(&context, Some(&paths.iter().map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>()), &dir.path().join("some"), None)
    };
    assert_eq!(some(&["a", "a/b", "a/b/7", "link"]).unwrap().entries, 5);
    assert_eq!(some(&["a/b/7"]).unwrap_err().code, "native/bad-entry");
    assert_eq!(some(&["missing"]).unwrap_err().code, "context/changed");
    assert_eq!(some(&["../x"]).unwrap_err().code, "native/bad-entry");
    assert_eq!(some(&["link/x", "link"]).unwrap_err().code, "context/changed");
}

#[test]
fn damage_to_a_layer_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let summary = write(
        Driver::Erofs,
        &dir.path().join("layer"),
        vec![directory(""), directory("d"), file("d/large", &[1; 9000]), file("d/small", b"tiny content")],
    );
    let image = std::fs::read(&summary.data).unwrap();
    let verify = || crate::verify(Path::new(&summary.index), Path::new(&summary.data)).unwrap();
    assert_eq!(verify(), Vec::<String>::new());
    let with = |at: usize| {
        let mut damaged = image.clone();
        damaged[at] ^= 1;
        std::fs::write(&summary.data, damaged).unwrap();
        verify().join("\n")
    };
    assert_eq!(with(5000), "d/large: content is not what the index says");
    assert_eq!(with(1024 + 12), "image: its superblock is not that of the index");
    let small = image.windows(4).position(|window| window == b"tiny").unwrap();
    assert!(with(small).starts_with("d/small: content is not what the index says"));
    assert!(with(image.len() - 4096 + 66).contains("image: its inodes"));
    std::fs::write(&summary.data, &image[..8192]).unwrap();
    assert!(verify().join("\n").contains("d/large: content cannot be read"));
    std::fs::remove_file(&summary.data).unwrap();
    assert_eq!(verify().len(), 1);
}

#[test]
fn removal_stops_at_a_mount() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (kept, gone) = (dir.path().join("kept"), dir.path().join("gone"));
    std::fs::create_dir(&kept).unwrap();
    std::fs::write(kept.join("file"), "").unwrap();
    std::fs::create_dir_all(gone.join("sub/mounted")).unwrap();
    run(Command::new("mount").arg("--bind").args([&kept, &gone.join("sub/mounted")]));
    let refused = crate::remove(&gone).unwrap_err();
    run(Command::new("umount").arg(gone.join("sub/mounted")));
    assert!(kept.join("file").exists(), "{refused}");
    assert!(["EXDEV", "EBUSY"].contains(&refused.errno.as_deref().unwrap()), "{refused}");
    crate::remove(&gone).unwrap();
}

#[test]
fn removal_follows_no_link_and_goes_to_any_depth() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, gone) = (dir.path().join("kept"), dir.path().join("gone"));
    std::fs::create_dir(&kept).unwrap();
    std::fs::write(kept.join("file"), "").unwrap();
    std::fs::create_dir(&gone).unwrap();
    symlink(&kept, gone.join("link")).unwrap();
    // Deeper than a path can be, than fds can be open, than a stack should be.
    let mut deep = crate::beneath::open_root(&gone).unwrap();
    for _ in 0..1500 {
        rustix::fs::mkdirat(&deep, "a-name", rustix::fs::Mode::RWXU).unwrap();
        rustix::fs::mkdirat(&deep, "beside", rustix::fs::Mode::RWXU).unwrap();
        deep = crate::beneath::open_directory(&deep, b"a-name").unwrap();
    }
    std::fs::create_dir(gone.join("closed")).unwrap();
    std::fs::write(gone.join("closed/file"), "").unwrap();
    std::fs::set_permissions(gone.join("closed"), std::fs::Permissions::from_mode(0o000)).unwrap();
    crate::remove(&gone).unwrap();
    assert!(!gone.exists() && kept.join("file").exists());
    crate::remove(&gone).unwrap();
    symlink(&kept, &gone).unwrap();
    crate::remove(&gone).unwrap();
    assert!(!gone.exists() && kept.join("file").exists());
}

#[test]
fn a_layer_of_one_time_differs_in_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let context = dir.path().join("context");
    std::fs::create_dir_all(context.join("a/b")).unwrap();
    std::fs::write(context.join("a/b/small"), "small").unwrap();
    std::fs::write(context.join("large"), vec![5; 3 << 20]).unwrap();
    std::fs::hard_link(context.join("large"), context.join("linked")).unwrap();
    symlink("nowhere", context.join("link")).unwrap();
    for driver in [Driver::Erofs, Driver::Directory] {
        let at = |name: &str| dir.path().join(format!("{driver:?}-{name}"));
        let packed = crate::pack_dir(driver, &at("layer"), &context, false).unwrap();
        let copy = crate::retime(driver, &at("copy"), Path::new(&packed.index), Path::new(&packed.data), 315_532_800).unwrap();
        assert_eq!((&copy.tree, copy.bytes, copy.entries), (&packed.tree, packed.bytes, packed.entries));
        assert_ne!(copy.id, packed.id);
        let times: Vec<_> = read_index(&copy).tree.entries().iter().map(|entry| (entry.mtime.seconds, entry.mtime.nanos)).collect();
        assert_eq!(times, vec![(315_532_800, 0); 7]);
        assert_eq!(crate::verify(Path::new(&copy.index), Path::new(&copy.data)).unwrap(), Vec::<String>::new());
        assert_eq!(crate::pack_upper(driver, &at("upper"), &context, Some(315_532_800)).unwrap().id, copy.id);
    }
}

#[test]
fn of_a_damaged_layer_no_copy_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let context = dir.path().join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("large"), vec![5; 8 << 10]).unwrap();
    let packed = crate::pack_dir(Driver::Directory, &dir.path().join("layer"), &context, false).unwrap();
    std::fs::write(Path::new(&packed.data).join("large"), vec![6; 8 << 10]).unwrap();
    let copied = crate::retime(Driver::Directory, &dir.path().join("copy"), Path::new(&packed.index), Path::new(&packed.data), 0);
    assert_eq!(code(copied), "store/damaged");
}
