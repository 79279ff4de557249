//! To come.

pub mod mapped;
