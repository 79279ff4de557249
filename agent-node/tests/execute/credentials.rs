//! Secrets, and who sees them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use synod_agent_node::apis::execute::{Credential, CredentialKind, SecretSource};
use synod_agent_node::apis::{Api, Binding, Effect, HttpMethod};

use super::support::{Confined, Reply, Server, api, read, said};

const SECRET: &str = "tok-51f9+/a&b c";

/// The same confinement with a secret for this server, and the API that names it.
fn with_secret(mut confined: Confined, server: &Server, kind: CredentialKind, api: Api) -> (Confined, Api) {
    let file = confined.folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let credential = Credential { host: server.address.to_string(), source: SecretSource::File(file), kind };
    confined.config.credentials.insert("things".to_owned(), credential);
    (confined, naming(api))
}

fn naming(mut api: Api) -> Api {
    let Some(Binding::Http(http)) = &mut api.binding else { panic!("no HTTP") };
    http.credential = Some("things".to_owned());
    api
}

#[tokio::test]
async fn a_credential_that_is_echoed_is_taken_out_of_all_that_is_kept() {
    let kinds = [
        CredentialKind::Bearer,
        CredentialKind::Basic("me".to_owned()),
        CredentialKind::Header("x-key".parse().unwrap()),
        CredentialKind::Query("key".to_owned()),
    ];
    for kind in kinds {
        for status in ["200 OK", "500 Internal Server Error"] {
            let server = Server::start(move |request| {
                let encoded = BASE64_STANDARD.encode(request);
                Reply::http(
                    status,
                    "Content-Type: application/json\r\n",
                    json!({"you": request, "b64": encoded}).to_string(),
                )
            })
            .await;
            let post = api(&server.url(), HttpMethod::Post, Effect::Irreversible);
            let (confined, post) = with_secret(Confined::to(&[server.address]), &server, kind.clone(), post);
            let outcome =
                confined.call(&post, json!({"id": 1, "text": format!("my token is {SECRET}")})).await.unwrap();
            // The server got it.
            let basic = BASE64_STANDARD.encode(format!("me:{SECRET}"));
            let forms = [SECRET.to_owned(), basic.clone(), "tok-51f9%2B%2Fa%26b+c".to_owned()];
            assert!(forms.iter().any(|form| server.seen()[0].contains(form)), "{}", server.seen()[0]);
            // Nobody else did.
            let journal = std::fs::read_to_string(&confined.config.journal).unwrap();
            let kept = format!("{} {journal} {outcome:?}", serde_json::to_string(&outcome).unwrap());
            for form in ["tok-51f9", "51f9+", &basic, &BASE64_STANDARD.encode(SECRET)[..12]] {
                assert!(!kept.contains(form), "{kind:?}: {form} in {kept}");
            }
        }
    }
}

#[tokio::test]
async fn a_credential_is_not_in_a_preview_nor_in_an_error() {
    let server = Server::start(|request| Reply::Bytes(format!("HTTP/1.1 {request}").into_bytes())).await;
    let query = CredentialKind::Query("key".to_owned());
    let (confined, api) = with_secret(Confined::to(&[server.address]), &server, query, read(&server.url()));
    let preview = confined.executor().preview(&api, &super::support::call(&api, json!({"id": 1}))).unwrap();
    assert!(preview.text.contains("[credential things]"), "{}", preview.text);
    let said = format!("{} {:?}", said(confined.call(&api, json!({"id": 1})).await), preview);
    assert!(!said.contains("tok-51f9"), "{said}");
}

#[tokio::test]
async fn a_redirect_to_another_server_takes_no_credential_along() {
    let other = Server::start(|_| Reply::json(&json!({}))).await;
    let to = other.url();
    let server = Server::start(move |_| Reply::redirect("302 Found", &to)).await;
    for kind in [CredentialKind::Bearer, CredentialKind::Query("key".to_owned())] {
        let confined = Confined::to(&[server.address, other.address]);
        let (confined, api) = with_secret(confined, &server, kind, read(&server.url()));
        confined.call(&api, json!({"id": 1, "x-tag": "private"})).await.unwrap();
    }
    assert!(server.seen().iter().all(|request| request.contains("tok-51f9")));
    assert_eq!(other.seen().len(), 2);
    for request in other.seen() {
        assert!(
            !request.contains("tok-") && !request.contains("private") && !request.contains("authorization"),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_credential_stays_with_its_host_and_a_missing_one_stops_the_call() {
    let (own, other) =
        (Server::start(|_| Reply::json(&json!({}))).await, Server::start(|_| Reply::json(&json!({}))).await);
    let confined = Confined::to(&[own.address, other.address]);
    let (mut confined, elsewhere) = with_secret(confined, &own, CredentialKind::Bearer, read(&other.url()));
    let refused = said(confined.call(&elsewhere, json!({"id": 1})).await);
    assert!(refused.contains("not shown to 127.0.0.1"), "{refused}");
    let api = naming(read(&own.url()));
    std::fs::write(confined.folder.path().join("secret"), "two\nlines of it").unwrap();
    assert!(said(confined.call(&api, json!({"id": 1})).await).contains("must be one line"));
    std::fs::remove_file(confined.folder.path().join("secret")).unwrap();
    assert!(said(confined.call(&api, json!({"id": 1})).await).contains("cannot read credential `things`"));
    confined.config.credentials.clear();
    assert!(said(confined.call(&api, json!({"id": 1})).await).contains("[apis.credentials.things]"));
    assert!(own.seen().is_empty() && other.seen().is_empty());
}
