//! Archives that nobody's tar would make. None may write outside the layer, crash, or leave anything behind.

use std::path::Path;

use proptest::prelude::*;

use super::read_index;
use crate::entry::{Entry, Kind};
use crate::error::NativeError;
use crate::index::Index;
use crate::summary::Driver;
use crate::unpack::{UnpackOptions, unpack};

const BLOCK: usize = 512;

/// One member; `change` may spoil its header before the checksum is made.
fn member(name: &str, type_flag: u8, link: &str, content: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    for (at, digits) in [(108, 7), (116, 7), (124, 11), (136, 11), (329, 7), (337, 7)] {
        header[at..at + digits].fill(b'0');
    }
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[156] = type_flag;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    change(&mut header);
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header.extend_from_slice(content);
    header.resize(header.len().next_multiple_of(BLOCK), 0);
    header
}

fn plain(name: &str, type_flag: u8, link: &str) -> Vec<u8> {
    member(name, type_flag, link, b"", |_| {})
}

fn file(name: &str, content: &str) -> Vec<u8> {
    member(name, b'0', "", content.as_bytes(), |_| {})
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let record = |(key, value): &(&str, &str)| {
        let rest = key.len() + value.len() + 3;
        let length = (rest..rest + 9).find(|length| rest + length.to_string().len() == *length).unwrap();
        format!("{length} {key}={value}\n")
    };
    member("pax", b'x', "", records.iter().map(record).collect::<String>().as_bytes(), |_| {})
}

