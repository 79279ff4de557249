//! gRPC servers that describe themselves (`grpc.reflection.v1`): one API a unary method.
//!
//! A method whose option `idempotency_level` is `NO_SIDE_EFFECTS`, or that has one of the standard names `Get…` and `List…`
//! (google.aip.dev/131, /132), is [`Effect::Read`]; any other is irreversible. Requests become JSON as proto3's mapping has it.

mod schema;

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt;
use prost::Message;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use prost_types::{FileDescriptorProto, method_options::IdempotencyLevel};
use serde_json::Map;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::{Reading, Skipped, SourceError, names};
use crate::apis::{Api, Binding, Effect, Notation};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const LIST_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_SERVICES: usize = 1_000;
const MAX_FILES: usize = 2_000;
/// Services of every server that say nothing about this one.
const COMMON: [&str; 2] = ["grpc.reflection.", "grpc.health."];

/// Reads the unary methods of all services. `location` is `grpc://host:port`, or a `http://` URL.
pub(super) async fn read(location: &str) -> Result<Reading, SourceError> {
    let failed = |reason: String| SourceError::Server { location: location.to_owned(), reason };
    let endpoint = endpoint(location).map_err(failed)?;
    let described = tokio::time::timeout(LIST_TIMEOUT, describe(&endpoint)).await;
    let (services, pool) = described
        .unwrap_or_else(|_| Err(format!("it did not describe itself within {LIST_TIMEOUT:?}")))
        .map_err(failed)?;
    let mut reading = Reading::default();
    for service in services.iter().filter_map(|name| pool.get_service_by_name(name)) {
        for method in service.methods() {
            if method.is_client_streaming() || method.is_server_streaming() {
                let reason = "it streams: only calls with one answer can be made".to_owned();
                reading.skipped.push(Skipped { place: method.full_name().to_owned(), reason });
            } else {
                reading.apis.push(api(&endpoint, &method));
            }
        }
    }
    let candidates: Vec<_> = reading.apis.iter().map(|api| vec![short(&api.name), api.name.clone()]).collect();
    names::distinct(candidates, |index, name| reading.apis[index].name = name);
    Ok(reading)
}

/// `package.Service.Method` → `Method`
fn short(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

fn endpoint(location: &str) -> Result<String, String> {
    match location.split_once("://") {
        Some(("grpc" | "http", rest)) => Ok(format!("http://{}", rest.trim_end_matches('/'))),
        Some(("grpcs" | "https", rest)) => Ok(format!("https://{}", rest.trim_end_matches('/'))),
        _ => Err("it is not `grpc://host:port`".to_owned()),
    }
}

async fn describe(endpoint: &str) -> Result<(Vec<String>, DescriptorPool), String> {
    if endpoint.starts_with("https://") {
        return Err("descriptions are read from servers without TLS only".to_owned());
    }
    let channel = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| error.to_string())?;
    let channel = channel.connect_timeout(CONNECT_TIMEOUT).connect().await;
    let mut client = ServerReflectionClient::new(channel.map_err(|error| format!("cannot connect: {error}"))?);
    let services = match ask(&mut client, MessageRequest::ListServices(String::new())).await? {
        MessageResponse::ListServicesResponse(list) => list.service.into_iter().map(|service| service.name),
        _ => return Err("it answers something else than a list of services".to_owned()),
    };
    let services: Vec<String> = services.filter(|name| !COMMON.iter().any(|common| name.starts_with(common))).collect();
    if services.len() > MAX_SERVICES {
        return Err(format!("it has more than {MAX_SERVICES} services"));
    }
    let mut pool = DescriptorPool::global();
    let (mut files, mut known) = (Vec::new(), BTreeSet::new());
    for service in &services {
        fetch(&mut client, MessageRequest::FileContainingSymbol(service.clone()), &mut files, &mut known).await?;
    }
    // Servers may send a file without what it imports.
    let mut index = 0;
    while index < files.len() {
        for import in files[index].dependency.clone() {
            if !known.contains(&import) && pool.get_file_by_name(&import).is_none() {
                fetch(&mut client, MessageRequest::FileByFilename(import), &mut files, &mut known).await?;
            }
        }
        index += 1;
    }
    let added = files.into_iter().filter(|file| pool.get_file_by_name(file.name()).is_none()).collect::<Vec<_>>();
    pool.add_file_descriptor_protos(added).map_err(|error| format!("its description is wrong: {error}"))?;
    Ok((services, pool))
}

/// Adds files that are not known yet.
async fn fetch(
    client: &mut ServerReflectionClient<Channel>,
    request: MessageRequest,
    files: &mut Vec<FileDescriptorProto>,
    known: &mut BTreeSet<String>,
) -> Result<(), String> {
    let MessageResponse::FileDescriptorResponse(response) = ask(client, request).await? else {
        return Err("it answers something else than a description".to_owned());
    };
    for bytes in response.file_descriptor_proto {
        let file = FileDescriptorProto::decode(bytes.as_slice())
            .map_err(|error| format!("its description is no protobuf: {error}"))?;
        if known.insert(file.name().to_owned()) {
            files.push(file);
        }
    }
    if files.len() > MAX_FILES { Err(format!("its description has more than {MAX_FILES} files")) } else { Ok(()) }
}

async fn ask(client: &mut ServerReflectionClient<Channel>, request: MessageRequest) -> Result<MessageResponse, String> {
    let said = |status: Status| format!("it does not describe itself: {}", status.message());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let answers = client.server_reflection_info(futures::stream::iter([request])).await.map_err(said)?;
    match answers.into_inner().next().await {
        Some(Ok(answer)) => match answer.message_response {
            Some(MessageResponse::ErrorResponse(error)) => {
                Err(format!("it does not describe itself: {}", error.error_message))
            }
            Some(response) => Ok(response),
            None => Err("it answers nothing".to_owned()),
        },
        Some(Err(status)) => Err(said(status)),
        None => Err("it answers nothing".to_owned()),
    }
}

fn api(endpoint: &str, method: &MethodDescriptor) -> Api {
    let service = method.parent_service();
    Api {
        name: method.full_name().to_owned(),
        description: comment(method).unwrap_or_else(|| spaced(method.name())),
        domain: service.full_name().to_owned(),
        parameters: schema::of_message(&method.input()),
        notation: Notation::Json,
        binding: Some(Binding::Grpc {
            endpoint: endpoint.to_owned(),
            method: format!("{}/{}", service.full_name(), method.name()),
        }),
        effect: if is_read(method) { Effect::Read } else { Effect::Irreversible },
        details: Map::from_iter([("returns".to_owned(), method.output().full_name().into())]),
    }
}

fn is_read(method: &MethodDescriptor) -> bool {
    let options = method.method_descriptor_proto().options.as_ref();
    let mut standard = ["Get", "List"].iter().filter_map(|verb| method.name().strip_prefix(verb));
    options.is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects)
        || standard.any(|rest| rest.chars().next().is_none_or(char::is_uppercase))
}

/// What the file says above the method, where the server kept it.
fn comment(method: &MethodDescriptor) -> Option<String> {
    let file = method.parent_file();
    let source = file.file_descriptor_proto().source_code_info.as_ref()?;
    let location = source.location.iter().find(|location| location.path == method.path())?;
    let text = location.leading_comments().split_whitespace().collect::<Vec<_>>().join(" ");
    Some(text).filter(|text| !text.is_empty())
}

/// `ListRuns` → `list runs`
fn spaced(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(c.to_lowercase());
    }
    text
}
