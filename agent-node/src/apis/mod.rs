//! Retrieval-aware API calling (Gorilla, arXiv 2305.15334): what can be called, how the fitting documents are found, how a
//! call is written that cannot be outside of them, and how it is carried out.

mod api;
mod call;
pub mod calling;
mod catalogue;
pub mod execute;
pub mod eval;
mod library;
mod retrieve;
pub mod sources;
#[cfg(test)]
mod testing;

pub use api::{Api, Binding, Effect, HttpBinding, HttpMethod, Notation, Place};
pub use call::Call;
pub use catalogue::{Catalogue, Difference};
pub use library::{Change, Entry, Library, LibraryError};
pub use retrieve::{EmbedProgress, Hit, Indexed, LazyEmbedder, Retriever, SearchError};
