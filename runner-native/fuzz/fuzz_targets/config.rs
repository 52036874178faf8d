//! Any bytes as the config.json of a container: from JSON to what the kernel would be asked for, and nothing further.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tbuild_runtime::{plan, spec};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = serde_json::from_slice::<spec::Config>(bytes) {
        // What it refuses it refuses in words.
        let _ = plan::read(config).map_err(|error| error.to_string());
    }
});
