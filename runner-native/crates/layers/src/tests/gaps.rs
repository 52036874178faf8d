//! Adjacent layers as one: what is hidden, what hides, and which names are one file.

use super::{directory, file, write};
use crate::entry::{Entry, Kind};
use crate::gap::{Gap, GapLayer};
use crate::summary::Driver;
use crate::tests::Listed;

fn whiteout(path: &str) -> (Entry, Vec<u8>) {
    (Entry::whiteout(path.as_bytes()), Vec::new())
}

fn opaque(path: &str) -> (Entry, Vec<u8>) {
    let (entry, content) = directory(path);
    (Entry { opaque: true, ..entry }, content)
}

fn gap(layers: Vec<Listed>) -> (tempfile::TempDir, Gap) {
    let dir = tempfile::tempdir().unwrap();
    let written = layers.into_iter().enumerate().map(|(number, listed)| {
        let summary = write(Driver::Erofs, &dir.path().join(number.to_string()), listed);
        GapLayer { index: summary.index.into(), data: summary.data.into() }
    });
    let layers: Vec<GapLayer> = written.collect();
    let gap = Gap::read(&layers).unwrap();
    (dir, gap)
}

/// Every path with what it is: `w` a whiteout, `o` an opaque directory.
fn shown(gap: &Gap) -> Vec<String> {
    let letter = |entry: &Entry| match entry.kind {
        Kind::Directory if entry.opaque => 'o',
        Kind::Directory => 'd',
        Kind::Whiteout => 'w',
        _ => '-',
    };
    (1..gap.count()).filter_map(|at| gap.entry(at)).map(|entry| format!("{}{}", letter(entry), entry.path.escape_ascii())).collect()
}

#[test]
fn what_hides_within_hides_below_too() {
    let low =
        || vec![directory("a"), file("a/x", b"x"), file("b", b"b"), directory("c"), file("c/x", b"x"), directory("d"), file("d/x", b"")];
    let (_dir, merged) = gap(vec![low(), vec![whiteout("a"), directory("b"), opaque("c"), file("c/y", b""), file("d", b"")]]);
    assert_eq!(shown(&merged), ["wa", "ob", "oc", "-c/y", "-d"]);
    // Over what hides, a directory hides what lies below the gap; over one that does not, it does not.
    let (_dir, merged) = gap(vec![
        vec![whiteout("a"), opaque("c"), directory("d"), file("e", b"")],
        low(),
        vec![directory("e"), whiteout("d/z")].into_iter().chain([directory("d")]).collect(),
    ]);
    assert_eq!(shown(&merged), ["oa", "-a/x", "-b", "oc", "-c/x", "dd", "-d/x", "wd/z", "oe"]);
    assert!(merged.entry(merged.child(0, b"d").unwrap()).unwrap().holds_whiteouts);
}

#[test]
fn children_are_found_by_their_names() {
    let (_dir, merged) =
        gap(vec![vec![directory("a"), file("a/x", b""), file("a-b", b""), file("a.c", b""), directory("a/y"), file("a/y/z", b"")]]);
    let names = |at: usize| -> Vec<&[u8]> { merged.children(at).iter().map(|child| merged.name(*child as usize)).collect() };
    assert_eq!(names(0), [&b"a"[..], b"a-b", b"a.c"]);
    let a = merged.child(0, b"a").unwrap();
    assert_eq!(names(a), [&b"x"[..], b"y"]);
    assert_eq!((merged.child(a, b"z"), merged.child(0, b"a/x"), merged.child(merged.child(a, b"x").unwrap(), b"x")), (None, None, None));
    assert_eq!(merged.parent(a), 0);
}

#[test]
fn names_of_one_file_are_those_of_its_layer() {
    let linked = |path: &str| {
        let (entry, content) = file(path, b"same");
        (Entry { inode: 7, ..entry }, content)
    };
    let (_dir, merged) = gap(vec![vec![linked("a"), linked("b")], vec![linked("a"), linked("c")]]);
    let of = |name: &[u8]| merged.child(0, name).map(|at| (merged.links(at), merged.number(at))).unwrap();
    assert_eq!([of(b"a").0, of(b"b").0, of(b"c").0], [2, 2, 2]);
    assert!(of(b"a").1 == of(b"c").1 && of(b"a").1 != of(b"b").1);
    let mut content = [0; 8];
    assert_eq!(merged.read_at(merged.child(0, b"b").unwrap(), &mut content, 1).unwrap(), 3);
    assert_eq!(&content[..3], b"ame");
}
