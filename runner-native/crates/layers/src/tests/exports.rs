//! Stacks as directories and as tars: what they show is what overlayfs shows, and what stands where they go is replaced, never followed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;

use super::tars::without_fractions;
use super::{Listed, Mounted, directory, file, is_root, number, observe, read_index, trees, write};
use crate::entry::{Entry, Kind, Mtime, Names, Tree};
use crate::stack::{Stack, StackLayer};
use crate::summary::{Driver, LayerSummary};
use crate::{UnpackOptions, copy_tree, place_tree, unpack, write_tree_tar};

fn stack(layers: &[LayerSummary]) -> Stack {
    named("linux/amd64", "", layers)
}

fn named(name: &str, directory: &str, layers: &[LayerSummary]) -> Stack {
    let layers = layers.iter().map(|layer| StackLayer { index: (&layer.index).into(), data: (&layer.data).into() });
    Stack { name: name.into(), directory: directory.into(), layers: layers.collect(), subtree: String::new() }
}

/// What is below a root, owned by whoever runs the test.
fn exported(entries: Vec<Entry>) -> Vec<Entry> {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    entries.into_iter().skip(1).map(|entry| Entry { uid: own.0, gid: own.1, ..entry }).collect()
}

/// As a file system with times up to the year 2446 keeps them (ext4).
fn bounded(mut entries: Vec<Entry>) -> Vec<Entry> {
    const LAST: Mtime = Mtime { seconds: 15_032_385_535, nanos: 0 };
    entries.iter_mut().for_each(|entry| entry.mtime = entry.mtime.min(LAST));
    entries
}

/// Without the attributes that the kernel lets nobody put there (`user.` on what is no file), or that ext4 has no room for.
fn without_lost_xattrs(mut entries: Vec<Entry>, shown: &[Entry]) -> Vec<Entry> {
    let bytes = |entry: &Entry| entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let crowded: HashSet<&[u8]> = shown.iter().filter(|entry| bytes(entry) > 3000).map(|entry| &*entry.path).collect();
    for entry in &mut entries {
        let is_plain = matches!(entry.kind, Kind::File | Kind::Directory);
        let keeps = |name: &[u8]| !crowded.contains(&*entry.path) && (is_plain || !name.starts_with(b"user."));
        entry.xattrs.retain(|(name, _)| keeps(name));
    }
    entries
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_export_shows_what_overlayfs_shows(trees in proptest::collection::vec(trees::tree(), 1..4)) {
        let dir = tempfile::tempdir().unwrap();
        let layers: Vec<LayerSummary> = trees
            .into_iter()
            .enumerate()
            .map(|(position, trees::Planted(listed))| write(Driver::Erofs, &dir.path().join(position.to_string()), listed))
            .collect();
        let out = dir.path().join("out");
        let summary = copy_tree(&[stack(&layers)], &out, None, false).unwrap();
        let copied = observe(&out);
        prop_assert_eq!(copied.len(), summary.entries + 1);
        if is_root() {
            let images: Vec<Mounted> = layers.iter().rev().map(|layer| Mounted::image(&layer.data)).collect();
            let empty = tempfile::tempdir().unwrap();
            let lowers: Vec<&Path> = images.iter().map(|image| &*image.at).chain([empty.path()]).collect();
            let shown = observe(&Mounted::overlay(&lowers).at);
            let as_on_disk = |entries| bounded(exported(without_lost_xattrs(entries, &shown)));
            prop_assert_eq!(as_on_disk(copied), as_on_disk(shown.clone()));
            let tar = dir.path().join("tar");
            write_tree_tar(&[stack(&layers)], File::create(&tar).unwrap(), None).unwrap();
            // As a layer: an archive to be extracted loses attributes, and is none when it is empty.
            let as_layer = UnpackOptions { whiteouts: true, ..UnpackOptions::default() };
            let unpacked = unpack(Driver::Erofs, &dir.path().join("unpacked"), &tar, as_layer).unwrap().layer;
            // A tar has no sockets, and no inodes to be numbered by them.
            let kept = shown.into_iter().filter(|entry| entry.kind != Kind::Socket).collect();
            let expected = Tree::new(kept, Names::Any).unwrap();
            // Without the root, which an empty tar does not even imply.
            let below = |entries: &[Entry]| without_fractions(entries).into_iter().skip(1).collect::<Vec<_>>();
            prop_assert_eq!(below(read_index(&unpacked).tree.entries()), below(&super::visible(expected.entries())));
        }
    }
}

fn layer(dir: &Path, name: &str, listed: Listed) -> LayerSummary {
    write(Driver::Directory, &dir.join(name), listed)
}

#[test]
fn platforms_stand_beside_each_other_or_together_when_they_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let one = [layer(dir.path(), "1", vec![directory("bin"), file("bin/app", b"one"), file("one", b"1")])];
    let two = [layer(dir.path(), "2", vec![directory("bin"), file("bin/app", b"two"), file("two", b"2")])];
    let other = [layer(dir.path(), "3", vec![directory("bin"), file("bin/other", b"other")])];
    let out = |name: &str| dir.path().join(name);
    copy_tree(&[named("linux/amd64", "linux_amd64", &one), named("linux/arm64", "linux_arm64", &two)], &out("split"), Some(86_400), false)
        .unwrap();
    for (path, content) in [("linux_amd64/bin/app", "one"), ("linux_arm64/bin/app", "two"), ("linux_arm64/two", "2")] {
        assert_eq!(fs::read_to_string(out("split").join(path)).unwrap(), content);
        assert_eq!(fs::metadata(out("split").join(path)).unwrap().mtime(), 86_400);
    }
    assert_eq!(fs::metadata(out("split/linux_amd64")).unwrap().mtime(), 86_400);
    copy_tree(&[named("linux/amd64", "", &one), named("linux/arm64", "", &other)], &out("together"), None, false).unwrap();
    assert_eq!(fs::read_dir(out("together/bin")).unwrap().count(), 2);
    let error = copy_tree(&[named("linux/amd64", "", &one), named("linux/arm64", "", &two)], &out("clash"), None, false).unwrap_err();
    assert_eq!(error.code, "image/clash");
    assert_eq!(error.detail, "cannot overwrite bin/app from linux/amd64 with linux/arm64 when split option is disabled");
    assert!(!out("clash").exists());
}

