//! Takes a secret out of what a server says, in the forms that servers echo: as it is, percent-encoded, in hex, and in
//! base64, alone or within something longer. It is a net for accidents: a server that gets a secret has it, and one that
//! means harm can spell it in ways nobody looks for.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use url::form_urlencoded;

const REDACTED: &str = "[redacted]";
/// Times that a text is percent-decoded to look beneath.
const DECODINGS: usize = 2;

/// Replaces one secret; without one, nothing.
#[derive(Clone, Default)]
pub(super) struct Redactor {
    secret: String,
    forms: Option<Regex>,
}

impl Redactor {
    /// A redactor of this secret.
    pub(super) fn new(secret: &str) -> Self {
        // In a query, where a space is a plus, it may be encoded in base64 in its turn.
        let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        let json = serde_json::to_string(secret).unwrap_or_default();
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let base64 = [secret, &form].into_iter().flat_map(|text| (0..3).flat_map(|shift| base64_within(text, shift)));
        let base64: Vec<_> = base64.collect();
        let texts =
            [secret, json.trim_matches('"'), &form, &encoded].into_iter().chain(base64.iter().map(String::as_str));
        let forms = texts.map(regex::escape).chain([format!("(?i:{hex})")]).collect::<Vec<_>>().join("|");
        Self { secret: secret.to_owned(), forms: RegexBuilder::new(&forms).size_limit(32 << 20).build().ok() }
    }

    /// The text without the secret.
    pub(super) fn text(&self, text: &str) -> String {
        if self.secret.is_empty() {
            return text.to_owned();
        }
        let replaced = match &self.forms {
            Some(forms) => forms.replace_all(text, REDACTED).into_owned(),
            None => text.replace(&self.secret, REDACTED),
        };
        // Some characters encoded and others not is no form that can be listed: the whole text goes.
        let mut beneath = replaced.clone();
        for _ in 0..DECODINGS {
            beneath = percent_decode_str(&beneath.replace('+', " ")).decode_utf8_lossy().into_owned();
            if beneath.contains(&self.secret.replace('+', " ")) || beneath.contains(&self.secret) {
                return REDACTED.to_owned();
            }
        }
        replaced
    }

    /// The document without the secret, in its values and in its keys.
    pub(super) fn json(&self, value: Value) -> Value {
        match value {
            _ if self.secret.is_empty() => value,
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(members) => {
                let members = members.into_iter().map(|(key, value)| (self.text(&key), self.json(value)));
                Value::Object(members.collect::<Map<_, _>>())
            }
            // A secret of digits may come back as a number.
            Value::Number(ref number) if number.to_string().contains(&self.secret) => {
                Value::String(REDACTED.to_owned())
            }
            other => other,
        }
    }
}

/// What is sure to stand in base64 of any text that holds `secret` after a multiple of three bytes and `shift` more.
fn base64_within(secret: &str, shift: usize) -> [String; 2] {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(secret.as_bytes());
    // Characters at the ends mix with the bits of neighbours.
    let whole = (bytes.len() * 8) / 6;
    let first = (shift * 8).div_ceil(6);
    let core = |text: String| text.get(first..whole).unwrap_or_default().to_owned();
    [core(BASE64_STANDARD_NO_PAD.encode(&bytes)), core(BASE64_URL_SAFE_NO_PAD.encode(&bytes))]
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use serde_json::json;

    use super::*;

    const SECRET: &str = "s3cr3t/+token?é\"x";

    #[track_caller]
    fn gone(echo: &str) {
        let shown = Redactor::new(SECRET).text(echo);
        assert!(shown.contains(REDACTED), "{echo} → {shown}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn every_form_of_an_echo_is_taken_out() {
        gone(&format!("you sent Bearer {SECRET}, thanks"));
        gone(&utf8_percent_encode(SECRET, NON_ALPHANUMERIC).to_string());
        gone(&format!("%73{}", &SECRET[1..]));
        gone(&format!("key={}", form_urlencoded::byte_serialize(SECRET.as_bytes()).collect::<String>()));
        gone(&serde_json::to_string(SECRET).unwrap());
        gone(&SECRET.bytes().map(|byte| format!("{byte:02X}")).collect::<String>());
        for before in ["", "a", "ab", "user:", "Authorization: Bearer "] {
            for after in ["", "z", "zz", "zzz"] {
                gone(&BASE64_STANDARD.encode(format!("{before}{SECRET}{after}")));
            }
        }
    }

    #[test]
    fn keys_and_numbers_are_looked_at_and_the_rest_is_left_alone() {
        let redactor = Redactor::new("12345678");
        let shown = redactor.json(json!({"12345678": [12345678, "no 1234567"], "a": null}));
        assert_eq!(shown, json!({REDACTED: [REDACTED, "no 1234567"], "a": null}));
        assert_eq!(Redactor::default().text("anything"), "anything");
    }
}
