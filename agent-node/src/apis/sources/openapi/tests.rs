use super::*;

fn document(paths: Value, schemas: Value) -> Value {
    json!({
        "openapi": "3.0.3", "servers": [{"url": "https://{region}.example.org/v1/", "variables": {"region": {"default": "eu"}}}],
        "security": [{"key": []}], "paths": paths, "components": {"schemas": schemas},
    })
}

#[track_caller]
fn one(paths: Value, schemas: Value) -> Api {
    let reading = read(&document(paths, schemas), "f").unwrap();
    assert_eq!((reading.apis.len(), reading.skipped.as_slice()), (1, &[][..]));
    reading.apis.into_iter().next().unwrap()
}

#[track_caller]
fn skipped(paths: Value, schemas: Value) -> String {
    let reading = read(&document(paths, schemas), "f").unwrap();
    assert!(reading.apis.is_empty());
    reading.skipped[0].reason.clone()
}

fn posting(schema: Value) -> Value {
    json!({"/p": {"post": {"requestBody": {"required": true, "content": {"application/json": {"schema": schema}}}}}})
}

#[test]
fn an_operation_becomes_an_api_that_knows_where_its_arguments_go() {
    let paths = json!({"/notes/{id}": {
        "parameters": [{"name": "id", "in": "path", "schema": {"type": "integer"}, "description": "Which."}],
        "put": {
            "operationId": "writeNote", "summary": "Write a note", "tags": ["notes"],
            "parameters": [{"name": "dry", "in": "query", "schema": {"type": "boolean", "nullable": true}}, {"name": "Accept", "in": "header"}],
            "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Note"}}}},
            "x-synod-effect": {"inverse": "deleteNote", "arguments": {"id": "/arguments/id"}},
        },
    }});
    let note = json!({"type": "object", "required": ["text", "at"], "properties": {
        "text": {"type": "string"}, "at": {"type": "string", "readOnly": true}}});
    let api = one(paths, json!({"Note": note}));
    let expected = json!({"type": "object", "properties": {
        "id": {"type": "integer", "description": "Which."}, "dry": {"type": ["boolean", "null"]}, "text": {"type": "string"},
    }, "required": ["id", "text"], "additionalProperties": false});
    assert_eq!((api.name.as_str(), api.domain.as_str(), &api.parameters), ("writeNote", "notes", &expected));
    assert_eq!(
        api.effect,
        Effect::Reversible {
            inverse: "deleteNote".to_owned(),
            arguments: BTreeMap::from([("id".to_owned(), "/arguments/id".to_owned())]),
        }
    );
    let Some(Binding::Http(binding)) = api.binding else { panic!("not bound") };
    assert_eq!((binding.server.as_str(), binding.path.as_str()), ("https://eu.example.org/v1", "/notes/{id}"));
    assert_eq!(binding.credential.as_deref(), Some("key"));
    let places = BTreeMap::from([("id", Place::Path), ("dry", Place::Query), ("text", Place::Body)]);
    assert_eq!(binding.places, places.into_iter().map(|(name, place)| (name.to_owned(), place)).collect());
}

#[test]
fn reading_is_what_get_does_and_nothing_else_is_trusted_to() {
    let effect = |method: &str| {
        one(json!({"/a/{b}": {method: {"parameters": [{"name": "b", "in": "path"}]}}}), json!({})).effect
    };
    assert_eq!(
        (effect("get"), effect("post"), effect("delete")),
        (Effect::Read, Effect::Irreversible, Effect::Irreversible)
    );
}

#[test]
fn operations_without_an_id_are_named_after_their_path_and_twins_apart() {
    let twin = json!({"operationId": "same"});
    let reading =
        read(&document(json!({"/a/b": {"get": {}}, "/x": {"get": twin, "post": twin}}), json!({})), "f").unwrap();
    let names: Vec<&str> = reading.apis.iter().map(|api| api.name.as_str()).collect();
    assert_eq!(names, ["get_a_b", "same", "same (2)"]);
}

#[test]
fn a_schema_that_contains_itself_ends() {
    let tree = json!({"type": "object", "properties": {"left": {"$ref": "#/components/schemas/Tree"}, "leaf": {"type": "string"}}});
    let api = one(posting(json!({"$ref": "#/components/schemas/Tree"})), json!({"Tree": tree}));
    assert_eq!(api.parameters["properties"], json!({"left": {}, "leaf": {"type": "string"}}));
    let circle = json!({"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}});
    assert_eq!(
        one(posting(json!({"$ref": "#/components/schemas/A"})), circle).parameters["properties"],
        json!({"body": {}})
    );
}

#[test]
fn a_schema_that_would_grow_without_end_is_left_out() {
    let schemas: Map<String, Value> = (0..15)
        .map(|level| {
            let next = json!({"$ref": format!("#/components/schemas/S{}", level + 1)});
            (format!("S{level}"), json!({"properties": {"a": next, "b": next, "c": next, "d": next}}))
        })
        .chain([("S15".to_owned(), json!({}))])
        .collect();
    let reason = skipped(posting(json!({"$ref": "#/components/schemas/S0"})), schemas.into());
    assert!(reason.contains("more than"), "{reason}");
}

#[test]
fn what_cannot_be_sent_is_left_out_and_said() {
    let reason = skipped(posting(json!({"$ref": "https://example.org/s.json"})), json!({}));
    assert!(reason.contains("not fetched"), "{reason}");
    let reason = skipped(json!({"/p/{a}": {"get": {}}}), json!({}));
    assert!(reason.contains("{a}"), "{reason}");
    let form = json!({"/p": {"post": {"requestBody": {"required": true, "content": {"text/csv": {}}}}}});
    assert!(skipped(form, json!({})).contains("not JSON"));
}

#[test]
fn a_body_whose_members_are_called_as_parameters_are_is_one_argument() {
    let mut paths = posting(json!({"type": "object", "properties": {"id": {}}}));
    paths["/p"]["post"]["parameters"] = json!([{"name": "id", "in": "query"}]);
    let Some(Binding::Http(binding)) = one(paths, json!({})).binding else { panic!("not bound") };
    assert_eq!((binding.places["id"], binding.places["body"]), (Place::Query, Place::WholeBody));
}
