//! Mutual TLS between Synod's processes. Both sides show a certificate of one authority, and each looks at the other's
//! *names* as well: belonging to the authority is not enough where [`Names`] says who may be a node and who may call.
//!
//! [`Tls::open`] reads three PEM files; [`Tls::incoming`] accepts with them and [`Tls::channel`] connects. Files that
//! change are read again for the next connection, and connections that are open stay open.

mod connect;
mod error;
mod files;
mod incoming;
mod name;
mod server;
mod tls;
mod verify;

pub use error::TlsError;
pub use files::TlsFiles;
pub use incoming::SecureStream;
pub use name::{NameError, NamePattern, Names};
pub use server::ServerTls;
pub use tls::Tls;