#[test]
fn a_failed_export_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut broken = layer(dir.path(), "layer", vec![directory("a"), file("a/file", &[1; 300_000]), file("b", b"b")]);
    fs::write(Path::new(&broken.data).join("a/file"), "short").unwrap();
    let out = dir.path().join("out");
    assert_eq!(copy_tree(&[stack(std::slice::from_ref(&broken))], &out, None, false).unwrap_err().code, "store/damaged");
    assert!(!out.exists());
    broken.data = dir.path().join("missing").to_string_lossy().into();
    assert!(copy_tree(&[stack(&[broken])], &out, None, false).is_err());
    assert!(!out.exists());
}

/// A target with files of its own, a staged tree in it, and something outside that a link in the target leads to.
fn place(listed: Listed, prepare: impl Fn(&Path, &Path), delete: bool) -> (tempfile::TempDir, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (target, outside) = (dir.path().join("target"), dir.path().join("outside"));
    fs::create_dir(&target).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("passwd"), "untouched").unwrap();
    prepare(&target, &outside);
    let layer = layer(dir.path(), "layer", number(listed));
    let staging = target.join(".staging");
    copy_tree(&[stack(&[layer])], &staging, None, false).unwrap();
    place_tree(&staging, &target, delete).unwrap();
    crate::remove(&staging).unwrap();
    assert_eq!(fs::read_to_string(outside.join("passwd")).unwrap(), "untouched");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    let names = observe(&target).iter().skip(1).map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect();
    (dir, names)
}

#[test]
fn links_in_the_target_are_replaced_and_not_followed() {
    let listed = vec![directory("etc"), file("etc/passwd", b"new"), file("file", b"new"), directory("sub"), file("sub/deep", b"new")];
    let (dir, names) = place(
        listed,
        |target, outside| {
            symlink(outside, target.join("etc")).unwrap();
            symlink(outside.join("passwd"), target.join("file")).unwrap();
            fs::create_dir(target.join("sub")).unwrap();
            symlink(outside.join("passwd"), target.join("sub/deep")).unwrap();
        },
        false,
    );
    assert_eq!(names, ["etc", "etc/passwd", "file", "sub", "sub/deep"]);
    for path in ["etc/passwd", "file", "sub/deep"] {
        let found = fs::symlink_metadata(dir.path().join("target").join(path)).unwrap();
        assert!(found.is_file(), "{path}");
    }
}

#[test]
fn what_is_not_replaced_stays_unless_it_is_to_be_deleted() {
    let listed = || {
        let mut closed = directory("closed");
        closed.0.mode = 0o500;
        closed.0.mtime.seconds = 1000;
        vec![closed, file("closed/new", b"new"), directory("was-file"), file("was-file/x", b""), file("was-directory", b"")]
    };
    let prepare = |target: &Path, outside: &Path| {
        fs::create_dir_all(target.join("closed/own/deep")).unwrap();
        fs::create_dir_all(target.join("was-directory/with/files")).unwrap();
        fs::write(target.join("was-file"), "").unwrap();
        fs::write(target.join("other"), "").unwrap();
        symlink(outside, target.join("link")).unwrap();
    };
    let (dir, names) = place(listed(), prepare, false);
    assert_eq!(
        names,
        ["closed", "closed/new", "closed/own", "closed/own/deep", "link", "other", "was-directory", "was-file", "was-file/x"]
    );
    let closed = fs::metadata(dir.path().join("target/closed")).unwrap();
    assert_eq!((closed.permissions().mode() & 0o7777, closed.mtime()), (0o500, 1000));
    let (_dir, names) = place(listed(), prepare, true);
    assert_eq!(names, ["closed", "closed/new", "was-directory", "was-file", "was-file/x"]);
}

#[test]
fn a_part_of_a_stack_has_its_own_root_and_its_owners() {
    for driver in [Driver::Erofs, Driver::Directory] {
        let dir = tempfile::tempdir().unwrap();
        let own = (Entry { mode: 0o1770, uid: 7, gid: 8, ..directory("srv/data").0 }, Vec::new());
        let layers = [
            write(
                driver,
                &dir.path().join("0"),
                vec![directory("srv"), own.clone(), file("srv/data/kept", b"below"), file("srv/other", b"x")],
            ),
            write(
                driver,
                &dir.path().join("1"),
                vec![directory("srv"), own, directory("srv/data/sub"), file("srv/data/sub/new", b"above")],
            ),
        ];
        let out = dir.path().join("out");
        let part = Stack { subtree: "srv/data".into(), ..stack(&layers) };
        assert_eq!(copy_tree(std::slice::from_ref(&part), &out, None, true).unwrap().entries, 3);
        assert_eq!(fs::read(out.join("kept")).unwrap(), b"below");
        assert_eq!(fs::read(out.join("sub/new")).unwrap(), b"above");
        let metadata = fs::metadata(&out).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o1770);
        assert!(!is_root() || (metadata.uid(), metadata.gid()) == (7, 8));
        let missing = Stack { subtree: "srv/other".into(), ..part };
        assert_eq!(copy_tree(&[missing], &dir.path().join("none"), None, true).unwrap_err().code, "native/bad-request");
        assert!(!dir.path().join("none").exists());
    }
}
