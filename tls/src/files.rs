//! The three files, and what they hold.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

use crate::error::TlsError;

/// Where the certificates are, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our own certificate, and those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that signs everyone's; several while one takes over from another.
    pub ca: PathBuf,
}

/// The files' bytes, to see whether they changed.
#[derive(PartialEq, Eq)]
pub(crate) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
}

/// What the bytes mean.
pub(crate) struct Material {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) authorities: Arc<RootCertStore>,
}

impl TlsFiles {
    pub(crate) fn read(&self) -> Result<Contents, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
        Ok(Contents { cert: read(&self.cert)?, key: read(&self.key)?, ca: read(&self.ca)? })
    }

    pub(crate) fn parse(&self, contents: &Contents) -> Result<Material, TlsError> {
        let chain = certificates(&self.cert, &contents.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key);
        let key = key.map_err(|source| wrong(&self.key, "a private key", source))?;
        let mut authorities = RootCertStore::empty();
        for certificate in certificates(&self.ca, &contents.ca)? {
            authorities
                .add(certificate)
                .map_err(|source| TlsError::Authority { path: self.ca.clone(), source: source.into() })?;
        }
        Ok(Material { chain, key, authorities: Arc::new(authorities) })
    }
}

/// At least one.
pub(crate) fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(path, "a certificate", pem::Error::NoItemsFound)),
        found => found.map_err(|source| wrong(path, "a certificate", source)),
    }
}

pub(crate) fn wrong(path: &Path, expected: &'static str, source: pem::Error) -> TlsError {
    TlsError::Pem { path: path.to_owned(), expected, source }
}
