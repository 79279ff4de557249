//! Any bytes as a model file: header, metadata, tensors. Run with `cargo +nightly fuzz run gguf` in `models`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use synod_models::gguf::{GgufFile, dequantize};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = GgufFile::from_bytes(bytes.to_vec()) else { return };
    for key in file.header().metadata.keys() {
        let _ = (file.u32(key), file.u64(key), file.i32(key), file.f32(key), file.bool(key), file.str(key));
        let _ = (file.strings(key), file.f32s(key), file.i32s(key), file.u32s(key), file.bools(key));
    }
    for tensor in file.tensors() {
        let mut values = vec![0.0; tensor.values()];
        assert!(dequantize(tensor.ty, tensor.data, &mut values).is_ok(), "a tensor that opens can be read");
    }
});
