//! Any bytes as a model file with a vocabulary, and as text for it. Run with `cargo +nightly fuzz run tokenizer` in `models`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use synod_models::{
    gguf::GgufFile,
    text::{Specials, Tokenizer},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = GgufFile::from_bytes(bytes.to_vec()) else { return };
    let Ok(tokenizer) = Tokenizer::from_gguf(&file) else { return };
    let text = String::from_utf8_lossy(bytes);
    let ids = tokenizer.encode(&text, Specials::Parse);
    assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
    let _ = tokenizer.decode(&ids);
});
