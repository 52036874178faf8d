//! Files that a container sees and no layer holds (/etc/hosts, secrets, scripts): written to the private tmpfs, for config.json to bind from.

use crate::error::{Context, MOUNT, Result, invalid};
use crate::idmapped::Idmapped;
use crate::root_spec::File;
use crate::stack::Scratch;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustix::fs::{self, Mode, OFlags};
use std::io::Write;
use std::path::Path;

/// At `<scratch>/files/<name>`.
pub fn write(scratch: &Scratch, files: &[File], idmapped: &Idmapped) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let folder = scratch.make_directory("files")?;
    for file in files {
        if file.name.is_empty() || file.name.contains('/') || file.name == "." || file.name == ".." {
            return Err(invalid("files", format!("{:?} is no name for a file", file.name)));
        }
        let data = BASE64_STANDARD.decode(&file.data).map_err(|_| invalid("files", format!("the data of {} is not base64", file.name)))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created = fs::openat(&folder, &file.name, flags, Mode::RUSR | Mode::WUSR).at(MOUNT, "make", &file.name)?;
        let (uid, gid) = idmapped.owner(file.uid, file.gid)?;
        tbuild_layers::set_owner_at(&folder, Path::new(&file.name), uid, gid).at(MOUNT, "give its owner to", &file.name)?;
        // After the owner: chown clears set-id bits.
        fs::fchmod(&created, Mode::from_raw_mode(file.mode & 0o7777)).at(MOUNT, "give its mode to", &file.name)?;
        std::fs::File::from(created).write_all(&data).at(MOUNT, "write", &file.name)?;
    }
    Ok(())
}
