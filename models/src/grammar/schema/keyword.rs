//! The keywords of JSON schema that can be enforced, and what stands in them.

use serde_json::Value;

/// The version of JSON schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draft {
    Draft7,
    /// Also what a schema without `$schema` is.
    Draft202012,
}

impl Draft {
    pub(super) fn of(schema: &Value) -> Result<Self, String> {
        let Some(uri) = schema.get("$schema") else { return Ok(Self::Draft202012) };
        match uri.as_str().map(|uri| uri.trim_end_matches('#')) {
            Some("https://json-schema.org/draft/2020-12/schema") => Ok(Self::Draft202012),
            Some("http://json-schema.org/draft-07/schema") => Ok(Self::Draft7),
            _ => Err(format!("`$schema` {uri} is not supported: draft 2020-12 and draft-07 are")),
        }
    }
}

/// What stands in a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nothing that has to be looked at: llguidance checks it, or it asserts nothing.
    Nothing,
    Schema,
    /// One schema, or in draft-07 a schema for each item.
    Items,
    /// Schemas for the same value.
    Schemas,
    /// Schemas for one item each.
    Tuple,
    /// Schemas by name.
    Named,
    Reference,
    /// Values that are meant as they are.
    Literal,
    Number,
    Pattern,
}

/// What stands in `key`, or why it is refused.
pub(super) fn holds(key: &str, draft: Draft, at_root: bool) -> Result<Holds, String> {
    Ok(match key {
        "title" | "description" | "default" | "examples" | "deprecated" | "readOnly" | "writeOnly" | "$comment" => {
            Holds::Nothing
        }
        "contentMediaType" | "contentEncoding" => Holds::Nothing,
        // They change what references mean.
        "$schema" | "$id" if at_root => Holds::Nothing,
        "type" | "required" | "format" => Holds::Nothing,
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => Holds::Nothing,
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => Holds::Number,
        "pattern" => Holds::Pattern,
        "const" | "enum" => Holds::Literal,
        "properties" | "patternProperties" | "$defs" | "definitions" => Holds::Named,
        "additionalProperties" => Holds::Schema,
        "items" if draft == Draft::Draft7 => Holds::Items,
        "items" => Holds::Schema,
        // Either would make llguidance pass over the other draft's keyword.
        "additionalItems" if draft == Draft::Draft7 => Holds::Schema,
        "prefixItems" if draft == Draft::Draft202012 => Holds::Tuple,
        "allOf" | "anyOf" | "oneOf" => Holds::Schemas,
        "$ref" => Holds::Reference,
        _ => return Err(format!("`{key}` cannot be enforced here; remove it")),
    })
}
