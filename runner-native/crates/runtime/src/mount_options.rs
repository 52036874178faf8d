//! The options of one entry of config.json's `mounts`, as the kernel's mount API wants them. The words are those of the
//! runtime-spec's config-linux table; what is no such word goes to the file system. Decides only, mounts nothing.

use crate::error::{Result, invalid};
use crate::spec::Mount;
use crate::sys::MountAttributes;
use crate::user_namespace::IdMaps;
use rustix::mount::{MountAttrFlags as Attribute, MountPropagationFlags as Propagation};

#[derive(Default, PartialEq, Debug)]
pub struct MountOptions {
    /// Some(recursive) for a bind mount.
    pub bind: Option<bool>,
    pub attributes: MountAttributes,
    /// For every mount below, too.
    pub recursive_attributes: MountAttributes,
    pub propagation: Option<(Propagation, bool)>,
    pub idmap: Option<IdMap>,
    /// What is mounted there already is to have these options.
    pub is_remount: bool,
    /// A tmpfs begins with what it covers.
    pub copies_up: bool,
    /// Of the superblock: `sync`, `lazytime` …
    pub flags: Vec<String>,
    pub values: Vec<(String, String)>,
}

#[derive(PartialEq, Debug)]
pub struct IdMap {
    /// Empty: those of the container's user namespace.
    pub maps: IdMaps,
    pub recursive: bool,
}

pub fn parse(mount: &Mount) -> Result<MountOptions> {
    let mut options = MountOptions::default();
    if mount.kind == "bind" {
        options.bind = Some(false);
    }
    let mut recursive_idmap = None;
    for word in &mount.options {
        let (recursive, plain) = match word.strip_prefix('r') {
            Some(plain) if attribute(word).is_none() && attribute(plain).is_some() => (true, plain),
            _ => (false, word.as_str()),
        };
        if let Some((set, clear)) = attribute(plain) {
            let target = if recursive { &mut options.recursive_attributes } else { &mut options.attributes };
            target.clear |= u64::from((set | clear).bits());
            target.set = target.set & !u64::from((set | clear).bits()) | u64::from(set.bits());
            continue;
        }
        match word.as_str() {
            "bind" => options.bind = Some(options.bind.unwrap_or(false)),
            "rbind" => options.bind = Some(true),
            "remount" => options.is_remount = true,
            "tmpcopyup" => options.copies_up = true,
            "idmap" | "ridmap" => recursive_idmap = Some(word == "ridmap"),
            "defaults" | "async" | "loud" | "silent" | "nomand" | "mand" | "nolazytime" | "noiversion" | "iversion" => {}
            "sync" | "dirsync" | "lazytime" => options.flags.push(word.clone()),
            _ => match (propagation(word), word.split_once('=')) {
                (Some(propagation), _) => options.propagation = Some(propagation),
                (None, Some((key, value))) => options.values.push((key.into(), value.into())),
                (None, None) => options.flags.push(word.clone()),
            },
        }
    }
    let maps = IdMaps::read("mounts.", mount.uid_mappings.clone(), mount.gid_mappings.clone())?;
    // Mappings without the word mean the same (runtime-spec, config.md: Mounts; runc).
    if recursive_idmap.is_some() || !maps.is_empty() {
        options.idmap = Some(IdMap { maps, recursive: recursive_idmap.unwrap_or(false) });
    }
    if options.bind.is_some() && !(options.flags.is_empty() && options.values.is_empty()) {
        let first = options.flags.first().or(options.values.first().map(|(key, _)| key));
        let first = first.map(String::as_str).unwrap_or_default();
        return Err(invalid("mounts.options", format!("{first:?} of {}: a bind mount has no such option", mount.destination.display())));
    }
    if options.copies_up && mount.kind != "tmpfs" {
        return Err(invalid("mounts.options", format!("tmpcopyup of {}: only a tmpfs has it", mount.destination.display())));
    }
    Ok(options)
}

