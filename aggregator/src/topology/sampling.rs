//! How a member draws its tokens: values that carry their own rules.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use thiserror::Error;

/// A value outside what makes sense, with what would.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{given} is not {allowed}")]
pub struct OutOfRange {
    given: String,
    allowed: &'static str,
}

impl OutOfRange {
    pub(crate) fn new(given: impl ToString, allowed: &'static str) -> Self {
        Self { given: given.to_string(), allowed }
    }
}

/// Declares a newtype over a number with the range it must lie in.
macro_rules! ranged {
    ($(#[$doc:meta])* $name:ident($inner:ty), $allowed:literal, $is_ok:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
        pub struct $name($inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_new(<$inner>::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }

        impl $name {
            #[doc = concat!("Refuses what is not ", $allowed, ".")]
            pub fn try_new(value: $inner) -> Result<Self, OutOfRange> {
                let is_ok: fn($inner) -> bool = $is_ok;
                if is_ok(value) { Ok(Self(value)) } else { Err(OutOfRange::new(value, $allowed)) }
            }

            /// The plain number.
            pub fn get(self) -> $inner {
                self.0
            }
        }
    };
}

ranged! {
    /// How flat the distribution is made before a token is drawn; 0 is greedy.
    Temperature(f32), "a temperature between 0 and 2", |value| (0.0..=2.0).contains(&value)
}
ranged! {
    /// A share of probability mass, for top-p and min-p.
    Share(f32), "a share between 0 and 1", |value| (0.0..=1.0).contains(&value)
}
ranged! {
    /// What the logits of tokens that have been seen are divided by; 1 is none.
    RepetitionPenalty(f32), "a repetition penalty above 0 and at most 2", |value| value > 0.0 && value <= 2.0
}
ranged! {
    /// The most tokens an answer may have.
    MaxTokens(u32), "a number of tokens between 1 and 32768", |value| (1..=32_768).contains(&value)
}
ranged! {
    /// How many of the likeliest tokens are drawn from; 0 is all.
    TopK(u32), "a count between 0 and 1000000", |value| value <= 1_000_000
}

/// How tokens are drawn. What is unset takes the model's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// The most tokens to write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<MaxTokens>,
    /// 0 is greedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Temperature>,
    /// Draw only from this many of the likeliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<TopK>,
    /// Draw only from the likeliest that hold this much of the mass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<Share>,
    /// Draw only from tokens at least this likely, relative to the likeliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<Share>,
    /// Against loops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<RepetitionPenalty>,
    /// The same seed, prompt and build give the same text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The answer ends before the first of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

impl Sampling {
    /// These values, with those that `other` sets in their place.
    pub fn overridden_by(&self, other: &Self) -> Self {
        Self {
            max_tokens: other.max_tokens.or(self.max_tokens),
            temperature: other.temperature.or(self.temperature),
            top_k: other.top_k.or(self.top_k),
            top_p: other.top_p.or(self.top_p),
            min_p: other.min_p.or(self.min_p),
            repetition_penalty: other.repetition_penalty.or(self.repetition_penalty),
            seed: other.seed.or(self.seed),
            stop: if other.stop.is_empty() { self.stop.clone() } else { other.stop.clone() },
        }
    }
}
