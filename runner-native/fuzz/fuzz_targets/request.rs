//! Any bytes as what the kernel asks of the file observer, who has a small layer. The kernel is no enemy; but what it hands on is the container's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tbuild_layers::{Driver, Gap, GapLayer, pack_dir};
use tbuild_observer::{Connection, Owners, fuzzing};

static CONNECTION: LazyLock<Connection> = LazyLock::new(|| {
    let out = std::env::temp_dir().join(format!("tbuild-fuzz-{}", std::process::id()));
    let layer = pack_dir(Driver::Erofs, &out, Path::new("seeds"), false).expect("the seeds can be packed");
    let gap = Gap::read(&[GapLayer { index: layer.index.clone().into(), data: layer.data.clone().into() }]).expect("and read");
    [layer.index, layer.data].iter().for_each(|file| std::fs::remove_file(file).expect("and removed"));
    let nobody = std::fs::File::open("/dev/null").expect("there is /dev/null").into();
    Connection::new(Arc::new(gap), nobody, Owners::Shifted { first: 1 << 31, count: 65_536 }, false)
});

fuzz_target!(|bytes: &[u8]| fuzzing::answer(&CONNECTION, bytes));
