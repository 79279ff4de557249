//! Models on a GPU, held against the CPU. Needs a Vulkan, Metal or DX12 driver; software will do.

#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

mod attention;
mod engine;
mod linear;
mod random;
