//! Random JSON schemas from a seed, and the judge of what was written under them.

#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests; not every test uses all")]

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Map, Value, json};

const NAMES: [&str; 14] =
    ["name", "age", "city", "tags", "id", "größe", "価格", "is_open", "a b", "notes", "x", "kind", "price", "e\"q"];
const WORDS: [&str; 8] = ["red", "green", "dark blue", "naïve", "日本", "no\nline", "a\\b", "🙂"];

/// Draws schemas of objects whose texts end: all arrays and strings have a largest size.
pub(crate) struct SchemaGenerator {
    rng: Pcg64Mcg,
    /// Of schemas in each other.
    max_depth: usize,
}

impl SchemaGenerator {
    pub(crate) fn new(seed: u64, max_depth: usize) -> Self {
        Self { rng: Pcg64Mcg::seed_from_u64(seed), max_depth }
    }

    /// The next schema: an object's.
    pub(crate) fn next_schema(&mut self) -> Value {
        self.object(0)
    }

    fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    fn value(&mut self, depth: usize) -> Value {
        let kinds = if depth < self.max_depth { 14 } else { 10 };
        match self.below(kinds) {
            0 => json!({"type": "integer"}),
            1 => self.integer(),
            2 => self.number(),
            3 => json!({"type": "boolean"}),
            4 => json!({"type": "null"}),
            5 => json!({"type": "string", "maxLength": 1 + self.below(24)}),
            6 => self.string(),
            7 => json!({"enum": self.literals(4)}),
            8 => json!({"const": self.literal(1)}),
            9 => json!({"type": ["integer", "null"], "minimum": 0, "maximum": 99}),
            10 => self.object(depth + 1),
            11 => self.array(depth + 1),
            12 => self.tuple(depth + 1),
            _ => {
                let options: Vec<Value> = (0..2 + self.below(2)).map(|_| self.value(depth + 1)).collect();
                json!({"anyOf": options})
            }
        }
    }

    fn integer(&mut self) -> Value {
        let least = self.rng.random_range(-1000..1000);
        match self.below(3) {
            0 => json!({"type": "integer", "minimum": least, "maximum": least + self.rng.random_range(0..5000)}),
            1 => json!({"type": "integer", "exclusiveMinimum": least}),
            _ => json!({"type": "integer", "multipleOf": 2 + self.below(9), "maximum": 10_000}),
        }
    }

    fn number(&mut self) -> Value {
        let least = f64::from(self.rng.random_range(-1000..1000)) / 8.0;
        match self.below(3) {
            0 => json!({"type": "number"}),
            1 => json!({"type": "number", "minimum": least, "maximum": least + 10.5}),
            _ => json!({"type": "number", "exclusiveMaximum": least}),
        }
    }

    fn string(&mut self) -> Value {
        let patterns = ["^[a-z]{2,5}$", "^\\d{3}-\\d{4}$", "^(yes|no)$", "^[A-Z][a-z]*( [A-Z][a-z]*){0,2}$"];
        let formats = ["date", "time", "date-time", "uuid", "ipv4"]; // those whose texts end
        match self.below(3) {
            0 => json!({"type": "string", "pattern": patterns[self.below(patterns.len())], "maxLength": 20}),
            1 => json!({"type": "string", "format": formats[self.below(formats.len())]}),
            _ => {
                let least = self.below(4);
                json!({"type": "string", "minLength": least, "maxLength": least + self.below(12)})
            }
        }
    }

    fn literal(&mut self, depth: usize) -> Value {
        match self.below(if depth > 0 { 7 } else { 5 }) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!(self.rng.random_range(-100_000..100_000)),
            3 => json!(f64::from(self.rng.random_range(-10_000..10_000)) / 16.0),
            4 => json!(WORDS[self.below(WORDS.len())]),
            5 => json!({"k": self.literal(0), "l": self.literal(0)}),
            _ => json!([self.literal(0), self.literal(0)]),
        }
    }

    fn literals(&mut self, most: usize) -> Vec<Value> {
        (0..1 + self.below(most)).map(|_| self.literal(0)).collect()
    }

    fn object(&mut self, depth: usize) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for _ in 0..1 + self.below(4) {
            let name = NAMES[self.below(NAMES.len())];
            if !properties.contains_key(name) && self.below(4) > 0 {
                required.push(name);
            }
            let schema = self.value(depth);
            properties.entry(name).or_insert(schema);
        }
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }

    fn array(&mut self, depth: usize) -> Value {
        let least = self.below(3);
        let items = self.value(depth);
        json!({"type": "array", "items": items, "minItems": least, "maxItems": least + self.below(4)})
    }

    fn tuple(&mut self, depth: usize) -> Value {
        let items: Vec<Value> = (0..1 + self.below(3)).map(|_| self.value(depth)).collect();
        json!({"type": "array", "prefixItems": items, "items": false, "minItems": items.len()})
    }
}

/// Says what is wrong with `text` as JSON under `schema`, formats included.
pub(crate) fn judge(schema: &Value, text: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    validator.validate(&value).map_err(|error| format!("invalid: {error}"))
}