/// The words of the runtime-spec's table that are understood here.
pub const WORDS: [&str; 62] = [
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

/// What a word sets, and what it clears.
fn attribute(word: &str) -> Option<(Attribute, Attribute)> {
    let none = Attribute::empty();
    let times = Attribute::MOUNT_ATTR__ATIME;
    Some(match word {
        "ro" => (Attribute::MOUNT_ATTR_RDONLY, none),
        "rw" => (none, Attribute::MOUNT_ATTR_RDONLY),
        "nosuid" => (Attribute::MOUNT_ATTR_NOSUID, none),
        "suid" => (none, Attribute::MOUNT_ATTR_NOSUID),
        "nodev" => (Attribute::MOUNT_ATTR_NODEV, none),
        "dev" => (none, Attribute::MOUNT_ATTR_NODEV),
        "noexec" => (Attribute::MOUNT_ATTR_NOEXEC, none),
        "exec" => (none, Attribute::MOUNT_ATTR_NOEXEC),
        "nodiratime" => (Attribute::MOUNT_ATTR_NODIRATIME, none),
        "diratime" => (none, Attribute::MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => (Attribute::MOUNT_ATTR_NOSYMFOLLOW, none),
        "symfollow" => (none, Attribute::MOUNT_ATTR_NOSYMFOLLOW),
        "noatime" => (Attribute::MOUNT_ATTR_NOATIME, times),
        "strictatime" => (Attribute::MOUNT_ATTR_STRICTATIME, times),
        "relatime" | "atime" | "norelatime" | "nostrictatime" => (none, times),
        _ => return None,
    })
}

/// Also the values of linux.rootfsPropagation. The flag says whether every mount below is meant.
pub fn propagation(word: &str) -> Option<(Propagation, bool)> {
    let (recursive, plain) = match word.strip_prefix('r') {
        Some(plain) => (true, plain),
        None => (false, word),
    };
    let propagation = match plain {
        "private" => Propagation::PRIVATE,
        "shared" => Propagation::SHARED,
        "slave" => Propagation::DOWNSTREAM,
        "unbindable" => Propagation::UNBINDABLE,
        _ => return None,
    };
    Some((propagation, recursive))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(kind: &str, options: &[&str]) -> Result<MountOptions> {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        parse(&Mount { kind: kind.into(), options, destination: "/x".into(), ..Default::default() })
    }

    fn bits(attributes: Attribute) -> u64 {
        attributes.bits().into()
    }

    #[test]
    fn the_later_word_wins() {
        let options = parsed("tmpfs", &["ro", "nosuid", "noatime", "rw", "strictatime", "size=1m", "mode=755", "sync"]).unwrap();
        assert_eq!(options.attributes.set, bits(Attribute::MOUNT_ATTR_NOSUID | Attribute::MOUNT_ATTR_STRICTATIME));
        let cleared = Attribute::MOUNT_ATTR_RDONLY | Attribute::MOUNT_ATTR_NOSUID | Attribute::MOUNT_ATTR__ATIME;
        assert_eq!(options.attributes.clear, bits(cleared));
        assert_eq!(options.values, [("size".into(), "1m".into()), ("mode".into(), "755".into())]);
        assert_eq!(options.flags, ["sync"]);
    }

    #[test]
    fn recursive_words_are_kept_apart() {
        let options = parsed("", &["rbind", "rro", "nodev", "rslave", "rnosuid"]).unwrap();
        assert_eq!(options.bind, Some(true));
        assert_eq!(options.attributes.set, bits(Attribute::MOUNT_ATTR_NODEV));
        assert_eq!(options.recursive_attributes.set, bits(Attribute::MOUNT_ATTR_RDONLY | Attribute::MOUNT_ATTR_NOSUID));
        assert_eq!(options.propagation, Some((Propagation::DOWNSTREAM, true)));
        // These begin with an r of their own.
        let options = parsed("", &["bind", "ro", "relatime"]).unwrap();
        assert_eq!(
            (options.attributes.set, options.recursive_attributes),
            (bits(Attribute::MOUNT_ATTR_RDONLY), MountAttributes::default())
        );
    }

    #[test]
    fn every_word_is_known() {
        for word in WORDS {
            let options = parsed("tmpfs", &[word]).unwrap();
            let to_file_system = matches!(word, "sync" | "dirsync" | "lazytime");
            assert_eq!((options.flags.is_empty(), options.values.is_empty()), (!to_file_system, true), "{word}");
        }
        assert!(parsed("proc", &["tmpcopyup"]).unwrap_err().detail.contains("only a tmpfs"));
    }

    #[test]
    fn a_bind_mount_has_no_options_of_a_file_system() {
        assert_eq!(parsed("bind", &[]).unwrap().bind, Some(false));
        assert!(parsed("bind", &["size=1m"]).unwrap_err().detail.contains("\"size\""));
        assert!(parsed("none", &["rbind", "frobnicate"]).unwrap_err().detail.contains("\"frobnicate\""));
    }
}
