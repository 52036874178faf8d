//! Any bytes as a tar: an image's layer, and what ADD extracts. Header sums are made right first, or nothing would ever come past them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    for header in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
    for whiteouts in [true, false] {
        tbuild_layers::fuzzing::read_tar(&bytes, whiteouts);
    }
});
