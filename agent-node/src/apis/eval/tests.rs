use serde_json::{Map, Value, json};

use super::*;
use crate::apis::Call;

fn question(properties: Value, accepted: Value) -> Question {
    let row = json!({
        "id": "simple_python_0",
        "question": [[{"role": "user", "content": "Do f."}]],
        "function": [{"name": "f", "description": "", "parameters": {"type": "dict", "properties": properties, "required": ["a"]}}],
        "ground_truth": [{"f": accepted}],
    });
    bfcl::question(serde_json::from_value(row).unwrap(), None).unwrap()
}

/// Whether a call of `f` with `arguments` is right, where `a` has this type and accepted values.
#[track_caller]
fn check(kind: Value, accepted: Value, arguments: Value, right: bool) {
    let question = question(json!({"a": kind, "b": {"type": "string"}}), json!({"a": accepted, "b": ["", "x"]}));
    let Truth::Calls(truth) = &question.truth else { panic!("{:?}", question.truth) };
    let call = Call { api: "f".to_owned(), arguments: arguments.as_object().cloned().unwrap_or_default() };
    assert_eq!(bfcl::matches(&[call], truth, &[&question.candidates[0].api]), right, "{accepted} {arguments}");
}

#[test]
fn values_are_compared_as_the_leaderboard_compares_them() {
    let (float, text) = (json!({"type": "float"}), json!({"type": "string"}));
    check(float.clone(), json!([5]), json!({"a": 5}), true);
    check(float.clone(), json!([5.5]), json!({"a": "5.5"}), false);
    check(json!({"type": "integer"}), json!([5]), json!({"a": 5.0}), false);
    check(json!({"type": "integer"}), json!([1]), json!({"a": true}), false);
    check(text.clone(), json!(["April 1, 2024"]), json!({"a": "april 1 2024"}), true);
    check(text.clone(), json!(["it's"]), json!({"a": "IT\"S"}), true);
    check(text.clone(), json!(["yes"]), json!({"a": "no"}), false);
    check(text, json!([3]), json!({"a": 3}), true); // the type of the listed answer
    let (list, table) = (json!({"type": "array", "items": {"type": "string"}}), json!({"type": "dict"}));
    check(list.clone(), json!([["A b", "c"]]), json!({"a": ["ab", "C"]}), true);
    check(list, json!([["a", "c"]]), json!({"a": ["c", "a"]}), false);
    check(table.clone(), json!([{"k": [1, 2], "o": [""]}]), json!({"a": {"k": 2}}), true);
    check(table.clone(), json!([{"k": [1]}]), json!({"a": {"k": 1, "z": 1}}), false);
    check(table, json!([{"k": [1], "o": ["x"]}]), json!({"a": {"k": 1}}), false);
    let tables = json!({"type": "array", "items": {"type": "dict"}});
    check(tables.clone(), json!([[{"k": ["V"]}]]), json!({"a": [{"k": "v"}]}), true);
    check(tables, json!([[{"k": ["V"]}]]), json!({"a": [{"k": "v"}, {"k": "v"}]}), false);
}

#[test]
fn arguments_must_be_there_be_known_and_be_accepted() {
    let number = json!({"type": "integer"});
    check(number.clone(), json!([1]), json!({"a": 1, "b": "X"}), true);
    check(number.clone(), json!([1]), json!({"b": "x"}), false);
    check(number.clone(), json!([1]), json!({"a": 1, "b": "y"}), false);
    check(number, json!([1]), json!({"a": 1, "c": 1}), false);
}

#[test]
fn parallel_calls_match_in_any_order_and_in_number() {
    let question = question(json!({"a": {"type": "integer"}}), json!({"a": [1]}));
    let Truth::Calls(one) = &question.truth else { panic!() };
    let other = ("f".to_owned(), Map::from_iter([("a".to_owned(), json!([2]))]));
    let truth = [one[0].clone(), other];
    let call = |a: i64| Call { api: "f".to_owned(), arguments: Map::from_iter([("a".to_owned(), json!(a))]) };
    let matches = |calls: &[Call]| bfcl::matches(calls, &truth, &[&question.candidates[0].api]);
    assert!(matches(&[call(2), call(1)]));
    assert!(!matches(&[call(1), call(1)]) && !matches(&[call(1)]) && !matches(&[call(1), call(2), call(2)]));
}

#[test]
fn types_are_read_as_json_schema() {
    let nested = json!({"a": {"type": "dict", "properties": {"x": {"type": "tuple", "items": {"type": "float"}}}}});
    let question = question(nested, json!({"a": [{}]}));
    let parameters = &question.candidates[0].api.parameters;
    let x = &parameters["properties"]["a"]["properties"]["x"];
    assert_eq!((&parameters["type"], x), (&json!("object"), &json!({"type": "array", "items": {"type": "number"}})));
}
