//! Model files to tokens: the store, GGUF, tokenizers and chat templates, architectures as burn modules, and the
//! engine that batches sequences over them. Knows nothing of gRPC, nodes or topologies.

pub mod arch;
pub mod embed;
pub mod engine;
pub mod gguf;
pub mod grammar;
pub mod nn;
pub mod planner;
pub mod store;
pub mod text;
