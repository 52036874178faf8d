//! Any bytes as the index of a layer.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tbuild_layers::fuzzing::read_index(bytes));
