//! OpenAPI's schemas as JSON Schema 2020-12, with every reference written out.

use serde_json::{Map, Value};

/// References within one another; a schema that needs more is recursive, or might as well be.
const MAX_REFERENCES: usize = 16;
/// Values within one another.
const MAX_DEPTH: usize = 64;
/// Values of one operation, with what references stand for: a small document can stand for an endless one.
const MAX_VALUES: usize = 20_000;

/// Keywords whose value is a schema, a list of them, or an object of them.
const ONE: [&str; 4] = ["items", "not", "additionalProperties", "contains"];
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const NAMED: [&str; 2] = ["properties", "patternProperties"];
/// Keywords that say nothing of the value.
const DROPPED: [&str; 7] = ["nullable", "discriminator", "xml", "externalDocs", "example", "readOnly", "writeOnly"];

/// Writes out the schemas of one operation.
pub(super) struct Resolver<'a> {
    document: &'a Value,
    values: usize,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(document: &'a Value) -> Self {
        Self { document, values: 0 }
    }

    /// What a value refers to, or itself.
    pub(super) fn reference<'b>(&self, mut value: &'b Value) -> Result<&'b Value, String>
    where
        'a: 'b,
    {
        for _ in 0..MAX_REFERENCES {
            match value.get("$ref").and_then(Value::as_str) {
                Some(reference) => value = self.target(reference)?,
                None => return Ok(value),
            }
        }
        Err("its references lead to one another".to_owned())
    }

    /// A schema without references. Where it would contain itself it says nothing of what is there.
    pub(super) fn schema(&mut self, schema: &Value) -> Result<Value, String> {
        self.write(schema, &mut Vec::new(), MAX_DEPTH)
    }

    fn target(&self, reference: &str) -> Result<&'a Value, String> {
        let pointer = reference.strip_prefix('#').ok_or_else(|| {
            format!(
                "it refers to another document (`{}`), which is not fetched",
                reference.chars().take(80).collect::<String>()
            )
        })?;
        self.document.pointer(pointer).ok_or_else(|| format!("it refers to `{reference}`, which is not there"))
    }

    fn write(&mut self, schema: &Value, stack: &mut Vec<String>, depth: usize) -> Result<Value, String> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(format!("its schemas have more than {MAX_VALUES} parts"));
        }
        let depth = depth.checked_sub(1).ok_or_else(|| format!("its schemas are nested more than {MAX_DEPTH} deep"))?;
        let Value::Object(fields) = schema else { return Ok(schema.clone()) };
        if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
            if stack.len() >= MAX_REFERENCES || stack.iter().any(|known| known == reference) {
                return Ok(Map::new().into());
            }
            stack.push(reference.to_owned());
            let target = self.target(reference)?;
            let mut written = self.write(target, stack, depth)?;
            stack.pop();
            if let (Some(written), Some(text)) = (written.as_object_mut(), fields.get("description")) {
                written.insert("description".to_owned(), text.clone());
            }
            return Ok(written);
        }
        let mut written = Map::new();
        for (key, value) in fields {
            let value = match value {
                value if ONE.contains(&key.as_str()) => self.write(value, stack, depth)?,
                Value::Array(list) if LIST.contains(&key.as_str()) => {
                    list.iter().map(|one| self.write(one, stack, depth)).collect::<Result<Vec<_>, _>>()?.into()
                }
                Value::Object(named) if NAMED.contains(&key.as_str()) => self.named(named, stack, depth)?.into(),
                value if !DROPPED.contains(&key.as_str()) && !key.starts_with("x-") => value.clone(),
                _ => continue,
            };
            written.insert(key.clone(), value);
        }
        drop_read_only(fields, &mut written);
        from_3_0(fields, &mut written);
        Ok(written.into())
    }

    fn named(
        &mut self,
        named: &Map<String, Value>,
        stack: &mut Vec<String>,
        depth: usize,
    ) -> Result<Map<String, Value>, String> {
        let is_sent = |value: &Value| value.get("readOnly") != Some(&Value::Bool(true));
        let sent = named.iter().filter(|(_, value)| is_sent(value));
        sent.map(|(name, value)| Ok((name.clone(), self.write(value, stack, depth)?))).collect()
    }
}

/// What only the server sets is not asked for.
fn drop_read_only(fields: &Map<String, Value>, written: &mut Map<String, Value>) {
    let properties = fields.get("properties").and_then(Value::as_object);
    if let (Some(properties), Some(Value::Array(required))) = (properties, written.get_mut("required")) {
        required.retain(|name| {
            let property = name.as_str().and_then(|name| properties.get(name));
            property.is_none_or(|property| property.get("readOnly") != Some(&Value::Bool(true)))
        });
    }
}

/// 3.0 says `nullable` for a type, and `exclusiveMinimum: true` for a number.
fn from_3_0(fields: &Map<String, Value>, written: &mut Map<String, Value>) {
    if let (Some(Value::Bool(true)), Some(kind @ Value::String(_))) = (fields.get("nullable"), fields.get("type")) {
        written.insert("type".to_owned(), vec![kind.clone(), "null".into()].into());
        if let Some(Value::Array(values)) = written.get_mut("enum")
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
    }
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match fields.get(exclusive) {
            Some(Value::Bool(true)) => match written.remove(bound) {
                Some(number) => drop(written.insert(exclusive.to_owned(), number)),
                None => drop(written.remove(exclusive)),
            },
            Some(Value::Bool(false)) => drop(written.remove(exclusive)),
            _ => {}
        }
    }
}
