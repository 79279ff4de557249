//! The protocol's messages from and to plain types. Nothing but this, `service`, `client` and the callers of nodes names
//! a generated type.

mod answer;
mod apis;
mod event;
mod lists;
mod node;
mod question;
mod status;

pub(crate) use answer::event_of;
pub(crate) use apis::{call_api, proposed};
pub(crate) use lists::offered;
pub(crate) use node::{Margins, member_event, part, start};
pub(crate) use status::{error_of, status_of};

use std::time::Duration;

use crate::{members::Usage, runs::events::Timings, stages::FinishReason};
use synod_proto::v1;

/// Whole milliseconds; more than 49 days do not happen.
fn ms(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl From<Usage> for v1::Usage {
    fn from(usage: Usage) -> Self {
        let Usage { prompt_tokens, completion_tokens, cached_prompt_tokens } = usage;
        Self { prompt_tokens, completion_tokens, cached_prompt_tokens }
    }
}

impl From<v1::Usage> for Usage {
    fn from(usage: v1::Usage) -> Self {
        let v1::Usage { prompt_tokens, completion_tokens, cached_prompt_tokens } = usage;
        Self { prompt_tokens, completion_tokens, cached_prompt_tokens }
    }
}

impl From<Timings> for v1::Timings {
    fn from(timings: Timings) -> Self {
        Self { total_ms: ms(timings.total), first_token_ms: ms(timings.first_token) }
    }
}

impl From<v1::Timings> for Timings {
    fn from(timings: v1::Timings) -> Self {
        let span = |ms: u32| Duration::from_millis(ms.into());
        Self { total: span(timings.total_ms), first_token: span(timings.first_token_ms) }
    }
}

impl From<FinishReason> for v1::FinishReason {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop => Self::Stop,
            FinishReason::Length => Self::Length,
            FinishReason::Cancelled => Self::Cancelled,
        }
    }
}

impl From<v1::FinishReason> for FinishReason {
    fn from(reason: v1::FinishReason) -> Self {
        match reason {
            v1::FinishReason::Stop => Self::Stop,
            // A reason that we don't know yet is at least no end that the model chose.
            v1::FinishReason::Length | v1::FinishReason::Unspecified => Self::Length,
            v1::FinishReason::Cancelled => Self::Cancelled,
        }
    }
}
