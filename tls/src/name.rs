//! Who a certificate belongs to, and who is meant.

use std::{fmt, net::IpAddr};

use rustls::{CertificateError, pki_types::CertificateDer};

/// A name as it stands in a certificate (DNS name or URI), where `*` is any one part: of a DNS name a label, of a URI
/// a segment of its path. `*.nodes.example.org`, `spiffe://example.org/synod/node/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a certificate: it takes a DNS name or URI, for instance `*.nodes.example.org`")]
pub struct NameError(String);

/// Whose certificates are accepted, besides being the authority's.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Whom we call. None: the certificate must be for the host in the address.
    pub servers: Vec<NamePattern>,
    /// Who calls us. None: anyone whom the authority gave a certificate.
    pub clients: Vec<NamePattern>,
}

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It could never match: it is empty, an IP address, has an empty part, or `*` as one character among others.
    pub fn try_new(text: &str) -> Result<Self, NameError> {
        let parts = text.split_once("://").map_or(text, |(_, rest)| rest).split(separator(text));
        let is_part = |part: &str| part == "*" || !(part.is_empty() || part.contains(['*', ' ']));
        let ok = parts.into_iter().all(is_part) && text.parse::<IpAddr>().is_err();
        if ok { Ok(Self(text.to_owned())) } else { Err(NameError(text.to_owned())) }
    }

    /// Whether this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        let separator = separator(&self.0);
        if separator != self::separator(name) {
            return false;
        }
        let (mut own, mut parts) = (self.0.split(separator), name.split(separator));
        loop {
            match (own.next(), parts.next()) {
                (None, None) => return true,
                (Some("*"), Some(part)) if !part.is_empty() => {}
                // DNS names are the same in any case; URIs are not.
                (Some(own), Some(part)) if own == part || (separator == '.' && own.eq_ignore_ascii_case(part)) => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn separator(text: &str) -> char {
    if text.contains("://") { '/' } else { '.' }
}

/// Refuses a certificate none of whose names is meant. No pattern means any name.
pub(crate) fn check(certificate: &CertificateDer<'_>, allowed: &[NamePattern]) -> Result<(), rustls::Error> {
    if allowed.is_empty() {
        return Ok(());
    }
    let parsed = webpki::EndEntityCert::try_from(certificate)
        .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let names: Vec<_> = parsed.valid_dns_names().chain(parsed.valid_uri_names()).collect();
    if names.iter().any(|name| allowed.iter().any(|pattern| pattern.matches(name))) {
        return Ok(());
    }
    let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
    tracing::warn!(names = names.join(", "), allowed = allowed.join(", "), "refused a certificate for its names");
    Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, name: &str, expected: bool) {
        assert_eq!(NamePattern::try_new(pattern).unwrap().matches(name), expected, "{pattern} {name}");
    }

    #[test]
    fn a_star_is_one_part_of_a_name() {
        check("spiffe://example.org/synod/node/*", "spiffe://example.org/synod/node/a1", true);
        check("spiffe://example.org/synod/node/*", "spiffe://example.org/synod/aggregator/a1", false);
        check("spiffe://example.org/synod/node/*", "spiffe://example.org/synod/node/a/b", false);
        check("spiffe://example.org/synod/node/*", "spiffe://example.org/synod/node/", false);
        check("spiffe://example.org/synod/node/*", "spiffe://Example.org/synod/node/a", false);
        check("*.nodes.example.org", "A.Nodes.example.org", true);
        check("*.nodes.example.org", "nodes.example.org", false);
        check("*.nodes.example.org", "a.b.nodes.example.org", false);
        check("*", "localhost", true);
        check("*.org", "spiffe://example.org", false);
    }

    #[test]
    fn what_could_never_match_is_no_pattern() {
        for text in ["", "10.0.0.1", "a..b", "node*.example.org", "spiffe://", "::1", "a b"] {
            assert_eq!(NamePattern::try_new(text), Err(NameError(text.to_owned())));
        }
    }
}
