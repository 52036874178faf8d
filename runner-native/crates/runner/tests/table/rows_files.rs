//! Rows of the root, of paths that are hidden or read-only in it, and of mounts.

use crate::case::Case;
use crate::rows::{Row, row};
use crate::runtimes::Who::{Crun, Ours, Runc};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::mount::{MountPropagationFlags, mount_change};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

pub fn root_and_paths() -> Vec<Row> {
    let propagation = |value: &'static str| move |case: &mut Case| case.linux()["rootfsPropagation"] = json!(value);
    vec![
        row("root: read-only", |case| {
            case.config["root"]["readonly"] = json!(true);
            ["proc", "sys", "dev"].iter().for_each(|path| case.directory_in_root(path, 0o755));
        }),
        row("root: an absolute path", |case| case.config["root"]["path"] = json!(case.root(""))),
        row("root: private", propagation("private")),
        row("root: shared", propagation("shared")).but(Runc, &["mount / is shared"], "leaves the root as it was"),
        row("root: slave", propagation("slave")),
        row("root: rslave", propagation("rslave")),
        row("root: unbindable", propagation("unbindable")),
        row("root: no pivot", |case| case.run_flags.push("--no-pivot".into())),
        row("paths: none masked, none read-only", |case| {
            case.linux()["maskedPaths"] = json!([]);
            case.linux()["readonlyPaths"] = json!([]);
        }),
        row("paths: masked directory and file of the image", |case| {
            case.host_directory("rootfs/srv");
            case.linux()["maskedPaths"] = json!(["/srv/below", "/srv/file", "/srv/not-there"]);
        })
        .but(Ours, &["file /srv/below", "target /srv/below*", "mount /srv/below *"], "what covers a masked directory is as in every row")
        .but(Crun, &["mount /srv/below options", "mount /srv/file is r*"], "what covers masked paths is as in every row")
        .but(Runc, &["mount /srv/file *"], "the null device is the container's own"),
        row("paths: read-only directory and file of the image", |case| {
            case.host_directory("rootfs/srv");
            case.linux()["readonlyPaths"] = json!(["/srv/below", "/srv/file", "/srv/not-there"]);
        }),
    ]
}

fn bind(case: &mut Case, options: &[&str]) {
    let source = case.host_directory("volume");
    case.mount("/srv", "bind", source, options);
}

/// A tree of the host's with a mount below.
fn tree_with_mount(case: &Case) -> std::path::PathBuf {
    let shared = case.host_directory("shared");
    rustix::mount::mount_bind(&shared, &shared).unwrap();
    mount_change(&shared, MountPropagationFlags::PRIVATE).unwrap();
    rustix::mount::mount("inner", shared.join("below"), "tmpfs", rustix::mount::MountFlags::NOATIME, c"mode=711").unwrap();
    fs::write(shared.join("below/inner"), "inner").unwrap();
    shared
}

fn bind_tree(case: &mut Case, options: &[&str]) {
    let shared = tree_with_mount(case);
    case.mount("/srv", "bind", shared, options);
}

