//! Calls that are carried out: what gets through and what does not, against servers that mean well and servers that don't.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so by failing")]

mod answers;
mod consent;
mod credentials;
mod destinations;
mod protocols;
mod support;
