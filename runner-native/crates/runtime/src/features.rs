//! `features`: what this runtime can do, for its caller to decide by (runtime-spec, features.md).

use crate::hooks::Hooks;
use crate::{mount_options, plan, seccomp};
use serde_json::{Value, json};

pub fn describe() -> String {
    let value: Value = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.2.0",
        "hooks": Hooks::NAMES,
        "mountOptions": mount_options::WORDS.as_slice(),
        "linux": {
            "namespaces": plan::NAMESPACES.map(|(name, _)| name),
            "capabilities": plan::capability_names(),
            "cgroup": { "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": seccomp::ACTIONS,
                "operators": seccomp::OPERATORS,
                "archs": seccomp::ARCHITECTURES,
                "knownFlags": seccomp::FLAGS,
                "supportedFlags": seccomp::FLAGS,
            },
            "apparmor": { "enabled": false },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": true } },
        },
    });
    serde_json::to_string_pretty(&value).unwrap_or_default()
}