pub fn binds() -> Vec<Row> {
    vec![
        row("bind: rw", |case| bind(case, &["bind"])),
        row("bind: ro", |case| bind(case, &["bind", "ro"])),
        row("bind: nosuid, nodev, noexec", |case| bind(case, &["rbind", "nosuid", "nodev", "noexec"])),
        row("bind: noatime", |case| bind(case, &["bind", "noatime"])),
        row("bind: strictatime, nodiratime", |case| bind(case, &["bind", "strictatime", "nodiratime"])),
        row("bind: nosymfollow", |case| bind(case, &["bind", "nosymfollow"])).but(
            Crun,
            &["mount /srv is nosymfollow"],
            "Debian's 1.8 does not know it",
        ),
        row("bind: private", |case| bind(case, &["bind", "private"])),
        row("bind: rshared", |case| bind(case, &["rbind", "rshared"])).but(
            Crun,
            &["mount /srv is shared"],
            "makes all mounts its own again when it changes the root",
        ),
        row("bind: rslave", |case| bind(case, &["rbind", "rslave"])),
        row("bind: unbindable", |case| bind(case, &["bind", "unbindable"])).but(
            Crun,
            &["mount /srv is unbindable"],
            "makes all mounts its own again when it changes the root",
        ),
        row("bind: with what is mounted below", |case| bind_tree(case, &["rbind"])),
        row("bind: without what is mounted below", |case| bind_tree(case, &["bind"])),
        row("bind: ro, what is mounted below stays as it is", |case| bind_tree(case, &["rbind", "ro"])),
        row("bind: rro", |case| bind_tree(case, &["rbind", "rro"])),
        row("bind: rnosuid, rnoatime", |case| bind_tree(case, &["rbind", "rnosuid", "rnoatime"])),
        row("bind: rprivate", |case| bind_tree(case, &["rbind", "rprivate"])),
        row("bind: a file on a new path", |case| {
            let source = case.host_directory("volume").join("file");
            case.mount("/srv/deep/er/file", "bind", source, &["bind", "ro"]);
        }),
        row("bind: a file on a file", |case| {
            let source = case.host_directory("volume").join("file");
            fs::write(case.root("etc/hosts"), "").unwrap();
            case.mount("/etc/hosts", "bind", source, &["bind", "rprivate"]);
        }),
        row("bind: a relative source", |case| {
            case.host_directory("volume");
            case.mount("/srv", "bind", "volume", &["bind"]);
        }),
        row("bind: the type none", |case| {
            let source = case.host_directory("volume");
            case.mount("/srv", "none", source, &["bind", "rw"]);
        }),
        row("bind: over a link in the image", |case| {
            case.directory_in_root("real", 0o750);
            symlink("/real", case.root("srv")).unwrap();
            bind(case, &["bind"]);
        }),
        row("bind: over a link that leads out of the root", |case| {
            symlink("../../../../made", case.root("srv")).unwrap();
            bind(case, &["bind"]);
        }),
        row("bind: with other ids", |case| {
            let source = case.host_directory("volume");
            chown(source.join("file"), Some(5), Some(6)).unwrap();
            let map = json!([{ "containerID": 0, "hostID": 1000, "size": 100 }]);
            case.mounts().push(json!({ "destination": "/srv", "type": "bind", "source": source, "options": ["bind", "idmap"],
                "uidMappings": map, "gidMappings": map }));
        })
        .but(
            Runc,
            &["file /srv*", "target /srv", "mount /srv is idmapped"],
            "Debian's 1.1 maps the ids of mounts only in user namespaces",
        ),
        row("bind: a /dev of its own making", |case| {
            case.mounts().retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
            let source = case.host_directory("dev");
            let mode = Mode::from_raw_mode(0o600);
            mknodat(CWD, source.join("null"), FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
            case.mount("/dev", "bind", source, &["rbind", "rslave"]);
        })
        .but(Runc, &["target /proc/keys"], "the null device is the container's own, which is the bound one here"),
    ]
}

pub fn other_mounts() -> Vec<Row> {
    let tmpfs = |options: &'static [&'static str]| move |case: &mut Case| case.mount("/srv", "tmpfs", "tmpfs", options);
    vec![
        row("tmpfs", tmpfs(&[])),
        row("tmpfs: size and mode", tmpfs(&["size=1m", "mode=1770", "nosuid", "nodev"])),
        row("tmpfs: owner", tmpfs(&["uid=1000", "gid=50", "mode=700"])),
        row("tmpfs: ro", tmpfs(&["ro"])),
        row("tmpfs: noatime, nodiratime", tmpfs(&["noatime", "nodiratime"])),
        row("tmpfs: the later option wins", tmpfs(&["ro", "noexec", "rw", "exec", "size=2m", "size=1m"])).but(
            Crun,
            &["mount /srv is *", "target /srv writing"],
            "an option is not taken back by its opposite",
        ),
        row("tmpfs: over a directory with a mode", |case| {
            case.directory_in_root("srv", 0o2750);
            case.mount("/srv", "tmpfs", "tmpfs", &["nosuid"]);
        })
        .but(Crun, &["file /srv", "target /srv"], "gives a tmpfs without a mode 1777, also over a directory that is there")
        .but(Ours, &["mount /srv options"], "sets the mode as an option of the file system, by which it shows"),
        row("tmpfs: over a directory, with a mode of its own", |case| {
            case.directory_in_root("srv", 0o700);
            case.mount("/srv", "tmpfs", "tmpfs", &["mode=755"]);
        })
        .but(
            Runc,
            &["file /srv", "target /srv"],
            "sets the directory's mode whatever the options say, which later versions do no more",
        ),
        row("tmpfs: tmpcopyup", |case| {
            case.host_directory("rootfs/srv");
            fs::set_permissions(case.root("srv/file"), fs::Permissions::from_mode(0o640)).unwrap();
            chown(case.root("srv/file"), Some(7), Some(8)).unwrap();
            symlink("file", case.root("srv/link")).unwrap();
            case.mount("/srv", "tmpfs", "tmpfs", &["tmpcopyup"]);
        })
        .but(Crun, &["file /srv", "target /srv"], "gives a tmpfs without a mode 1777, also over a directory that is there")
        .but(Ours, &["mount /srv options"], "sets the mode as an option of the file system, by which it shows"),
        row("mounts: one over the other", |case| {
            bind(case, &["bind", "ro"]);
            case.mount("/srv", "tmpfs", "upper", &["size=1m"]);
            case.mount("/srv/below", "tmpfs", "below", &["size=2m", "nosuid"]);
        })
        .but(Crun, &["file /srv", "target /srv"], "gives a tmpfs without a mode 1777, also over a directory that is there")
        .but(Ours, &["mount /srv (2) options"], "sets the mode as an option of the file system, by which it shows"),
        row("mounts: a relative destination", |case| case.mount("srv/data", "tmpfs", "tmpfs", &["size=1m"])).but(
            Crun,
            &["file /srv"],
            "makes missing directories with a sticky bit",
        ),
        row("mounts: mqueue", |case| case.mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])),
        row("mounts: proc with hidepid", |case| case.options("/proc").push(json!("hidepid=invisible"))),
        row("mounts: sysfs rw", |case| *case.options("/sys") = vec![json!("nosuid"), json!("noexec"), json!("nodev")]),
        row("mounts: devpts of another mode", |case| {
            *case.options("/dev/pts") = ["newinstance", "ptmxmode=0600", "mode=0600"].map(Value::from).to_vec()
        }),
        row("mounts: remount", |case| {
            case.mount("/srv", "tmpfs", "tmpfs", &["size=1m"]);
            case.mount("/srv", "tmpfs", "tmpfs", &["remount", "ro", "size=2m"]);
        }),
        row("mounts: none at all but proc", |case| case.mounts().retain(|mount| mount["destination"] == "/proc")),
        row("mounts: no devices' directory", |case| {
            case.mounts().retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
            case.directory_in_root("dev", 0o755);
        }),
    ]
}
