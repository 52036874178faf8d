//! EROFS images, judged by fsck.erofs and by the kernel that mounts them.

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::{Mounted, directory, file, has_tool, is_root, observe, read_index, run, trees, visible, write};
use crate::entry::{Entry, Kind};
use crate::summary::Driver;

fn check(image: &str) {
    if has_tool("fsck.erofs") {
        let said = run(Command::new("fsck.erofs").args(["-d1", image]));
        assert_eq!(String::from_utf8_lossy(&said), "", "fsck.erofs has something to say");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mounted_image_shows_exactly_the_tree(trees::Planted(listed) in trees::tree()) {
        let dir = tempfile::tempdir().unwrap();
        let summary = write(Driver::Erofs, &dir.path().join("layer"), listed.clone());
        let again = write(Driver::Erofs, &dir.path().join("again"), listed);
        prop_assert_eq!(&summary.id, &again.id);
        prop_assert!(std::fs::read(&summary.data).unwrap() == std::fs::read(&again.data).unwrap());
        check(&summary.data);
        let index = read_index(&summary);
        prop_assert_eq!(crate::verify(Path::new(&summary.index), Path::new(&summary.data)).unwrap(), Vec::<String>::new());
        if is_root() {
            let mounted = Mounted::image(&summary.data);
            prop_assert_eq!(observe(&mounted.at), visible(index.tree.entries()));
        }
    }
}

#[test]
fn a_layer_with_nothing_in_it_is_a_layer() {
    let dir = tempfile::tempdir().unwrap();
    let summary = write(Driver::Erofs, &dir.path().join("layer"), vec![directory("")]);
    check(&summary.data);
    assert_eq!((summary.entries, summary.bytes), (1, 0));
    if is_root() {
        assert_eq!(std::fs::read_dir(&Mounted::image(&summary.data).at).unwrap().count(), 0);
    }
}

#[test]
fn directories_of_many_blocks_are_found_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut listed = vec![directory(""), directory("many")];
    // "!" and "+" stand before ".", so that the dots are not the first names.
    for first in ["!", "+", "a", "z"] {
        listed.extend((0..2000).map(|number| file(&format!("many/{first}-{number}"), format!("{first}{number}").as_bytes())));
    }
    let summary = write(Driver::Erofs, &dir.path().join("layer"), listed);
    check(&summary.data);
    if is_root() {
        let mounted = Mounted::image(&summary.data);
        assert_eq!(std::fs::read_dir(mounted.at.join("many")).unwrap().count(), 8000);
        for first in ["!", "+", "a", "z"] {
            for number in [0, 7, 999, 1999] {
                let read = std::fs::read_to_string(mounted.at.join(format!("many/{first}-{number}"))).unwrap();
                assert_eq!(read, format!("{first}{number}"));
            }
        }
        assert!(!mounted.at.join("many/b-0").exists());
    }
}

#[test]
fn extended_attributes_of_any_size_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let value = |size: usize| vec![b'v'; size].into_boxed_slice();
    let mut listed = vec![directory(""), file("small-content", b"x"), file("large-content", &[7; 9000]), directory("d"), file("d/f", b"")];
    for (entry, _) in &mut listed[1..] {
        entry.xattrs = vec![
            (b"security.own".as_slice().into(), value(20)),
            (b"trusted.long".as_slice().into(), value(65_535)),
            (b"user.a".as_slice().into(), value(5000)),
            (b"user.empty".as_slice().into(), value(0)),
        ];
    }
    let summary = write(Driver::Erofs, &dir.path().join("layer"), listed);
    check(&summary.data);
    if is_root() {
        assert_eq!(observe(&Mounted::image(&summary.data).at), visible(read_index(&summary).tree.entries()));
    }
}

#[test]
fn the_longest_names_and_targets_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let name = "n".repeat(255);
    let deep = [name.as_str(); 15].join("/");
    let mut listed = vec![directory("")];
    listed.extend((1..=15).map(|depth| directory(&[name.as_str(); 15][..depth].join("/"))));
    for (number, length) in [4095, 4032, 4031, 3000].into_iter().enumerate() {
        let link = Entry {
            mode: 0o777,
            target: "t".repeat(length).into_bytes().into(),
            ..Entry::new(format!("{deep}/{number}").as_bytes(), Kind::Symlink)
        };
        listed.push((link, Vec::new()));
    }
    let summary = write(Driver::Erofs, &dir.path().join("layer"), listed);
    check(&summary.data);
    if is_root() {
        assert_eq!(observe(&Mounted::image(&summary.data).at), visible(read_index(&summary).tree.entries()));
    }
}

/// What the two layers of this make, for either driver.
fn stack(driver: Driver) {
    let dir = tempfile::tempdir().unwrap();
    let opaque = |path: &str| (Entry { opaque: true, ..directory(path).0 }, Vec::new());
    let whiteout = |path: &str| (Entry::whiteout(path.as_bytes()), Vec::new());
    let lower = vec![
        directory(""),
        directory("a"),
        file("a/hidden", b"1"),
        file("a/kept", b"2"),
        directory("o"),
        file("o/below", b"3"),
        directory("gone"),
        file("gone/x", b"4"),
    ];
    let upper = vec![directory(""), directory("a"), whiteout("a/hidden"), opaque("o"), file("o/above", b"5"), whiteout("gone")];
    let (lower, upper) = (write(driver, &dir.path().join("lower"), lower), write(driver, &dir.path().join("upper"), upper));
    let at = |data: &str| if driver == Driver::Erofs { Mounted::image(data) } else { Mounted::bind(data) };
    let (lower, upper) = (at(&lower.data), at(&upper.data));
    let merged = Mounted::overlay(&[&upper.at, &lower.at]);
    let paths: Vec<String> = observe(&merged.at).iter().map(|entry| String::from_utf8(entry.path.to_vec()).unwrap()).collect();
    assert_eq!(paths, ["", "a", "a/kept", "o", "o/above"]);
}

#[test]
fn whiteouts_and_opaque_directories_hide_in_an_overlay() {
    if is_root() {
        stack(Driver::Erofs);
        stack(Driver::Directory);
    }
}
