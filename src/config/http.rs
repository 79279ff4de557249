//! Checks of `[http]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use synod_aggregator::http::HttpLimits;

use super::check::Checker;
use super::key::KeyPath;
use super::shape::HttpShape;

/// What switches HTTP off.
const OFF: &str = "off";
const PORT: u16 = 7680;
const BODY_MB_LIMIT: i64 = 1024;
const CONNECTIONS_LIMIT: i64 = 100_000;

/// The HTTP interface.
#[derive(Debug, Clone)]
pub(crate) struct HttpConfig {
    /// Where; none where it is off.
    pub(crate) listen: Option<SocketAddr>,
    /// Whether somebody chose that. An address that nobody asked for may be taken.
    pub(crate) is_chosen: bool,
    /// The file of keys; without it the user's own, where it has any.
    pub(crate) keys: Option<PathBuf>,
    /// Web pages whose scripts may ask.
    pub(crate) origins: Vec<String>,
    /// Certificate chain and private key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// What clients may send.
    pub(crate) limits: HttpLimits,
}

impl Checker<'_> {
    pub(super) fn http(&mut self, shape: HttpShape) -> HttpConfig {
        let table = KeyPath::of(["http"]);
        let is_chosen = shape.listen.is_some();
        let is_off = shape.listen.as_deref() == Some(OFF);
        let listen = (!is_off).then(|| self.address(&table.key("listen"), shape.listen, PORT));
        for (at, origin) in shape.origins.iter().enumerate().filter(|(_, origin)| !is_origin(origin)) {
            let message = format!("`{origin}` is no origin: it takes `https://HOST[:PORT]` or `*`");
            self.report(&table.key("origins").index(at), message);
        }
        let tls = match (shape.cert, shape.key) {
            (Some(cert), Some(key)) => Some((cert.into(), key.into())),
            (None, None) => None,
            (cert, _) => {
                let missing = if cert.is_some() { "key" } else { "cert" };
                self.report(&table.key(missing), "is missing: TLS takes `cert` and `key`, both PEM files");
                None
            }
        };
        let standard = HttpLimits::standard();
        let body_mb = shape.body_mb.and_then(|mb| self.number(&table.key("body_mb"), mb, BODY_MB_LIMIT));
        let connections =
            shape.connections.and_then(|most| self.number(&table.key("connections"), most, CONNECTIONS_LIMIT));
        let limits = HttpLimits {
            body_bytes: body_mb.map_or(standard.body_bytes, |mb| mb << 20),
            connections: connections.unwrap_or(standard.connections),
            ..standard
        };
        HttpConfig { listen, is_chosen, keys: shape.keys.map(PathBuf::from), origins: shape.origins, tls, limits }
    }

    fn number(&mut self, key: &KeyPath, value: i64, most: i64) -> Option<usize> {
        if (1..=most).contains(&value) {
            return usize::try_from(value).ok();
        }
        self.report(key, format!("{value} must be between 1 and {most}"));
        None
    }
}

/// `*`, or a scheme and a host as browsers send them: without a path.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    text == "*" || rest.is_some_and(|host| !host.is_empty() && host.chars().all(is_host))
}
