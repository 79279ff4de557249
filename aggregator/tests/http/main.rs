//! HTTP as clients meet it, over a scripted node: what is answered, and what becomes of those who attack.
// clippy.toml allows these in tests, but does not see that helpers here are part of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod attacks;
mod fixture;
mod probes;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../scripted/mod.rs"]
mod scripted;
mod tenants;