fn try_unpack(members: &[Vec<u8>], whiteouts: bool) -> Result<Index, NativeError> {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    std::fs::write(&archive, [members.concat(), vec![0; 2 * BLOCK]].concat()).unwrap();
    let before = files(dir.path());
    let result = unpack(
        Driver::Directory,
        &dir.path().join("out/layer"),
        &archive,
        UnpackOptions { whiteouts, split: true, ..UnpackOptions::default() },
    );
    assert_eq!(result.unwrap_err().code, "native/io", "the directory is missing");
    std::fs::create_dir(dir.path().join("out")).unwrap();
    match unpack(
        Driver::Directory,
        &dir.path().join("out/layer"),
        &archive,
        UnpackOptions { whiteouts, split: true, ..UnpackOptions::default() },
    ) {
        Ok(summary) => {
            assert_eq!(crate::verify(Path::new(&summary.layer.index), Path::new(&summary.layer.data)).unwrap(), Vec::<String>::new());
            let image = unpack(
                Driver::Erofs,
                &dir.path().join("image"),
                &archive,
                UnpackOptions { whiteouts, split: true, ..UnpackOptions::default() },
            )
            .unwrap();
            assert_eq!(image.layer.tree, summary.layer.tree);
            Ok(read_index(&summary.layer))
        }
        Err(error) => {
            assert_eq!(std::fs::read_dir(dir.path().join("out")).unwrap().count(), 0, "something is left");
            std::fs::remove_dir(dir.path().join("out")).unwrap();
            assert_eq!(files(dir.path()), before, "something was written outside");
            Err(error)
        }
    }
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

/// The layer's paths, with a letter for the type and "!" for opaque.
fn layer(members: &[Vec<u8>]) -> Vec<String> {
    let index = try_unpack(members, true).unwrap();
    let show = |entry: &Entry| {
        let kind = match entry.kind {
            Kind::File => "f",
            Kind::Directory if entry.implied => "i",
            Kind::Directory => "d",
            Kind::Symlink => "l",
            Kind::Whiteout => "w",
            _ => "?",
        };
        format!("{kind}{} {}", if entry.opaque { "!" } else { "" }, String::from_utf8_lossy(&entry.path))
    };
    index.tree.entries()[1..].iter().map(show).collect()
}

fn refused(members: &[Vec<u8>]) -> String {
    try_unpack(members, true).err().map_or_else(|| "accepted".into(), |error| error.code)
}

#[test]
fn names_stay_inside() {
    assert_eq!(refused(&[file("../evil", "")]), "native/bad-archive");
    assert_eq!(refused(&[file("a/../../evil", "")]), "native/bad-archive");
    assert_eq!(refused(&[plain("a", b'1', "../../etc/passwd")]), "native/bad-archive");
    assert_eq!(refused(&[pax(&[("path", "../evil")]), file("x", "")]), "native/bad-archive");
    assert_eq!(refused(&[pax(&[("path", &"a/".repeat(3000))]), file("x", "")]), "native/bad-entry");
    assert_eq!(refused(&[pax(&[("path", &"n".repeat(300))]), file("x", "")]), "native/bad-entry");
    assert_eq!(refused(&[pax(&[("path", "a\0b")]), file("x", "")]), "native/bad-archive");
    assert_eq!(
        layer(&[file("/etc/passwd", ""), file("./b//./c", ""), file("a/../d", "")]),
        ["i b", "f b/c", "f d", "i etc", "f etc/passwd"]
    );
    assert_eq!(layer(&[plain("./", b'5', ""), plain("/", b'5', ""), file("x", "")]), ["f x"]);
    assert_eq!(refused(&[file("./", "")]), "native/bad-archive");
    assert_eq!(refused(&[plain(".", b'2', "/etc")]), "native/bad-archive");
}

/// An archive that is no layer, as ADD takes it.
#[test]
fn any_tar_begins_with_a_member() {
    let code = |members: &[Vec<u8>]| try_unpack(members, false).err().map_or_else(|| "accepted".into(), |error| error.code);
    assert_eq!(code(&[]), "native/no-archive");
    assert_eq!(code(&[vec![b'x'; 1024]]), "native/no-archive");
    assert_eq!(code(&[file("a", "1"), vec![b'x'; 1024]]), "native/bad-archive");
    assert_eq!(code(&[file("", "1"), plain(".", b'2', "/etc"), file("a", "1")]), "accepted");
}

#[test]
fn symlinks_lead_only_through_the_archive() {
    let through = |target: &str| layer(&[plain("real/", b'5', ""), plain("link", b'2', target), file("link/x", "1")]);
    for target in ["real", "/real", "../../real", "./real/../real", "/../real"] {
        assert_eq!(through(target), ["l link", "d real", "f real/x"], "{target}");
    }
    assert_eq!(through("/etc/cron.d"), ["i etc", "i etc/cron.d", "f etc/cron.d/x", "l link", "d real"]);
    assert_eq!(refused(&[plain("a", b'2', "b"), plain("b", b'2', "a"), file("a/x", "")]), "native/bad-archive");
    assert_eq!(refused(&[plain("a", b'2', "a/a/a/a"), file("a/x", "")]), "native/bad-archive");
    assert_eq!(layer(&[plain("link", b'2', "/etc/passwd"), file("link", "1")]), ["f link"]);
    assert_eq!(layer(&[plain("link", b'2', "/etc"), plain("link/", b'5', "")]), ["d link"]);
}

#[test]
fn the_last_member_of_a_path_wins() {
    assert_eq!(layer(&[file("a", "1"), file("a", "22")]), ["f a"]);
    assert_eq!(layer(&[file("d/x", "1"), file("d/y/z", "1"), file("d", "2"), file("d-e", "")]), ["f d", "f d-e"]);
    assert_eq!(layer(&[file("d/x", "1"), plain("d", b'5', "")]), ["d d", "f d/x"]);
    assert_eq!(refused(&[file("d", "1"), file("d/x", "1")]), "native/bad-archive");
    let index = try_unpack(&[file("a", "old"), plain("b", b'1', "a"), file("a", "new")], true).unwrap();
    let digest = |path: &[u8]| index.tree.entries()[index.tree.find(path).unwrap()].content.digest;
    assert_eq!(digest(b"a"), *blake3::hash(b"new").as_bytes());
    assert_eq!(digest(b"b"), *blake3::hash(b"old").as_bytes());
}

#[test]
fn hard_links_are_to_members() {
    assert_eq!(refused(&[plain("a", b'1', "missing")]), "native/bad-archive");
    assert_eq!(refused(&[plain("d/", b'5', ""), plain("a", b'1', "d")]), "native/bad-archive");
    assert_eq!(refused(&[file("d/x", ""), plain("d", b'1', "d/x")]), "native/bad-archive");
    assert_eq!(layer(&[file("a", "1"), plain("a", b'1', "a"), plain("c/d", b'1', "/a")]), ["f a", "i c", "f c/d"]);
    assert_eq!(layer(&[plain("s", b'2', "x"), plain("t", b'1', "s")]), ["l s", "l t"]);
}

#[test]
fn whiteouts_have_their_oci_meaning() {
    assert_eq!(layer(&[file("d/.wh.gone", ""), file(".wh.top", "")]), ["i d", "w d/gone", "w top"]);
    assert_eq!(layer(&[file("d/.wh..wh..opq", ""), file("d/x", "")]), ["i! d", "f d/x"]);
    assert_eq!(layer(&[plain("d", b'5', ""), file("d/x", ""), file("d/.wh..wh..opq", "")]), ["d! d", "f d/x"]);
    for order in [[0, 1], [1, 0]] {
        let members = [file(".wh.d", ""), plain("d", b'5', "")];
        assert_eq!(layer(&order.map(|number| members[number].clone())), ["d! d"]);
        let members = [file(".wh.f", ""), file("f", "1")];
        assert_eq!(layer(&order.map(|number| members[number].clone())), ["f f"]);
    }
    assert_eq!(layer(&[file(".wh.d", ""), file("d/x", "")]), ["i! d", "f d/x"]);
    // A file where a directory was, and whiteouts of what was in that: umoci's repack writes them.
    let members = [file("d", "x"), file("d/.wh.below", ""), file("d/e/.wh..wh..opq", "")];
    assert_eq!(layer(&members), ["f d"]);
    assert_eq!(layer(&members.iter().rev().cloned().collect::<Vec<_>>()), ["f d"]);
    assert_eq!(layer(&[file(".wh..wh.plnk/1.2", "x"), file(".wh..wh.aufs", "")]), Vec::<String>::new());
    for name in [".wh.", "d/.wh.", ".wh..", ".wh...", ".wh.a/b", ".wh..wh..opq/x/.wh.y/z"] {
        let code = refused(&[file(name, "")]);
        assert!(code == "native/bad-entry" || code == "native/bad-archive" || name.starts_with(".wh..wh."), "{name}: {code}");
    }
    let member = [file("x", ""), file(".wh.x", "")];
    assert_eq!(try_unpack(&member, false).err().unwrap().code, "native/bad-entry");
}

#[test]
fn devices_and_overlay_marks_cannot_be_smuggled() {
    assert_eq!(refused(&[plain("c", b'3', "")]), "native/bad-entry");
    let index = try_unpack(
        &[
            pax(&[("SCHILY.xattr.trusted.overlay.opaque", "y"), ("SCHILY.xattr.user.overlay.whiteout", "y"), ("SCHILY.xattr.user.a", "b")]),
            file("x", ""),
        ],
        true,
    );
    assert_eq!(index.unwrap().tree.entries()[1].xattrs.len(), 1);
    // An archive that is to be extracted gives what a context's files would: no user attributes.
    let members = [pax(&[("SCHILY.xattr.user.a", "b"), ("SCHILY.xattr.security.capability", "c")]), file("x", "")];
    let extracted = try_unpack(&members, false).unwrap();
    let names: Vec<&[u8]> = extracted.tree.entries()[1].xattrs.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, [b"security.capability"]);
    assert_eq!(refused(&[pax(&[("SCHILY.xattr.user.big", &"v".repeat(70_000))]), file("x", "")]), "native/bad-entry");
}

