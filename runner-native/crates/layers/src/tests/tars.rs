//! Tars, judged by the tars of others: GNU tar, bsdtar and Python read ours, we read theirs, and give them back bit for bit.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::{directory, file, has_tool, is_root, observe, read_index, run, trees, visible, write};
use crate::entry::{Entry, Kind, Mtime};
use crate::error::NativeError;
use crate::export::{Compression, Layer, TarSummary, export_tar, sha256};
use crate::summary::{Driver, LayerSummary};
use crate::unpack::{UnpackOptions, UnpackSummary, unpack};

fn export(layer: &LayerSummary, split: Option<&Path>, out: &Path, compression: Compression) -> TarSummary {
    let layer = Layer { index: Path::new(&layer.index), data: Path::new(&layer.data), split };
    export_tar(&layer, Some(out), compression, None).unwrap()
}

/// As they are after a trip through a tar: times to the second, and no root.
pub fn without_fractions(entries: &[Entry]) -> Vec<Entry> {
    let cut = |entry: &Entry| Entry { mtime: Mtime { nanos: 0, ..entry.mtime }, ..entry.clone() };
    let mut entries: Vec<Entry> = visible(entries)[1..].iter().map(cut).collect();
    entries.iter_mut().filter(|entry| entry.kind == Kind::Whiteout).for_each(|entry| entry.mtime = Mtime::default());
    entries
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_layer_survives_its_tar(trees::Planted(listed) in trees::tree()) {
        let dir = tempfile::tempdir().unwrap();
        let layer = write(Driver::Erofs, &dir.path().join("layer"), listed);
        let tar = export(&layer, None, &dir.path().join("tar"), Compression::None);
        prop_assert_eq!(&tar.diff_id, &sha256(&dir.path().join("tar")).unwrap().digest);
        for (compression, driver) in [(Compression::Gzip, Driver::Directory), (Compression::Zstd, Driver::Erofs)] {
            let blob = dir.path().join(format!("{compression:?}"));
            let packed = export(&layer, None, &blob, compression);
            let back = unpack(driver, &blob.with_extension("back"), &blob, UnpackOptions { whiteouts: true, split: true, ..UnpackOptions::default() }).unwrap();
            prop_assert_eq!((&packed.diff_id, packed.tar_size), (&tar.diff_id, tar.size));
            prop_assert_eq!((&back.diff_id, &back.blob_digest, back.blob_size), (&tar.diff_id, &packed.digest, packed.size));
            let (before, after) = (read_index(&layer), read_index(&back.layer));
            prop_assert_eq!(without_fractions(before.tree.entries()), without_fractions(after.tree.entries()));
            prop_assert_eq!(before.tree.entries()[0].opaque, after.tree.entries()[0].opaque);
            let again = export(&back.layer, back.split.as_deref(), &blob.with_extension("again"), Compression::None);
            prop_assert_eq!(&again.diff_id, &tar.diff_id);
            let like = UnpackOptions { whiteouts: true, like: Some(Path::new(&layer.index)), ..UnpackOptions::default() };
            let same = unpack(driver, &blob.with_extension("same"), &blob, like).unwrap().layer;
            prop_assert_eq!(&same.tree, &layer.tree);
            prop_assert!(driver == Driver::Directory || same.id == layer.id);
        }
    }
}

#[test]
fn the_default_of_gzip_lies_between_two_levels() {
    let dir = tempfile::tempdir().unwrap();
    let text: Vec<u8> = (0..1_500_000_u32).flat_map(|line| format!("{:x} ", line.wrapping_mul(2_654_435_761) >> 12).into_bytes()).collect();
    let layer = write(Driver::Erofs, &dir.path().join("layer"), vec![file("text", &text)]);
    let source = Layer { index: Path::new(&layer.index), data: Path::new(&layer.data), split: None };
    let sizes = [Some(2), None, Some(1)].map(|level| export_tar(&source, None, Compression::Gzip, level).unwrap().size);
    assert!(text.len() > 8 << 20 && sizes.is_sorted() && sizes[0] < sizes[1] && sizes[1] < sizes[2], "{sizes:?}");
}

