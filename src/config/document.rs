//! One configuration file, with the line of every key, checked against the shape as far as serde can.

use std::ops::Range;
use std::path::{Path, PathBuf};

use config::{Map, Value};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::key::{KeyPath, Step};
use super::shape::ConfigShape;

/// More mistakes than this in one file are not worth reading.
const MISTAKE_LIMIT: usize = 100;

/// A file as it was read, and which of its keys do not fit the shape.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    path: PathBuf,
    text: String,
    removed: Vec<KeyPath>,
}

/// A mistake of the shape: syntax, an unknown key, a value of the wrong type.
pub(crate) struct ShapeMistake {
    /// Where.
    pub(crate) key: KeyPath,
    /// From 1.
    pub(crate) line: usize,
    /// What, and what would be right.
    pub(crate) message: String,
}

impl Document {
    /// Reads a text and takes out of it what does not fit the shape. What is left can be merged with other files, so
    /// that its values are checked as well.
    pub(crate) fn parse(path: &Path, text: String) -> (Self, Vec<ShapeMistake>) {
        let mut document = Self { path: path.to_owned(), text, removed: Vec::new() };
        let (_, errors) = DeTable::parse_recoverable(&document.text);
        let mut mistakes: Vec<_> = errors.iter().map(|error| document.mistake(error, KeyPath::default())).collect();
        mistakes.truncate(MISTAKE_LIMIT);
        if mistakes.is_empty() {
            mistakes = document.take_out_mistakes();
        }
        (document, mistakes)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this key, or one above it, was taken out, which has been reported.
    pub(crate) fn is_reported(&self, key: &KeyPath) -> bool {
        self.removed.iter().any(|removed| removed.is_prefix_of(key))
    }

    /// How many steps of the path are in this file, and the line where the last of them is.
    pub(crate) fn locate(&self, key: &KeyPath) -> Option<(usize, usize)> {
        let (root, _) = DeTable::parse_recoverable(&self.text);
        let root = Spanned::new(0..0, DeValue::Table(root.into_inner()));
        let (mut here, mut place) = (&root, None);
        for (depth, step) in key.steps().iter().enumerate() {
            let found = match step {
                Step::Key(key) => {
                    let entry = here.get_ref().as_table().and_then(|table| table.get_key_value(key.as_str()));
                    entry.map(|(name, value)| (name.span(), value))
                }
                Step::Index(index) => {
                    let element = here.get_ref().as_array().and_then(|array| array.get(*index));
                    element.map(|value| (value.span(), value))
                }
            };
            let Some((span, value)) = found else { break };
            place = Some((depth + 1, self.line(span.start)));
            here = value;
        }
        place
    }

    /// serde stops at the first mistake; so the value that has it is removed, and serde is asked again.
    fn take_out_mistakes(&mut self) -> Vec<ShapeMistake> {
        let mut mistakes = Vec::new();
        while mistakes.len() < MISTAKE_LIMIT {
            let Err(error) = ConfigShape::deserialize(self.deserializer()) else { break };
            let key = error.span().map(|span| find(&self.table(), &span)).unwrap_or_default();
            // What contains a value removed before fails only because of that.
            if !self.removed.iter().any(|removed| key.is_prefix_of(removed)) {
                mistakes.push(self.mistake(&error, key.clone()));
            }
            let Some(removable) = key.up_to_key() else { break };
            if self.removed.contains(&removable) {
                break;
            }
            self.removed.push(removable);
        }
        mistakes
    }

    fn table(&self) -> DeTable<'_> {
        let mut table = DeTable::parse_recoverable(&self.text).0.into_inner();
        self.removed.iter().for_each(|key| remove(&mut table, key.steps()));
        table
    }

    fn deserializer(&self) -> Deserializer<'_> {
        Deserializer::from(Spanned::new(0..self.text.len(), self.table()))
    }

    fn mistake(&self, error: &toml::de::Error, key: KeyPath) -> ShapeMistake {
        let line = self.line(error.span().map_or(0, |span| span.start));
        ShapeMistake { key, line, message: error.message().replace('\n', ", ") }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

/// What is left of a file is a layer of the configuration.
impl config::Source for Document {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let table = toml::Table::deserialize(self.deserializer());
        let table = table.map_err(|error| config::ConfigError::Foreign(Box::new(error)))?;
        let origin = self.path.display().to_string();
        Ok(table.into_iter().map(|(key, value)| (key, layer_value(&origin, value))).collect())
    }
}

fn layer_value(origin: &String, value: toml::Value) -> Value {
    let kind: config::ValueKind = match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => {
            values.into_iter().map(|value| layer_value(origin, value)).collect::<Vec<_>>().into()
        }
        toml::Value::Table(table) => {
            table.into_iter().map(|(key, value)| (key, layer_value(origin, value))).collect::<Map<_, _>>().into()
        }
    };
    Value::new(Some(origin), kind)
}

/// The deepest key whose name or value an error's span lies in.
fn find(table: &DeTable<'_>, span: &Range<usize>) -> KeyPath {
    find_in_table(table, span, &KeyPath::default()).unwrap_or_default()
}

fn find_in_table(table: &DeTable<'_>, span: &Range<usize>, at: &KeyPath) -> Option<KeyPath> {
    table.iter().find_map(|(name, value)| {
        let path = at.key(name.get_ref());
        // A table's own span may be its header only, so what is inside is looked at in any case.
        find_in_value(value, span, &path).or_else(|| holds(&name.span(), span).then_some(path))
    })
}

fn find_in_value(value: &Spanned<DeValue<'_>>, span: &Range<usize>, at: &KeyPath) -> Option<KeyPath> {
    let inside = match value.get_ref() {
        DeValue::Table(table) => find_in_table(table, span, at),
        DeValue::Array(array) => {
            array.iter().enumerate().find_map(|(index, value)| find_in_value(value, span, &at.index(index)))
        }
        _ => None,
    };
    inside.or_else(|| holds(&value.span(), span).then(|| at.clone()))
}

fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Takes out the value at the end of a path whose last step is a key.
fn remove(table: &mut DeTable<'_>, steps: &[Step]) {
    match steps.split_first() {
        Some((Step::Key(key), [])) => drop(table.remove(key.as_str())),
        Some((Step::Key(key), rest)) => {
            if let Some(value) = table.get_mut(key.as_str()) {
                remove_in_value(value.get_mut(), rest);
            }
        }
        _ => {}
    }
}

fn remove_in_value(value: &mut DeValue<'_>, steps: &[Step]) {
    match (value, steps.split_first()) {
        (DeValue::Table(table), _) => remove(table, steps),
        (DeValue::Array(array), Some((Step::Index(index), rest))) => {
            if let Some(element) = array.get_mut(*index) {
                remove_in_value(element.get_mut(), rest);
            }
        }
        _ => {}
    }
}
