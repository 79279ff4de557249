//! Who may ask, whom, and how much.

mod bucket;
mod file;
mod keys;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

pub use file::{KeyFile, KeyFileError, KeyRecord};
pub use keys::Keys;

use self::bucket::{Bucket, Left};
use super::error::ApiError;
use crate::runs::RunSummary;

/// A key in use.
#[derive(Debug)]
pub(super) struct Key {
    record: KeyRecord,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    running: AtomicU32,
}

impl Key {
    fn new(record: KeyRecord) -> Self {
        let (requests, tokens) = (record.rpm.map(Bucket::new), record.tpm.map(Bucket::new));
        Self { record, requests, tokens, running: AtomicU32::new(0) }
    }
}

/// On whose behalf a request is: a key's, or anybody's where there are no keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller(Option<Arc<Key>>);

impl Caller {
    /// The holder of the key in these headers; anybody where no keys are in use.
    pub(super) fn authenticate(keys: &Keys, headers: &HeaderMap) -> Result<Self, ApiError> {
        let keys = keys.current();
        if !keys.required {
            return Ok(Self(None));
        }
        let refused = |message: &str| ApiError::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message);
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given =
            given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, key)) = given else {
            return Err(refused("an API key is needed: send `authorization: Bearer sk-synod-…`"));
        };
        let found = keys.find(key.trim());
        found.map(|key| Self(Some(key))).ok_or_else(|| refused("this API key is not known here, or was revoked"))
    }

    /// Whose runs it may see; empty for nobody in particular.
    pub(super) fn tenant(&self) -> &str {
        self.0.as_ref().map_or("", |key| &key.record.tenant)
    }

    /// Whether a run is its to see. Without keys all are.
    pub(super) fn sees(&self, run: &RunSummary) -> bool {
        self.0.as_ref().is_none_or(|key| key.record.tenant == run.tenant)
    }

    /// Whether it may ask this model or topology.
    pub(super) fn may_ask(&self, model: &str) -> bool {
        let allowed = self.0.as_ref().map_or(&[][..], |key| &key.record.models);
        allowed.is_empty() || allowed.iter().any(|one| one == model)
    }

    /// The most tokens of an answer, where there is such a limit.
    pub(super) fn max_tokens(&self) -> Option<u32> {
        self.0.as_ref().and_then(|key| key.record.max_tokens)
    }

    /// Lets a request in that may cost so many tokens, or says which limit is in the way and for how long.
    pub(super) fn admit(&self, tokens: u32) -> Result<Ticket, ApiError> {
        let Some(key) = &self.0 else { return Ok(Ticket { key: None, reserved: 0 }) };
        let most = key.record.concurrency.unwrap_or(u32::MAX);
        let more = |running: u32| (running < most).then(|| running + 1);
        if key.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_err() {
            let message = format!("this key has {most} requests under way, which is its limit: wait for one to end");
            return Err(ApiError::limited(message, std::time::Duration::from_secs(1)));
        }
        // From here on dropping it gives back the place.
        let mut ticket = Ticket { key: Some(Arc::clone(key)), reserved: 0 };
        let limited = |what: &str, limit: u32, wait| {
            let message = format!("this key's limit of {limit} {what} a minute is used up: come again in {wait:.0?}");
            ApiError::limited(message, wait)
        };
        if let Some(requests) = &key.requests {
            requests.take(1).map_err(|wait| limited("requests", requests.left().limit, wait))?;
        }
        if let Some(bucket) = &key.tokens {
            bucket.take(tokens).map_err(|wait| limited("tokens", bucket.left().limit, wait))?;
            ticket.reserved = tokens;
        }
        Ok(ticket)
    }

    /// What is left of its rates, as headers.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let Some(key) = &self.0 else { return };
        for (what, bucket) in [("requests", &key.requests), ("tokens", &key.tokens)] {
            let Some(Left { limit, remaining, reset }) = bucket.as_ref().map(Bucket::left) else { continue };
            let reset = format!("{}ms", reset.as_millis());
            for (aspect, value) in
                [("limit", limit.to_string()), ("remaining", remaining.to_string()), ("reset", reset)]
            {
                let name = HeaderName::try_from(format!("x-ratelimit-{aspect}-{what}"));
                if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                    headers.insert(name, value);
                }
            }
        }
    }
}

/// A request that was let in. Until it is dropped it counts as under way.
#[derive(Debug)]
pub(super) struct Ticket {
    key: Option<Arc<Key>>,
    reserved: u32,
}

impl Ticket {
    /// Says what it really cost.
    pub(super) fn settle(&mut self, tokens: u32) {
        if let Some(bucket) = self.key.as_ref().and_then(|key| key.tokens.as_ref()) {
            bucket.settle(self.reserved, tokens);
            self.reserved = tokens;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            key.running.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(change: impl FnOnce(&mut KeyRecord)) -> Caller {
        let (_, mut record) = KeyRecord::generate("a");
        change(&mut record);
        Caller(Some(Arc::new(Key::new(record))))
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_has_so_many_requests_under_way_and_no_more() {
        let caller = caller(|key| key.concurrency = Some(1));
        let first = caller.admit(1).unwrap();
        let refused = caller.admit(1).unwrap_err();
        assert!(refused.message.contains("1 requests under way") && refused.may_retry, "{refused:?}");
        drop(first);
        caller.admit(1).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn rates_hold_and_are_told() {
        let caller = caller(|key| (key.rpm, key.tpm) = (Some(2), Some(100)));
        let mut ticket = caller.admit(60).unwrap();
        ticket.settle(90);
        let refused = caller.admit(60).unwrap_err();
        assert!(refused.message.contains("100 tokens a minute"), "{refused:?}");
        assert_eq!(refused.retry_after, Some(std::time::Duration::from_secs(30)));
        let refused = caller.admit(1).unwrap_err();
        assert!(refused.message.contains("2 requests a minute"), "{refused:?}");
        let mut headers = HeaderMap::new();
        caller.tell(&mut headers);
        assert_eq!(headers["x-ratelimit-remaining-requests"], "0");
        assert_eq!(headers["x-ratelimit-remaining-tokens"], "10");
    }

    #[test]
    fn a_key_asks_its_models_and_sees_its_tenants_runs() {
        let caller = caller(|key| key.models = vec!["moa".to_owned()]);
        assert!(caller.may_ask("moa") && !caller.may_ask("single") && Caller::default().may_ask("single"));
        assert_eq!((caller.tenant(), Caller::default().tenant()), ("a", ""));
    }
}