#[test]
fn a_tar_is_not_taken_for_the_layer_of_another_index() {
    let dir = tempfile::tempdir().unwrap();
    let listed = |content: &str| vec![directory("d"), file("d/f", content.as_bytes())];
    let [one, other] = ["one", "two"].map(|content| write(Driver::Erofs, &dir.path().join(content), listed(content)));
    let more = write(Driver::Erofs, &dir.path().join("more"), [listed("one"), vec![file("g", b"")]].concat());
    let tar = dir.path().join("tar");
    export(&one, None, &tar, Compression::Gzip);
    for (index, why) in [(&other.index, "has another content in the tar"), (&more.index, "is not in the tar")] {
        let like = UnpackOptions { whiteouts: true, like: Some(Path::new(index)), ..UnpackOptions::default() };
        let error = unpack(Driver::Erofs, &dir.path().join("out"), &tar, like).unwrap_err();
        assert_eq!((&*error.code, &*error.detail), ("native/bad-archive", why));
    }
    let less = dir.path().join("less");
    export(&more, None, &less, Compression::Zstd);
    let like = UnpackOptions { whiteouts: true, like: Some(Path::new(&one.index)), ..UnpackOptions::default() };
    let error = unpack(Driver::Erofs, &dir.path().join("out"), &less, like).unwrap_err();
    assert_eq!(&*error.detail, "the tar holds more than the index says");
}

fn sample(dir: &Path) -> PathBuf {
    let tree = dir.join("sample");
    fs::create_dir_all(tree.join("sub/deep")).unwrap();
    fs::write(tree.join("sub/file"), "content").unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    fs::write(tree.join("large"), (0..3_000_000).map(|at: u32| (at >> 3) as u8).collect::<Vec<u8>>()).unwrap();
    fs::write(tree.join("größe-☃"), "text").unwrap();
    fs::hard_link(tree.join("sub/file"), tree.join("sub/deep/linked")).unwrap();
    std::os::unix::fs::symlink("../sub", tree.join("sub/link")).unwrap();
    let (name, target) = ("n".repeat(180), "t".repeat(150));
    fs::create_dir(tree.join(&name)).unwrap();
    fs::write(tree.join(&name).join(&name), "long").unwrap();
    std::os::unix::fs::symlink(target, tree.join("long-link")).unwrap();
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    for at in [1 << 20, 2 << 20, 5 << 20, 6 << 20, 7 << 20, 8 << 20] {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"island", at).unwrap();
    }
    sparse.set_len(10 << 20).unwrap();
    if is_root() {
        run(Command::new("mknod").arg(tree.join("null")).args(["c", "1", "3"]));
        run(Command::new("mkfifo").arg(tree.join("fifo")));
        std::os::unix::fs::chown(tree.join("empty"), Some(3_000_000), Some(2_097_152)).unwrap();
        rustix::fs::lsetxattr(tree.join("empty"), "user.name", b"a\nb=c\0d", rustix::fs::XattrFlags::empty()).unwrap();
    }
    tree
}

/// Unpacks, checks the digests, rebuilds bit for bit.
fn round_trip(archive: &Path, driver: Driver) -> UnpackSummary {
    let out = archive.with_extension(format!("{driver:?}"));
    let unpacked = unpack(driver, &out, archive, UnpackOptions { whiteouts: true, split: true, ..UnpackOptions::default() }).unwrap();
    let blob = sha256(archive).unwrap();
    assert_eq!((&unpacked.blob_digest, unpacked.blob_size), (&blob.digest, blob.size), "{}", archive.display());
    let again = out.with_added_extension("again");
    let rebuilt = export(&unpacked.layer, unpacked.split.as_deref(), &again, Compression::None);
    assert_eq!(rebuilt.diff_id, unpacked.diff_id, "{}", archive.display());
    assert_eq!(crate::verify(Path::new(&unpacked.layer.index), Path::new(&unpacked.layer.data)).unwrap(), Vec::<String>::new());
    unpacked
}

fn check_archives(makers: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    for (number, maker) in makers.iter().enumerate() {
        let archive = dir.path().join(format!("{number}.tar"));
        run(Command::new("sh").args(["-c", &format!("cd \"$1\" && {maker}"), "sh"]).arg(&tree).arg(&archive));
        for driver in [Driver::Erofs, Driver::Directory] {
            let unpacked = round_trip(&archive, driver);
            let index = read_index(&unpacked.layer);
            let seen: Vec<Entry> = without_fractions(index.tree.entries());
            let mut expected = without_fractions(&observe(&tree));
            if !maker.contains("xattr") {
                expected.iter_mut().for_each(|entry| entry.xattrs.clear());
            }
            assert_eq!(seen, expected, "{maker}");
        }
    }
}

