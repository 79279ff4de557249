use serde_json::json;

use super::*;
use crate::apis::HttpMethod;

fn binding() -> HttpBinding {
    let place = |name: &str, place| (name.to_owned(), place);
    HttpBinding {
        method: HttpMethod::Post,
        server: "https://api.example.org/v1/".to_owned(),
        path: "/pets/{id}/toys".to_owned(),
        places: [
            place("id", Place::Path),
            place("q", Place::Query),
            place("x-tag", Place::Header),
            place("name", Place::Body),
        ]
        .into(),
        credential: None,
    }
}

fn placed(arguments: &Value) -> Result<Placed, String> {
    place(&binding(), arguments.as_object().unwrap())
}

#[track_caller]
fn refused(arguments: &Value) {
    let placed = placed(arguments);
    assert!(placed.is_err(), "{placed:?}");
}

#[test]
fn arguments_go_where_the_document_says() {
    let placed = placed(&json!({"id": "a b/ü?#", "q": ["x&y=z", 2], "x-tag": "t", "name": "Rex"})).unwrap();
    assert_eq!(placed.url.as_str(), "https://api.example.org/v1/pets/a%20b%2F%C3%BC%3F%23/toys?q=x%26y%3Dz&q=2");
    assert_eq!(placed.headers["x-tag"], "t");
    assert_eq!(placed.body, Some(json!({"name": "Rex"})));
}

#[test]
fn no_argument_climbs_out_of_its_path() {
    for id in ["..", ".", "", "../admin", "a/../../b", "..\\b", "a\r\nHost: evil", "a\0"] {
        refused(&json!({"id": id}));
    }
    // Encoded beforehand it stays text: the percent sign itself is encoded.
    let encoded = placed(&json!({"id": "%2e%2e"})).unwrap();
    assert_eq!(encoded.url.path(), "/v1/pets/%252e%252e/toys");
    let beside = HttpBinding { path: "/pets/.{id}".to_owned(), ..binding() };
    assert!(place(&beside, json!({"id": ".x"}).as_object().unwrap()).is_ok());
    let dots = HttpBinding { path: "/pets/.{id}/{id}".to_owned(), ..binding() };
    assert!(place(&dots, json!({"id": "."}).as_object().unwrap()).is_err());
}

#[test]
fn no_argument_begins_another_header() {
    for tag in ["a\r\nX-Admin: 1", "a\nb", "a\0b", "ü", "\u{7f}"] {
        refused(&json!({"id": 1, "x-tag": tag}));
    }
    let mut evil = binding();
    evil.places.insert("Authorization".to_owned(), Place::Header);
    assert!(place(&evil, json!({"id": 1, "Authorization": "Bearer mine"}).as_object().unwrap()).is_err());
}

#[test]
fn what_has_no_place_is_refused() {
    refused(&json!({"id": 1, "other": 1}));
    refused(&json!({"q": "no id"}));
    refused(&json!({"id": {"deep": 1}}));
    refused(&json!({"id": 1, "q": null}));
    refused(&json!({"id": 1, "q": "x".repeat(9000)}));
}
