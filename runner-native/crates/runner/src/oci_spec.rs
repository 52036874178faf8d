//! `spec`: a config.json to begin with, as runc's and crun's.

use crate::arguments::{absolute, wrong};
use lexopt::prelude::*;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use tbuild_runtime::error::{CONFIG, Context, Result};

const DEFAULT: &str = include_str!("config.json");

pub fn spec(mut parser: lexopt::Parser) -> Result<i32> {
    let (mut bundle, mut file, mut rootless) = (PathBuf::from("."), None, false);
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Long("bundle") | Short('b') => bundle = absolute(&mut parser)?,
            Long("file") | Short('f') => file = Some(absolute(&mut parser)?),
            Long("rootless") => rootless = true,
            other => return Err(wrong(other.unexpected())),
        }
    }
    let path = file.unwrap_or_else(|| bundle.join("config.json"));
    let text = if rootless { rootless_config()? } else { DEFAULT.to_owned() };
    let mut made = std::fs::File::create_new(&path).at(CONFIG, "make", &path)?;
    writeln!(made, "{}", text.trim_end()).at(CONFIG, "write", &path)?;
    Ok(0)
}

/// What somebody without rights on the host may ask for: one id, the host's network and /sys, no limits (runc: specconv, ToRootless).
fn rootless_config() -> Result<String> {
    let broken = |error: serde_json::Error| std::io::Error::from(error);
    let mut config: Value = serde_json::from_str(DEFAULT).map_err(broken).during(CONFIG, "read the default configuration")?;
    for mount in config["mounts"].as_array_mut().into_iter().flatten() {
        if mount["destination"] == "/sys" {
            *mount = json!({
                "destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
            });
        }
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| !option.as_str().is_some_and(|word| word.starts_with("uid=") || word.starts_with("gid=")));
        }
    }
    let linux = &mut config["linux"];
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({ "type": "user" }));
    }
    let own = std::fs::metadata("/proc/self").at(CONFIG, "find our ids in", "/proc/self")?;
    linux["uidMappings"] = json!([{ "containerID": 0, "hostID": own.uid(), "size": 1 }]);
    linux["gidMappings"] = json!([{ "containerID": 0, "hostID": own.gid(), "size": 1 }]);
    linux.as_object_mut().map(|linux| linux.remove("resources"));
    serde_json::to_string_pretty(&config).map_err(broken).during(CONFIG, "write the configuration")
}
