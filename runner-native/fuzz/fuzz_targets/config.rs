//! Any bytes as the config.json of a container: from JSON to what the kernel would be asked for, and nothing further.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tbuild_runtime::{config_file, plan};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(config) = config_file::parse(text)
    {
        // What it refuses it refuses in words.
        let _ = plan::read(config).map_err(|error| error.to_string());
    }
});