#[test]
fn archives_of_gnu_tar_come_back_bit_for_bit() {
    if !is_root() {
        return;
    }
    check_archives(&[
        "tar --format=gnu -cf \"$2\" .",
        "tar --format=oldgnu -cf \"$2\" .",
        "tar --format=posix -cf \"$2\" .",
        "tar --format=posix --xattrs --xattrs-include='*' -cf \"$2\" .",
        "tar --format=gnu -S -b 1 -cf \"$2\" .",
        "tar --format=posix -S --sparse-version=0.0 -cf \"$2\" .",
        "tar --format=posix -S --sparse-version=0.1 -cf \"$2\" .",
        "tar --format=posix -S --sparse-version=1.0 -cf \"$2\" .",
        "tar --format=gnu -V label -cf \"$2\" .",
        "tar --format=posix -c . | head -c -1024 >\"$2\"",
    ]);
}

#[test]
fn archives_of_bsdtar_and_python_come_back_bit_for_bit() {
    if is_root() && has_tool("bsdtar") {
        check_archives(&["bsdtar --format=pax --xattrs -cf \"$2\" .", "bsdtar --format=gnutar -cf \"$2\" ."]);
    }
    if is_root() && has_tool("python3") {
        let script = |format: &str| {
            format!("import sys,tarfile; t=tarfile.open(sys.argv[1],\"w\",format=tarfile.{format}); t.add(\".\"); t.close()")
        };
        let python = |format: &str| format!("python3 -c '{}' \"$2\"", script(format));
        check_archives(&[&python("PAX_FORMAT"), &python("GNU_FORMAT")]);
    }
}

#[test]
fn others_read_our_tars() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    let layer = crate::pack_dir(Driver::Erofs, &dir.path().join("layer"), &tree, false).unwrap();
    let expected = without_fractions(&observe(&tree));
    let ours = dir.path().join("ours.tar");
    export(&layer, None, &ours, Compression::None);
    for reader in ["tar --xattrs --xattrs-include='*' --numeric-owner --same-owner -xpf \"$1\"", "bsdtar --numeric-owner -xpf \"$1\""] {
        let to = dir.path().join(&reader[..3]);
        if has_tool(reader.split(' ').next().unwrap()) {
            fs::create_dir(&to).unwrap();
            run(Command::new("sh").args(["-c", &format!("cd \"$2\" && {reader}"), "sh"]).arg(&ours).arg(&to));
            assert_eq!(without_fractions(&observe(&to)), expected, "{reader}");
        }
    }
    if has_tool("python3") {
        let names =
            run(Command::new("python3").args(["-c", "import sys,tarfile; print(len(tarfile.open(sys.argv[1]).getmembers()))"]).arg(&ours));
        assert_eq!(String::from_utf8(names).unwrap().trim(), expected.len().to_string());
    }
}

#[test]
fn compressed_archives_are_known_by_their_content() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain.tar");
    let layer = write(
        Driver::Erofs,
        &dir.path().join("layer"),
        vec![directory(""), file("large", &(0..2_000_000).map(|at: u32| (at >> 5) as u8).collect::<Vec<u8>>())],
    );
    let tar = export(&layer, None, &plain, Compression::None);
    for (tool, arguments) in [("gzip", "-c"), ("zstd", "-qc"), ("bzip2", "-c"), ("xz", "-c"), ("zstd", "-qc --long=27"), ("xz", "-9c")] {
        if has_tool(tool) {
            let packed = dir.path().join(format!("{tool}{arguments}"));
            fs::write(&packed, run(Command::new(tool).args(arguments.split(' ')).arg(&plain))).unwrap();
            assert_eq!(round_trip(&packed, Driver::Erofs).diff_id, tar.diff_id, "{tool} {arguments}");
            // Cut short, it must not pass for whole.
            let bytes = fs::read(&packed).unwrap();
            for keep in [bytes.len() - 1, bytes.len() / 2] {
                assert_eq!(refused(&bytes[..keep]), "native/bad-archive", "{tool} {arguments} cut to {keep}");
            }
            let more = [bytes.as_slice(), b"something else"].concat();
            assert_eq!(refused(&more), "native/bad-archive", "{tool} {arguments} with more behind it");
        }
    }
}

