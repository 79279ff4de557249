//! What Synod's processes tell those who watch them. What people and models wrote is in records, and here only in
//! spans of a process that is told to show it.
//!
//! [`names`] holds every name that a dashboard or a query may rely on. [`spans`] are the steps of a run, which a [`Parent`]
//! ties together across processes; [`Registry`] holds metrics, [`Bounded`] keeps their labels few, and [`Probes`] answers for
//! both over HTTP. Where spans are sent is for the program to say.

mod bounded;
pub mod metrics;
pub mod names;
mod parent;
mod probes;
pub mod spans;

pub use bounded::Bounded;
pub use metrics::Registry;
pub use parent::Parent;
pub use probes::Probes;
