//! Finds and merges the layers: defaults, the user's file, the working directory's file, environment, flags.

use std::path::{Path, PathBuf};
use std::{fs, io};

use config::Environment;
use etcetera::BaseStrategy;
use serde::Deserialize;

use super::Config;
use super::check::check;
use super::document::Document;
use super::key::KeyPath;
use super::mistake::{Mistake, Mistakes, Origin};
use super::origins::Origins;
use super::shape::ConfigShape;

const FILE_NAME: &str = "synod.toml";
const VARIABLE_PREFIX: &str = "SYNOD__";
/// Keys whose variable holds a list, separated by commas.
const LIST_KEYS: [&str; 6] = [
    "aggregator.nodes",
    "aggregator.discovery.servers",
    "aggregator.discovery.endpoints",
    "http.origins",
    "tls.nodes",
    "tls.clients",
];

/// Where the layers are. Plain data, so that a test can say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    /// Files, weakest first, and whether each must exist.
    pub(crate) files: Vec<(PathBuf, bool)>,
    /// Variables; those that do not begin with `SYNOD__` are passed over.
    pub(crate) variables: Vec<(String, String)>,
    /// Flag, the key it stands for, and its value.
    pub(crate) flags: Vec<(&'static str, &'static str, config::Value)>,
}

impl Layers {
    /// The layers of this process: `file` (the flag `--config`) takes the place of `./synod.toml`.
    pub(crate) fn of_process(file: Option<&Path>) -> Self {
        let user = etcetera::choose_base_strategy().ok();
        let user = user.map(|dirs| (dirs.config_dir().join("synod").join(FILE_NAME), false));
        let own = file.map_or_else(|| (PathBuf::from(FILE_NAME), false), |file| (file.to_owned(), true));
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
        Self { files: user.into_iter().chain([own]).collect(), variables: variables.collect(), flags: Vec::new() }
    }

    /// Adds a flag that was given.
    #[must_use]
    pub(crate) fn flag(
        mut self,
        flag: &'static str,
        key: &'static str,
        value: Option<impl Into<config::Value>>,
    ) -> Self {
        self.flags.extend(value.map(|value| (flag, key, value.into())));
        self
    }

    /// Merges and checks.
    ///
    /// # Errors
    /// Everything that is wrong, in all layers.
    pub(crate) fn load(self) -> Result<Config, Mistakes> {
        let mut mistakes = Vec::new();
        let mut origins = Origins::default();
        for (path, required) in &self.files {
            read_document(path, *required, &mut origins, &mut mistakes);
        }
        let variables = self.variables(&mut origins, &mut mistakes);
        let mut builder = config::Config::builder();
        for document in &origins.documents {
            builder = builder.add_source(document.clone());
        }
        for variable in variables {
            builder = builder.add_source(variable);
        }
        let merged = self.flags.iter().try_fold(builder, |builder, (flag, key, value)| {
            origins.flags.push((flag, KeyPath::default().join(key)));
            builder.set_override(key, value.clone())
        });
        let shape = merged.and_then(|builder| builder.build()).and_then(config::Config::try_deserialize);
        match shape {
            Ok(shape) => check(shape, origins, mistakes),
            Err(error) => {
                // Each layer fits the shape by itself, so this is rare: two layers that disagree about a type.
                if mistakes.is_empty() {
                    mistakes.push(Mistake { origin: Origin::Default, key: String::new(), message: error.to_string() });
                }
                Err(Mistakes::new(mistakes))
            }
        }
    }

    /// The variables as layers, one each, without those that do not fit the shape.
    fn variables(&self, origins: &mut Origins, mistakes: &mut Vec<Mistake>) -> Vec<Environment> {
        let mut layers = Vec::new();
        for (name, value) in &self.variables {
            let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
            let key = KeyPath::default().join(&rest.to_lowercase().replace("__", "."));
            let layer = environment(name, value);
            let alone = config::Config::builder().add_source(layer.clone()).build();
            match alone.and_then(ConfigShape::deserialize) {
                Ok(_) => {
                    origins.environment.push((name.clone(), key));
                    layers.push(layer);
                }
                Err(error) => mistakes.push(Mistake {
                    origin: Origin::Environment(name.clone()),
                    key: key.to_string(),
                    message: plain(&error),
                }),
            }
        }
        layers
    }
}

fn environment(name: &str, value: &str) -> Environment {
    let only = [(name.to_owned(), value.to_owned())].into_iter().collect();
    let layer = Environment::with_prefix("SYNOD").separator("__").try_parsing(true).list_separator(",");
    LIST_KEYS.iter().fold(layer, |layer, key| layer.with_list_parse_key(key)).source(Some(only))
}

/// The error without the origin and key it repeats.
fn plain(error: &config::ConfigError) -> String {
    let text = error.to_string();
    let text = text.split(" for key ").next().unwrap_or(&text);
    text.strip_suffix(" in the environment").unwrap_or(text).to_owned()
}

fn read_document(path: &Path, required: bool, origins: &mut Origins, mistakes: &mut Vec<Mistake>) {
    let report = |line, key: KeyPath, message| Mistake {
        origin: Origin::File { path: path.to_owned(), line },
        key: key.to_string(),
        message,
    };
    match fs::read_to_string(path) {
        Ok(text) => {
            let (document, found) = Document::parse(path, text);
            mistakes.extend(found.into_iter().map(|one| report(Some(one.line), one.key, one.message)));
            origins.documents.push(document);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {}
        Err(error) => mistakes.push(report(None, KeyPath::default(), format!("cannot be read: {error}"))),
    }
}
