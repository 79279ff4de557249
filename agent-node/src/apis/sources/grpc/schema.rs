//! Protobuf messages as JSON Schema, in proto3's JSON mapping.

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

/// Messages within one another; below that, and where a message contains itself, any object will do.
const MAX_DEPTH: usize = 8;

/// An object with the message's fields. None is required: in proto3 a field that is missing has its default.
pub(super) fn of_message(message: &MessageDescriptor) -> Value {
    let mut schema = message_schema(message, &mut Vec::new());
    if let Some(fields) = schema.as_object_mut() {
        fields.entry("properties").or_insert_with(|| Map::new().into());
        fields.insert("required".to_owned(), json!([]));
    }
    schema
}

fn message_schema(message: &MessageDescriptor, stack: &mut Vec<String>) -> Value {
    if let Some(schema) = well_known(message.full_name()) {
        return schema;
    }
    if stack.len() >= MAX_DEPTH || stack.iter().any(|name| name == message.full_name()) {
        return json!({"type": "object"});
    }
    stack.push(message.full_name().to_owned());
    let properties = message.fields().map(|field| (field.json_name().to_owned(), field_schema(&field, stack)));
    let properties: Map<String, Value> = properties.collect();
    stack.pop();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn field_schema(field: &FieldDescriptor, stack: &mut Vec<String>) -> Value {
    if field.is_map()
        && let Kind::Message(entry) = field.kind()
    {
        return json!({"type": "object", "additionalProperties": kind_schema(&entry.map_entry_value_field().kind(), stack)});
    }
    let one = kind_schema(&field.kind(), stack);
    if field.is_list() { json!({"type": "array", "items": one}) } else { one }
}

fn kind_schema(kind: &Kind, stack: &mut Vec<String>) -> Value {
    match kind {
        Kind::Double | Kind::Float => json!({"type": "number"}),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX})
        }
        Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "integer"}),
        Kind::Uint64 | Kind::Fixed64 => json!({"type": "integer", "minimum": 0}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::String => json!({"type": "string"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Enum(values) => enum_schema(values),
        Kind::Message(message) => message_schema(message, stack),
    }
}

fn enum_schema(values: &EnumDescriptor) -> Value {
    if values.full_name() == "google.protobuf.NullValue" {
        return json!({"type": "null"});
    }
    json!({"enum": values.values().map(|value| value.name().to_owned()).collect::<Vec<_>>()})
}

/// Messages that JSON has a form of its own for.
fn well_known(name: &str) -> Option<Value> {
    Some(match name.strip_prefix("google.protobuf.")? {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string", "description": "seconds, such as 1.5s"}),
        "FieldMask" => json!({"type": "string", "description": "paths, separated by commas"}),
        "Struct" | "Any" => json!({"type": "object"}),
        "Value" => json!({}),
        "ListValue" => json!({"type": "array"}),
        "Empty" => json!({"type": "object", "properties": {}, "additionalProperties": false}),
        "DoubleValue" | "FloatValue" => json!({"type": ["number", "null"]}),
        "Int64Value" | "Int32Value" => json!({"type": ["integer", "null"]}),
        "UInt64Value" | "UInt32Value" => json!({"type": ["integer", "null"], "minimum": 0}),
        "BoolValue" => json!({"type": ["boolean", "null"]}),
        "StringValue" | "BytesValue" => json!({"type": ["string", "null"]}),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_our_own_has_its_fields() {
        let pool = prost_reflect::DescriptorPool::decode(synod_proto::FILE_DESCRIPTOR_SET).unwrap();
        let schema = of_message(&pool.get_message_by_name("synod.v1.EmbedRequest").unwrap());
        let expected = json!({"type": "object", "properties": {
            "model": {"type": "string"}, "texts": {"type": "array", "items": {"type": "string"}},
        }, "additionalProperties": false, "required": []});
        assert_eq!(schema, expected);
        let start = of_message(&pool.get_message_by_name("synod.v1.GenerateStart").unwrap());
        assert_eq!(start["properties"]["ignoreEnd"], json!({"type": "boolean"}));
        assert_eq!(start["properties"]["messages"]["items"]["type"], "object");
    }
}
