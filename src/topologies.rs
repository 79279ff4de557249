//! Topologies of the configuration, as the aggregator reads them.

use synod_aggregator::topology::{Known, Mistake, Topologies, from_toml};

use crate::config::{Config, Mistakes, key::KeyPath};

/// Top-level keys of `synod.toml` that are not the aggregator's.
pub(crate) const OTHER_KEYS: [&str; 8] = ["aggregator", "apis", "http", "node", "nodes", "records", "tls", "models"];

/// The built-in topologies and the configuration's.
///
/// # Errors
/// All mistakes, with the file and line where each was written.
pub(crate) fn read(config: &Config) -> Result<Topologies, Mistakes> {
    let mut table = toml::Table::new();
    table.insert("default_topology".to_owned(), config.default_topology.clone().into());
    table.insert("topologies".to_owned(), toml::Value::Table(config.topologies.clone().into_iter().collect()));
    table.insert("roles".to_owned(), toml::Value::Table(config.roles.clone().into_iter().collect()));
    let place = |Mistake { key, message, .. }: Mistake| config.origins.mistake(&KeyPath::default().join(&key), message);
    from_toml(&table.to_string(), &Known::default())
        .map_err(|mistakes| Mistakes::new(mistakes.into_iter().map(place).collect()))
}
