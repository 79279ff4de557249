//! How fast a model reads and writes on this node, from the calls that it finished: what an aggregator that never asked it
//! can go by.

use std::sync::{Mutex, PoisonError};

use synod_proto::v1::GenerateFinished;

/// Fewer tokens than this say nothing about a speed.
const ENOUGH: u32 = 8;
/// How much of the best of before a slower call leaves: a node that became slower says so before long.
const FADE: f64 = 0.95;

/// Tokens a second. A call beside others is slower than one alone, so it is the best of late that counts.
#[derive(Debug, Default)]
pub(crate) struct Speed(Mutex<Measured>);

/// Tokens a second; 0 where nothing was measured.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub(crate) prefill: f64,
    pub(crate) decode: f64,
}

impl Speed {
    /// Takes a finished call into account.
    pub(crate) fn add(&self, call: &GenerateFinished) {
        let (Some(usage), Some(timings)) = (&call.usage, &call.timings) else { return };
        let read = usage.prompt_tokens.saturating_sub(usage.cached_prompt_tokens);
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        best_of_late(&mut measured.prefill, read, timings.prefill_ms);
        // The first token comes with the end of the prompt.
        best_of_late(&mut measured.decode, usage.completion_tokens.saturating_sub(1), timings.decode_ms);
    }

    pub(crate) fn measured(&self) -> Measured {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn best_of_late(speed: &mut f64, tokens: u32, ms: u32) {
    if tokens >= ENOUGH && ms > 0 {
        *speed = (f64::from(tokens) / f64::from(ms) * 1e3).max(*speed * FADE);
    }
}

#[cfg(test)]
mod tests {
    use synod_proto::v1::{GenerateTimings, Usage};

    use super::*;

    fn call(read: u32, cached: u32, prefill_ms: u32, written: u32, decode_ms: u32) -> GenerateFinished {
        let usage = Usage { prompt_tokens: read + cached, completion_tokens: written, cached_prompt_tokens: cached };
        let timings = GenerateTimings { queue_ms: 0, prefill_ms, decode_ms };
        GenerateFinished { usage: Some(usage), timings: Some(timings), ..GenerateFinished::default() }
    }

    #[test]
    fn the_best_call_of_late_counts_and_fades() {
        let speed = Speed::default();
        assert_eq!(speed.measured(), Measured::default());
        speed.add(&call(100, 900, 50, 11, 100));
        assert_eq!(speed.measured(), Measured { prefill: 2000.0, decode: 100.0 });
        speed.add(&call(3, 900, 1, 3, 1));
        assert_eq!(speed.measured().prefill, 2000.0, "too few tokens to tell");
        speed.add(&call(100, 0, 500, 11, 1000));
        assert_eq!(speed.measured(), Measured { prefill: 1900.0, decode: 95.0 });
    }
}
