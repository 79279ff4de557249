//! YAML by the book (YAML 1.2.2, core schema), under our limits.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use crate::{MAX_DEPTH, MAX_VALUES, scalar::core_schema};

/// The first document of a stream, and whether others follow. None if it is not valid.
///
/// Keys are the text they are written as; a key that is there twice is not valid; merge keys (YAML 1.1) are keys.
pub fn strict(text: &str) -> Option<(Value, bool)> {
    let mut builder = Builder::default();
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        match event.ok()?.0 {
            Event::DocumentStart(_) => documents += 1,
            // What follows has to be valid too, but is not built.
            _ if documents > 1 => {}
            event => builder.take(event)?,
        }
    }
    Some((builder.root?, documents > 1))
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, (Value, usize)>,
    values: usize,
    root: Option<Value>,
}

/// A collection that is being filled.
struct Open {
    collection: Collection,
    anchor: usize,
    /// How many values there were before it.
    before: usize,
}

enum Collection {
    List(Vec<Value>),
    Mapping { members: Map<String, Value>, key: Option<String> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1)?;
                let is_key =
                    matches!(self.open.last(), Some(Open { collection: Collection::Mapping { key: None, .. }, .. }));
                let value =
                    if is_key { Value::String(text.into_owned()) } else { scalar(&text, style, tag.as_deref()) };
                self.anchor(anchor, &value, 1);
                self.put(value)
            }
            Event::Alias(anchor) => {
                let (value, size) = self.anchors.get(&anchor)?.clone();
                self.count(size)?;
                self.put(value)
            }
            Event::SequenceStart(anchor, _) => self.open(Collection::List(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.open(Collection::Mapping { members: Map::new(), key: None }, anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { collection, anchor, before } = self.open.pop()?;
                let value = match collection {
                    Collection::List(elements) => Value::Array(elements),
                    Collection::Mapping { members, .. } => Value::Object(members),
                };
                self.anchor(anchor, &value, self.values - before);
                self.put(value)
            }
            _ => Some(()),
        }
    }

    fn open(&mut self, collection: Collection, anchor: usize) -> Option<()> {
        self.count(1)?;
        self.open.push(Open { collection, anchor, before: self.values - 1 });
        (self.open.len() <= MAX_DEPTH).then_some(())
    }

    fn put(&mut self, value: Value) -> Option<()> {
        match self.open.last_mut().map(|open| &mut open.collection) {
            None => self.root = Some(value),
            Some(Collection::List(elements)) => elements.push(value),
            Some(Collection::Mapping { members, key }) => match key.take() {
                None => *key = Some(value.as_str()?.to_owned()),
                Some(key) => {
                    if members.insert(key, value).is_some() {
                        return None;
                    }
                }
            },
        }
        Some(())
    }

    fn anchor(&mut self, anchor: usize, value: &Value, size: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), size));
        }
    }

    fn count(&mut self, values: usize) -> Option<()> {
        self.values += values;
        (self.values <= MAX_VALUES).then_some(())
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = tag.is_some_and(|tag| tag.suffix == "str");
    if style == ScalarStyle::Plain && !is_text { core_schema(text) } else { Value::String(text.to_owned()) }
}
