//! Differences that are meant, or not ours to change, each with its reason. One that is certain, and that no row has any more, is a failure.

use crate::runtimes::Who::{self, Crun, Ours, Runc};

/// Facts of one runtime that are not compared.
#[derive(Clone, Copy)]
pub struct Difference {
    pub of: Who,
    /// `*` is any text.
    pub keys: &'static [&'static str],
    pub why: &'static str,
    /// Else it depends on the machine, or on who is faster.
    pub is_certain: bool,
}

pub const fn difference(of: Who, keys: &'static [&'static str], why: &'static str) -> Difference {
    Difference { of, keys, why, is_certain: true }
}

pub const EVERYWHERE: &[Difference] = &[
    difference(
        Ours,
        &[
            "mount /dev/null *",
            "mount /dev/zero *",
            "mount /dev/full *",
            "mount /dev/random *",
            "mount /dev/urandom *",
            "mount /dev/tty *",
            "target /dev/null*",
            "target /dev/zero*",
            "target /dev/full*",
            "target /dev/random*",
            "target /dev/urandom*",
            "target /dev/tty*",
        ],
        "default devices are the host's, bound, where others make nodes: a runtime may supply them however it likes (config-linux.md: Default Devices)",
    ),
    difference(
        Ours,
        &["mount /dev is nodev"],
        "/dev is nodev whatever its options say, so that a container which may mknod reaches no device by it (docs/native.md)",
    ),
    difference(Crun, &["file /dev/core"], "makes the link /dev/core to /proc/kcore, which the specification does not have"),
    difference(Crun, &["mount /proc/* is no*"], "readonlyPaths lose nosuid, nodev and noexec of what they lie on"),
    difference(
        Runc,
        &["mount /proc/k* *"],
        "a masked file is covered by the container's own null device, not by the host's (CVE-2025-31133)",
    ),
    difference(Crun, &["mount /proc/k* is r*"], "what covers a masked file is read-only; it takes what is written in any case"),
    difference(
        Ours,
        &["mount /sys/firmware *", "target /sys/firmware*"],
        "what covers a masked directory is an empty tmpfs in all three: here it has mode 0755, room for no file, and is nodev",
    ),
    difference(
        Runc,
        &["mount /sys options", "target /sys writing", "mount /sys/firmware options"],
        "`ro` is of the file system as well as of the mount (mount(2)); elsewhere of the mount, by which nobody can write either",
    ),
    difference(Ours, &["session keyring"], "is without a name, so that no other container can join it by that"),
    difference(Crun, &["session keyring"], "has the container's id as its name"),
    difference(Runc, &["session keyring"], "has a name of the container's id, and may be searched by its user"),
];
