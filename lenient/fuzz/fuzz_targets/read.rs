//! Any text is read or refused, in both formats; what valid YAML says, the tolerant reader does not take for another kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use synod_lenient::{json, tolerant, yaml};

fuzz_target!(|text: &str| {
    let _ = json(text);
    let _ = yaml(text);
    let _ = tolerant::yaml(text);
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(text)
        && (value.is_object() || value.is_array())
        && let Ok(read) = tolerant::json(text)
        && read.is_strict()
    {
        assert_eq!(read.value, value);
    }
});
