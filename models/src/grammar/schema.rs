//! JSON schemas as llguidance is given them.
//!
//! llguidance passes over keywords it does not know, and follows some only where others stand beside them. [`prepare`]
//! refuses all of that with the place where it stands, and bounds numbers, which a small model can write without end.

mod format;
mod keyword;
mod literal;
mod place;

use std::collections::HashSet;

use llguidance::JsonCompileOptions;
use serde_json::{Map, Value, json};

use self::{
    keyword::{Draft, Holds, holds},
    place::Place,
};
use super::{GrammarError, GrammarLimits, compiler::check_length, regex};

/// The schema in `source`, checked and ready for llguidance.
pub(super) fn prepare(source: &str, limits: &GrammarLimits) -> Result<Value, GrammarError> {
    check_length(source, limits)?;
    let mut schema: Value = serde_json::from_str(source).map_err(|error| GrammarError::Json(error.to_string()))?;
    let mut check = Check::new(&schema, limits.max_depth)?;
    check.schema(&mut schema, &Place::root(), Within::default())?;
    check.references()?;
    match schema {
        Value::Bool(false) => Err(GrammarError::Unsatisfiable("the schema is `false`".to_owned())),
        Value::Bool(true) => Ok(compact(json!({}))),
        schema => Ok(compact(schema)),
    }
}

/// A schema of all JSON objects whose numbers are bounded.
pub(super) fn object() -> Value {
    let bounded = |name: &str| json!({"type": name, "minimum": -literal::MOST, "maximum": literal::MOST});
    compact(json!({
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/value"},
        "$defs": {"value": {"anyOf": [
            {"type": ["null", "boolean", "string"]},
            bounded("number"),
            {"type": "array", "items": {"$ref": "#/$defs/value"}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/value"}},
        ]}},
    }))
}

/// Adds how the JSON is written: without white space, which small models repeat for ever, and with one spelling for each
/// string. Were `\u0061` allowed beside `a`, it could spell a key past the schema of that key.
fn compact(mut schema: Value) -> Value {
    let options = JsonCompileOptions {
        whitespace_flexible: false,
        json_allowed_escapes: Some("nrbtf\\\"".to_owned()),
        ..JsonCompileOptions::default()
    };
    options.apply_to(&mut schema);
    schema
}

/// What is known of the schemas around one.
#[derive(Debug, Clone, Copy, Default)]
struct Within {
    depth: usize,
    /// Other schemas hold for the same value, so that nothing may be added to this one.
    combined: bool,
}

/// A walk over all places of a schema where a schema stands.
struct Check {
    draft: Draft,
    max_depth: usize,
    places: HashSet<String>,
    references: Vec<(Place, String)>,
}

impl Check {
    fn new(schema: &Value, max_depth: usize) -> Result<Self, GrammarError> {
        let draft = Draft::of(schema).map_err(|problem| Place::root().problem(problem))?;
        Ok(Self { draft, max_depth, places: HashSet::new(), references: Vec::new() })
    }

    fn schema(&mut self, schema: &mut Value, at: &Place, within: Within) -> Result<(), GrammarError> {
        if within.depth > self.max_depth {
            return Err(GrammarError::TooDeep { depth: within.depth, limit: self.max_depth });
        }
        self.places.insert(at.to_pointer());
        let members = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(members) => members,
            _ => return Err(at.problem("must be an object or a boolean")),
        };
        let inside = Within { depth: within.depth + 1, combined: false };
        let beside = Within { combined: within.combined || members.contains_key("allOf"), ..inside };
        for (key, value) in members.iter_mut() {
            let here = at.child(key);
            match holds(key, self.draft, at.is_root()).map_err(|problem| at.problem(problem))? {
                Holds::Nothing => {}
                Holds::Schema => self.schema(value, &here, inside)?,
                Holds::Items if value.is_array() => self.list(value, &here, inside)?,
                Holds::Items => self.schema(value, &here, inside)?,
                Holds::Schemas => self.list(value, &here, beside)?,
                Holds::Tuple => self.list(value, &here, inside)?,
                Holds::Named => self.named(value, &here, inside)?,
                Holds::Reference => self.reference(value, here)?,
                Holds::Literal => literal::check(value).map_err(|problem| here.problem(problem))?,
                Holds::Number => literal::check_number(value).map_err(|problem| here.problem(problem))?,
                Holds::Pattern => check_pattern(value.as_str().unwrap_or_default(), &here)?,
            }
        }
        check_combinations(members, at)?;
        format::narrow(members);
        if !within.combined {
            literal::bound_numbers(members);
        }
        Ok(())
    }

    fn list(&mut self, value: &mut Value, at: &Place, within: Within) -> Result<(), GrammarError> {
        let Value::Array(items) = value else { return Err(at.problem("must be an array of schemas")) };
        items.iter_mut().enumerate().try_for_each(|(i, item)| self.schema(item, &at.child(&i.to_string()), within))
    }

    fn named(&mut self, value: &mut Value, at: &Place, within: Within) -> Result<(), GrammarError> {
        let patterns = at.ends_with("patternProperties");
        let Value::Object(members) = value else { return Err(at.problem("must be an object of schemas")) };
        for (name, member) in members {
            let here = at.child(name);
            if patterns {
                check_pattern(name, &here)?;
            }
            self.schema(member, &here, within)?;
        }
        Ok(())
    }

    fn reference(&mut self, value: &Value, at: Place) -> Result<(), GrammarError> {
        let Some(to) = value.as_str() else { return Err(at.problem("must be a string")) };
        self.references.push((at, to.to_owned()));
        Ok(())
    }

    /// References lead to places where a schema was checked.
    fn references(&self) -> Result<(), GrammarError> {
        for (at, to) in &self.references {
            if !to.starts_with('#') {
                return Err(
                    at.problem(format!("{to:?} is outside of the schema: nothing is fetched, put it into $defs"))
                );
            }
            if !self.places.contains(to) {
                return Err(at.problem(format!("there is no schema at {to:?}, or its name has one of / ~ %")));
            }
        }
        Ok(())
    }
}

fn check_pattern(pattern: &str, at: &Place) -> Result<(), GrammarError> {
    if pattern.is_empty() { Ok(()) } else { regex::check(pattern).map_err(|problem| at.problem(problem)) }
}

/// Keywords that llguidance follows only together with others.
fn check_combinations(members: &Map<String, Value>, at: &Place) -> Result<(), GrammarError> {
    let required = members.get("required").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    let least = members.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
    let closed =
        members.get("additionalProperties") == Some(&Value::Bool(false)) && !members.contains_key("patternProperties");
    if least > required && !closed {
        // A key may be written twice, which counts as one.
        return Err(
            at.problem("`minProperties` above the number of required ones needs `\"additionalProperties\": false`")
        );
    }
    Ok(())
}