#[test]
fn numbers_out_of_range_are_refused() {
    let field =
        |at: usize, bytes: &'static [u8]| member("x", b'0', "", b"", move |header| header[at..at + bytes.len()].copy_from_slice(bytes));
    assert_eq!(refused(&[field(124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")]), "native/bad-archive");
    assert_eq!(refused(&[field(124, b"\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff")]), "native/bad-archive");
    assert_eq!(refused(&[field(124, b"\x80\x00\x00\x01\x7f\xff\xff\xff\xff\xff\xff\xff")]), "native/bad-archive");
    assert_eq!(refused(&[field(124, b"77777777777\0")]), "native/bad-archive");
    assert_eq!(refused(&[field(124, b"0000000000x\0")]), "native/bad-archive");
    assert_eq!(refused(&[field(108, b"\x80\xff\xff\xff\xff\xff\xff\xff")]), "native/bad-archive");
    assert_eq!(refused(&[field(108, b"\xff\xff\xff\xff\xff\xff\xff\xff")]), "native/bad-archive");
    assert_eq!(refused(&[field(156, b"Q")]), "native/bad-archive");
    for (key, value) in
        [("size", "99999999999999999999"), ("size", "-1"), ("uid", "4294967295"), ("gid", "-2"), ("mtime", "x"), ("mtime", "1.x")]
    {
        assert_eq!(refused(&[pax(&[(key, value)]), file("x", "")]), "native/bad-archive", "{key}={value}");
    }
    let index = try_unpack(&[pax(&[("mtime", "-1.25"), ("uid", "4294967294")]), file("x", "")], true).unwrap();
    let entry = &index.tree.entries()[1];
    assert_eq!((entry.mtime.seconds, entry.mtime.nanos, entry.uid), (-2, 750_000_000, 4_294_967_294));
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let sparse =
        |map: &str, size: &str, content: &str| refused(&[pax(&[("GNU.sparse.map", map), ("GNU.sparse.size", size)]), file("x", content)]);
    assert_eq!(sparse("0,4", "10", "data"), "accepted");
    assert_eq!(sparse("0,4,2,4", "10", "datadata"), "native/bad-archive");
    assert_eq!(sparse("8,4", "10", "data"), "native/bad-archive");
    assert_eq!(sparse("0,5", "10", "data"), "native/bad-archive");
    assert_eq!(sparse("0", "10", "data"), "native/bad-archive");
    assert_eq!(sparse("9223372036854775807,9223372036854775807", "10", "data"), "native/bad-archive");
    assert_eq!(sparse("0,4", "9223372036854775807", "data"), "native/too-large");
    let map = |text: &str| {
        refused(&[pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "9")]), file("x", text)])
    };
    assert_eq!(map("99999999\n0\n1\n"), "native/bad-archive");
    assert_eq!(map(&"x".repeat(2000)), "native/bad-archive");
    assert_eq!(map("1\n0\n"), "native/bad-archive");
}

#[test]
fn special_headers_are_bounded() {
    let huge = vec![b'a'; (1 << 20) + 1];
    for type_flag in [b'x', b'L', b'K'] {
        assert_eq!(refused(&[member("s", type_flag, "", &huge, |_| {}), file("x", "")]), "native/bad-archive");
    }
    for records in ["", "x", "5 a=b", "99 a=b\n", "0 a=b\n", "-6 a=b\n", "6 abc\n", "18446744073709551616 a=b\n"] {
        let code = refused(&[member("pax", b'x', "", records.as_bytes(), |_| {}), file("x", "")]);
        assert_eq!(code, if records.is_empty() { "accepted" } else { "native/bad-archive" }, "{records}");
    }
}

#[test]
fn what_is_no_tar_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ask = |bytes: &[u8]| {
        std::fs::write(dir.path().join("archive"), bytes).unwrap();
        let result = unpack(
            Driver::Erofs,
            &dir.path().join("layer"),
            &dir.path().join("archive"),
            UnpackOptions { whiteouts: true, split: false, ..UnpackOptions::default() },
        );
        std::fs::remove_file(dir.path().join("layer.erofs")).ok();
        std::fs::remove_file(dir.path().join("layer.index")).ok();
        result.map_or_else(|error| error.code, |_| "accepted".into())
    };
    assert_eq!(ask(b""), "accepted");
    assert_eq!(ask(b"hello"), "native/bad-archive");
    assert_eq!(ask(&[b'x'; 5000]), "native/bad-archive");
    assert_eq!(ask(&[0; 512]), "accepted");
    assert_eq!(ask(&[[0; 512].to_vec(), file("x", "")].concat()), "native/bad-archive");
    assert_eq!(ask(&file("x", "content")[..600]), "native/bad-archive");
    assert_eq!(ask(b"\x1f\x8b"), "native/bad-archive");
    assert_eq!(ask(b"\x28\xb5\x2f\xfd"), "native/bad-archive");
}