fn refused(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("archive"), bytes).unwrap();
    let error: NativeError = unpack(
        Driver::Erofs,
        &dir.path().join("layer"),
        &dir.path().join("archive"),
        UnpackOptions { whiteouts: true, split: true, ..UnpackOptions::default() },
    )
    .unwrap_err();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something is left");
    error.code
}

#[test]
fn what_is_read_is_kept_whole_even_where_it_is_no_layer() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes: Vec<u8> = (0..5_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let keep_as = |name: &str, bytes: &[u8]| {
        let (from, to) = (dir.path().join(name), dir.path().join(name).with_extension("kept"));
        fs::write(&from, bytes).unwrap();
        let options = UnpackOptions { whiteouts: true, keep: Some(&to), ..UnpackOptions::default() };
        let result = unpack(Driver::Erofs, &from.with_extension("layer"), &from, options);
        assert!(fs::read(&to).unwrap() == bytes, "{name}");
        result
    };
    assert_eq!(keep_as("noise", &bytes).unwrap_err().code, "native/bad-archive");
    let layer = write(Driver::Erofs, &dir.path().join("layer"), vec![file("file", &bytes)]);
    let tar = export(&layer, None, &dir.path().join("tar"), Compression::Gzip);
    bytes = fs::read(dir.path().join("tar")).unwrap();
    assert_eq!(keep_as("sound", &bytes).unwrap().diff_id, tar.diff_id);
    bytes.truncate(bytes.len() / 2);
    assert!(keep_as("cut", &bytes).is_err());
}

#[test]
fn gzip_members_and_zeros_behind_them_are_one_archive() {
    let dir = tempfile::tempdir().unwrap();
    let layer = write(Driver::Erofs, &dir.path().join("layer"), vec![directory(""), file("large", &vec![7; 3 << 20])]);
    let tar = export(&layer, None, &dir.path().join("tar"), Compression::None);
    let blob = dir.path().join("blob");
    let packed = export(&layer, None, &blob, Compression::Gzip);
    fs::File::options().append(true).open(&blob).unwrap().write_all(&[0; 700_000]).unwrap();
    let unpacked = round_trip(&blob, Driver::Erofs);
    assert_eq!((unpacked.diff_id, unpacked.blob_size), (tar.diff_id, packed.size + 700_000));
}

#[test]
fn a_fifo_is_an_archive_too() {
    let dir = tempfile::tempdir().unwrap();
    let layer = write(Driver::Erofs, &dir.path().join("layer"), vec![directory(""), file("large", &vec![7; 3 << 20])]);
    let tar = export(&layer, None, &dir.path().join("tar"), Compression::None);
    let fifo = dir.path().join("fifo");
    run(Command::new("mkfifo").arg(&fifo));
    let mut writer = Command::new("cp").arg(dir.path().join("tar")).arg(&fifo).spawn().unwrap();
    let unpacked =
        unpack(Driver::Erofs, &dir.path().join("back"), &fifo, UnpackOptions { whiteouts: true, split: false, ..UnpackOptions::default() })
            .unwrap();
    assert!(writer.wait().unwrap().success());
    assert_eq!((unpacked.diff_id, unpacked.split), (tar.diff_id, None));
}

#[test]
fn a_member_that_is_replaced_stays_in_the_framing() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("twice.tar");
    let script = "cd \"$2\" && echo first >a && echo kept >b && mkdir d && head -c 200000 /dev/zero >d/f && tar -cf \"$1\" a b d && echo second >a && rm -r d && echo file >d && tar -rf \"$1\" a d";
    run(Command::new("sh").args(["-c", script, "sh"]).arg(&archive).arg(dir.path()));
    for driver in [Driver::Erofs, Driver::Directory] {
        let unpacked = round_trip(&archive, driver);
        let index = read_index(&unpacked.layer);
        let paths: Vec<&[u8]> = index.tree.entries().iter().map(|entry| &*entry.path).collect();
        assert_eq!(paths, [b"".as_slice(), b"a", b"b", b"d"]);
        assert_eq!(index.tree.entries()[1].content.digest, *blake3::hash(b"second\n").as_bytes());
    }
}
