//! A node over the network, on real models.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so by failing")]

mod apis;
mod fixture;
mod generate;
mod serve;
