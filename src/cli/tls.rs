//! The flags about certificates, the same for all that serve.

use clap::Args;

use crate::config::Layers;

/// Certificates; also `[tls]` in synod.toml, or variables such as `SYNOD__TLS__CERT`
#[derive(Debug, Args)]
#[command(next_help_heading = "Mutual TLS")]
pub(crate) struct TlsFlags {
    /// This process's certificate (PEM); read again when it changes
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// The authority that signs everyone's certificates (PEM)
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<String>,
    /// A name that nodes' certificates have, such as spiffe://example.org/synod/node/*; several with commas. Without it
    /// a node's certificate must be for its address
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    tls_nodes: Vec<String>,
    /// A name that callers' certificates have; several with commas. Without it the authority's word is enough
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    tls_clients: Vec<String>,
    /// Let prompts and answers leave this machine in the clear
    #[arg(long)]
    insecure: bool,
}

impl TlsFlags {
    /// Adds those that were given.
    pub(crate) fn add_to(self, layers: Layers) -> Layers {
        let list = |names: Vec<String>| (!names.is_empty()).then_some(names);
        layers
            .flag("--tls-cert", "tls.cert", self.tls_cert)
            .flag("--tls-key", "tls.key", self.tls_key)
            .flag("--tls-ca", "tls.ca", self.tls_ca)
            .flag("--tls-nodes", "tls.nodes", list(self.tls_nodes))
            .flag("--tls-clients", "tls.clients", list(self.tls_clients))
            .flag("--insecure", "tls.insecure", self.insecure.then_some(true))
    }
}
