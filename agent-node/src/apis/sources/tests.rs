use super::*;

#[track_caller]
fn check(text: &str, location: &str, kind: Option<SourceKind>) {
    assert_eq!(detect(text, location), kind, "{text}");
}

#[test]
fn a_document_is_known_by_its_content() {
    check(r#"{"api_name":"a","api_call":"f()"}"#, "x.json", Some(SourceKind::Gorilla));
    check(r#"[{"name":"a","parameters":{"type":"object"}}]"#, "x.json", Some(SourceKind::Functions));
    check(r#"{"id":"1","function":[{"name":"a","parameters":{"type":"dict"}}]}"#, "x", Some(SourceKind::Functions));
    check("openapi: 3.1.0\npaths: {}\n", "x", Some(SourceKind::Openapi));
    check("{\n  \"openapi\": \"3.0.0\",\n  \"paths\": {}\n}\n", "x", Some(SourceKind::Openapi));
    check("def f(): pass", "a.py", Some(SourceKind::Python));
    for text in ["", "swagger: '2.0'", "hello", "{", "[1,2]"] {
        check(text, "x", None);
    }
}

#[test]
fn yaml_that_would_expand_without_end_is_refused() {
    let mut text = "openapi: 3.0.0\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(tree(&text).is_err());
    assert!(tree(&"[".repeat(1_000_000)).is_err());
    assert!(tree(&format!("a: {}", "[".repeat(100_000))).is_err());
}

#[tokio::test]
async fn a_missing_file_says_how_a_server_would_be_named() {
    let source = Source { location: "no-such-server --flag".to_owned(), kind: None };
    assert!(read(&source).await.unwrap_err().to_string().contains("--kind mcp"));
}

#[tokio::test]
async fn a_server_that_says_nothing_of_mcp_is_an_error_not_a_wait() {
    for command in ["true", "echo hello", "no-such-program-anywhere"] {
        let source = Source { location: command.to_owned(), kind: Some(SourceKind::Mcp) };
        assert!(matches!(read(&source).await, Err(SourceError::Server { .. })), "{command}");
    }
}
