//! The HTTP interface from the configuration: where it listens, and to whom.

use std::path::PathBuf;
use std::sync::Arc;

use etcetera::BaseStrategy;
use synod_aggregator::http::{Http, KeyFile, Keys};
use synod_tls::ServerTls;

use crate::cluster;
use crate::config::{Config, HttpConfig};
use crate::exit::{ExitCode, Failure, with_causes};
use crate::output::Output;

/// Binds what the configuration says; nothing where it is off, or where an address that nobody chose is taken.
///
/// # Errors
/// The keys or certificates cannot be used, the address is taken, or it would be open to other machines.
pub(crate) async fn open(config: &Config, output: &Output) -> Result<Option<Http>, Failure> {
    let HttpConfig { listen, is_chosen, origins, tls, limits, .. } = &config.http;
    let Some(listen) = *listen else { return Ok(None) };
    let wrong = |error: &dyn std::error::Error| Failure::new(ExitCode::Configuration, with_causes(error));
    let keys = Keys::open(key_file(config)?, config.http.keys.is_some()).map_err(|error| wrong(&error))?;
    let tls = tls.as_ref().map(|(cert, key)| ServerTls::open(cert, key).map(Arc::new));
    let tls = tls.transpose().map_err(|error| wrong(&error))?;
    guard(config, listen, keys.are_required(), tls.is_some())?;
    let listener = match cluster::bind(listen, "--http").await {
        Ok(listener) => listener,
        Err(failure) if *is_chosen => return Err(failure),
        Err(failure) => {
            output.note(&format!("no HTTP: {}; choose another address with --http", failure.message));
            return Ok(None);
        }
    };
    Ok(Some(Http { listener, keys, origins: origins.clone(), tls, limits: limits.clone() }))
}

/// Refuses to be open to other machines, unless that is what somebody asked for.
fn guard(config: &Config, listen: std::net::SocketAddr, has_keys: bool, has_tls: bool) -> Result<(), Failure> {
    if config.insecure || listen.ip().is_loopback() {
        return Ok(());
    }
    let refuse = |what: &str, hint: &str| {
        let message = format!("{listen} can be reached from other machines, and there {what}");
        Err(Failure::new(ExitCode::Configuration, message)
            .hint(format!("{hint}; or listen on 127.0.0.1; or, where the network is safe by itself, give --insecure")))
    };
    match (has_keys, has_tls) {
        (false, _) => refuse("are no API keys", "make one with `synod keys add`"),
        (_, false) => {
            refuse("is no certificate, without which keys travel in the clear", "set `cert` and `key` in [http]")
        }
        (true, true) => Ok(()),
    }
}

/// Where keys are kept: where the configuration says, or else with the user's own configuration.
///
/// # Errors
/// There is no home folder.
pub(crate) fn key_file(config: &Config) -> Result<KeyFile, Failure> {
    let own = || etcetera::choose_base_strategy().ok().map(|dirs| dirs.config_dir().join("synod/keys.json"));
    let path: Option<PathBuf> = config.http.keys.clone().or_else(own);
    let missing = || {
        Failure::new(ExitCode::Configuration, "there is no home folder to keep keys in")
            .hint("set `keys` in [http] to a file")
    };
    path.map(KeyFile::at).ok_or_else(missing)
}

/// The URL that clients are given.
pub(crate) fn url(http: &Http) -> Result<String, Failure> {
    let address = http.listener.local_addr().map_err(|error| Failure::new(ExitCode::Failed, error.to_string()))?;
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://{address}/v1"))
}
