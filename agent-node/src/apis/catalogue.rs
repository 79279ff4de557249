//! One version of one catalogue.

use std::{collections::HashMap, fmt::Write, sync::Arc};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Api;

/// The APIs of one source as they were at one time. Immutable: a change is another catalogue, with another version.
#[derive(Debug)]
pub struct Catalogue {
    name: String,
    version: String,
    /// Sorted by name.
    apis: Vec<Arc<Api>>,
    by_name: HashMap<String, usize>,
}

impl Catalogue {
    /// A catalogue of these APIs. Of two with one name, the first is kept: sources give distinct names.
    #[must_use]
    pub fn new(name: impl Into<String>, mut apis: Vec<Api>) -> Self {
        apis.sort_by(|a, b| a.name.cmp(&b.name));
        apis.dedup_by(|a, b| a.name == b.name);
        let version = version(&apis);
        let by_name = apis.iter().enumerate().map(|(index, api)| (api.name.clone(), index)).collect();
        Self { name: name.into(), version, apis: apis.into_iter().map(Arc::new).collect(), by_name }
    }

    /// What the node calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sha256, in lower-case hexadecimal, of the APIs in the order of their names, each as JSON without white space and
    /// with its members sorted. Equal documents have equal versions, however they were written.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// All APIs, sorted by name.
    #[must_use]
    pub fn apis(&self) -> &[Arc<Api>] {
        &self.apis
    }

    /// The API of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Api>> {
        self.by_name.get(name).map(|&index| &self.apis[index])
    }
}

fn version(apis: &[Api]) -> String {
    let mut hasher = Sha256::new();
    for api in apis {
        let mut text = String::new();
        // An `Api` has string keys only, so that it always becomes a value.
        write_canonical(&serde_json::to_value(api).unwrap_or_default(), &mut text);
        hasher.update(text);
        hasher.update("\n");
    }
    hex(&hasher.finalize())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// JSON with the members of objects sorted: `serde_json` keeps them in the document's order, which models are shown.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in members {
                let _ = write!(text, "{},", Value::from(key.as_str()));
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

/// What a new version changes for whoever calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Names that were not there.
    pub added: Vec<String>,
    /// Names whose document is another.
    pub changed: Vec<String>,
    /// Names that are gone.
    pub removed: Vec<String>,
}

impl Difference {
    /// From nothing, or from `before`, to `after`.
    #[must_use]
    pub fn between(before: Option<&Catalogue>, after: &Catalogue) -> Self {
        let mut difference = Self::default();
        for api in after.apis() {
            match before.and_then(|before| before.find(&api.name)) {
                None => difference.added.push(api.name.clone()),
                Some(known) if known != api => difference.changed.push(api.name.clone()),
                Some(_) => {}
            }
        }
        let gone = before.map_or(&[][..], Catalogue::apis).iter().filter(|api| after.find(&api.name).is_none());
        difference.removed = gone.map(|api| api.name.clone()).collect();
        difference
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apis::testing::api;

    #[test]
    fn a_version_is_of_what_documents_say_not_of_how_they_are_written() {
        let written = |parameters| Api { parameters, ..api("a") };
        let one = written(json!({"type": "object", "properties": {"x": {}, "y": {}}}));
        let other = written(json!({"properties": {"y": {}, "x": {}}, "type": "object"}));
        let version = |apis| Catalogue::new("n", apis).version().to_owned();
        assert_eq!(version(vec![one.clone(), api("b")]), version(vec![api("b"), other]));
        assert_ne!(version(vec![one]), version(vec![written(json!({"type": "object", "properties": {"x": {}}}))]));
    }

    #[test]
    fn a_difference_names_what_came_changed_and_went() {
        let before = Catalogue::new("n", vec![api("gone"), api("same"), api("other")]);
        let changed = Api { description: "says more now".to_owned(), ..api("other") };
        let after = Catalogue::new("n", vec![api("new"), api("same"), changed]);
        let difference = Difference::between(Some(&before), &after);
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = Difference { added: names(&["new"]), changed: names(&["other"]), removed: names(&["gone"]) };
        assert_eq!(difference, expected);
        assert_eq!(Difference::between(None, &before).added, names(&["gone", "other", "same"]));
    }
}