#[test]
fn directories_of_any_tar_are_reached_by_links() {
    let members = [plain("real/", b'5', ""), plain("link", b'2', "/real"), plain("link/", b'5', ""), file("link/x", "1")];
    let index = try_unpack(&members, false).unwrap();
    assert!(index.tree.find(b"real/x").is_some() && index.tree.find(b"link/x").is_none());
    assert_eq!(layer(&members), ["d link", "f link/x", "d real"]);
}

#[test]
fn what_unpacks_to_too_much_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ask = |bytes: &[u8], max_bytes: u64| {
        std::fs::write(dir.path().join("archive"), bytes).unwrap();
        let options = UnpackOptions { max_bytes: Some(max_bytes), ..UnpackOptions::default() };
        let result = unpack(Driver::Directory, &dir.path().join("layer"), &dir.path().join("archive"), options);
        crate::remove(&dir.path().join("layer")).unwrap();
        std::fs::remove_file(dir.path().join("layer.index")).ok();
        result.map_or_else(|error| error.code, |_| "accepted".into())
    };
    let tar = [file("x", &"x".repeat(4 << 20)), vec![0; 2 * BLOCK]].concat();
    let size = tar.len() as u64;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    let bzip2 = {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        std::io::Write::write_all(&mut encoder, &tar).unwrap();
        encoder.finish().unwrap()
    };
    for bomb in [tar.clone(), gzip.finish().unwrap(), bzip2, zstd::encode_all(&*tar, 19).unwrap()] {
        assert_eq!(ask(&bomb, size), "accepted");
        assert_eq!(ask(&bomb, size - 1), "native/over-limit");
    }
    let sparse = [pax(&[("GNU.sparse.map", "0,4"), ("GNU.sparse.size", "1000000")]), file("x", "data")].concat();
    assert_eq!(ask(&sparse, 1_000_000), "accepted");
    assert_eq!(ask(&sparse, 900_000), "native/over-limit");
}

