//! The file observer: what a command asks of traced layers is noted, each question of docs/native.md, and what it sees of them is what it would see of
//! the layers themselves.

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use support::{Fixture, Output};
use tbuild_layers::{Driver, LayerSummary};

/// How contents are kept.
const DRIVERS: [Driver; 2] = [Driver::Erofs, Driver::Directory];

fn traced(layers: &[&LayerSummary]) -> Value {
    let element = |layer: &&LayerSummary| {
        let is_image = fs::metadata(&layer.data).unwrap().is_file();
        json!({ "index": layer.index, if is_image { "erofs" } else { "directory" }: layer.data })
    };
    json!({ "traced": layers.iter().map(element).collect::<Vec<_>>() })
}

/// A root of busybox and one traced layer.
fn fixture(script: &str, driver: Driver, fill: impl FnOnce(&Path)) -> Fixture {
    let mut fixture = Fixture::new(&["sh", "-c", script]).commit();
    let layer = fixture.pack("traced", driver, fill);
    fixture.spec["layers"].as_array_mut().unwrap().push(traced(&[&layer]));
    fixture
}

/// The questions of one gap, as `L path`.
fn questions(output: &Output, gap: usize) -> BTreeSet<String> {
    let gap = output.result["observed"]["gaps"][gap].as_object().unwrap_or_else(|| panic!("{} {}", output.stderr, output.result));
    let of_kind = |(kind, paths): (&String, &Value)| -> Vec<String> {
        paths.as_array().unwrap().iter().map(|path| format!("{kind} {}", path.as_str().unwrap())).collect()
    };
    gap.iter().flat_map(of_kind).collect()
}

fn sources(root: &Path) {
    fs::create_dir_all(root.join("src/deep")).unwrap();
    fs::write(root.join("src/a.txt"), "content of a\n").unwrap();
    fs::write(root.join("src/b.txt"), "content of b\n").unwrap();
    fs::write(root.join("src/empty"), "").unwrap();
    std::os::unix::fs::symlink("a.txt", root.join("src/link")).unwrap();
    fs::write(root.join("README"), "read me\n").unwrap();
}

#[test]
fn notes_each_question() {
    for driver in DRIVERS {
        for (script, asked, not_asked) in [
            ("cat /src/a.txt", vec!["L src", "L src/a.txt", "C src/a.txt"], vec!["D src", "L src/b.txt", "L README", "C src/b.txt"]),
            ("[ -e /src/none ] || echo none", vec!["L src/none"], vec!["D src"]),
            ("stat -c %s /src/b.txt", vec!["L src/b.txt", "S src/b.txt"], vec!["C src/b.txt", "L src/a.txt"]),
            ("echo /src/*", vec!["D src"], vec!["L src/a.txt", "D ", "D src/deep"]),
            ("readlink /src/link", vec!["L src/link", "R src/link"], vec!["L src/a.txt"]),
            ("cat /src/link", vec!["L src/link", "R src/link", "C src/a.txt"], vec!["D src"]),
            ("cd /src/deep", vec!["L src/deep"], vec!["S src/a.txt", "D src/deep"]),
        ] {
            let output = fixture(script, driver, sources).run();
            assert_eq!(output.status, 0, "{script}: {} {}", output.stderr, output.result);
            let seen = questions(&output, 0);
            asked.iter().for_each(|question| assert!(seen.contains(*question), "{script}: no {question:?} in {seen:?}"));
            not_asked.iter().for_each(|question| assert!(!seen.contains(*question), "{script}: {question:?} in {seen:?}"));
            assert_eq!((&output.result["observed"]["taint"], &output.result["observed"]["lost"]), (&Value::Null, &json!(false)));
        }
    }
}

#[test]
fn a_run_without_traced_layers_is_not_observed() {
    let output = Fixture::new(&["true"]).run();
    assert_eq!((output.status, &output.result["observed"]), (0, &Value::Null), "{}", output.result);
    assert!(output.result.get("observerFailed").is_none());
}

#[test]
fn copied_up_directories_have_their_own_times() {
    let mut fixture = fixture("touch -d 2001-02-03 /src/a.txt; chmod 700 /src/deep; echo x > /new", Driver::Erofs, |root| {
        sources(root);
        for directory in ["", "src/deep", "src"] {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
            fs::File::open(root.join(directory)).unwrap().set_modified(time).unwrap();
        }
    });
    fixture.spec["upper"] = json!({ "directory": fixture.path("upper"), "work": fixture.path("work") });
    let output = fixture.run();
    assert_eq!(output.status, 0, "{} {}", output.stderr, output.result);
    assert_eq!(fixture.committed(), ["new", "src", "src/a.txt", "src/deep"]);
    for directory in ["src", "src/deep"] {
        let stat = rustix::fs::stat(fixture.path("out/root").join(directory)).unwrap();
        assert_eq!((stat.st_mtime, stat.st_mtime_nsec), (1_000_000_000, 0), "{directory}");
    }
}