#[test]
fn a_file_that_changes_is_not_taken_for_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    let bytes = [file("x", "1"), vec![0; 2 * BLOCK]].concat();
    std::fs::write(&path, &bytes).unwrap();
    let ask = |digest: &[u8]| {
        let options = UnpackOptions { digest: Some(blake3::hash(digest).into()), ..UnpackOptions::default() };
        let result = unpack(Driver::Erofs, &dir.path().join("layer"), &path, options);
        std::fs::remove_file(dir.path().join("layer.erofs")).ok();
        std::fs::remove_file(dir.path().join("layer.index")).ok();
        result.map_or_else(|error| error.code, |_| "accepted".into())
    };
    assert_eq!(ask(&bytes), "accepted");
    assert_eq!(ask(b"others"), "context/changed");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something is left");
    std::fs::rename(&path, dir.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", &path).unwrap();
    assert_eq!(ask(&bytes), "context/changed");
    std::fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert_eq!(ask(&bytes), "context/changed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes, the answer is a layer that verifies or an error, and nothing else.
    #[test]
    fn mutated_archives_never_do_harm(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), fix_sums in any::<bool>()) {
        let members = [
            plain("d/", b'5', ""), file("d/x", "content"), plain("l", b'2', "d"), file("l/y", "through"), plain("h", b'1', "d/x"),
            pax(&[("GNU.sparse.map", "0,4,6,4"), ("GNU.sparse.size", "12"), ("SCHILY.xattr.user.a", "b")]), file("s", "datadata"),
            file("d/.wh.gone", ""), member("longlink", b'L', "", "long/name\0".as_bytes(), |_| {}), file("x", &"z".repeat(3000)),
        ];
        let mut bytes = members.concat();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if fix_sums {
            for header in bytes.chunks_exact_mut(BLOCK).filter(|block| block[257..262] == *b"ustar") {
                header[148..156].fill(b' ');
                let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
                header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            }
        }
        let _ = try_unpack(&[bytes], true);
    }
}
