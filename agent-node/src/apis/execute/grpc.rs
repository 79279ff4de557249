//! Calls of gRPC methods. The server's own description says how the arguments are encoded, asked for at every call: nothing
//! is sent under a description that has changed meanwhile.

mod codec;
mod reflection;

use hyper_util::rt::TokioIo;
use prost_reflect::{DynamicMessage, MethodDescriptor, SerializeOptions};
use reqwest::header::HeaderMap;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tower::service_fn;
use url::Url;

use super::client::connect;
use super::config::Limits;
use super::credentials::Secret;
use super::error::Trouble;
use super::guard::{Guard, Target};
use super::outcome::{Answer, Content};

/// Calls a unary method, `package.Service/Method`.
pub(super) async fn call(
    endpoint: &Url,
    method: &str,
    arguments: &Map<String, Value>,
    secret: Option<&Secret>,
    (guard, tls, limits): (&Guard, &ClientConfig, &Limits),
) -> Result<Answer, Trouble> {
    let target = guard.check(endpoint).await?;
    let headers = credentials(secret, endpoint, &target)?;
    let channel = channel(endpoint, target, tls, limits).await.map_err(Trouble::before)?;
    let described = reflection::describe(channel.clone(), method, &headers, limits).await.map_err(Trouble::before)?;
    let message = DynamicMessage::deserialize(described.input(), Value::Object(arguments.clone()));
    let message =
        message.map_err(|error| Trouble::before(format!("the arguments do not fit what it says now: {error}")))?;
    let path = PathAndQuery::try_from(format!("/{method}")).map_err(Trouble::before)?;
    let mut grpc = Grpc::new(channel).max_decoding_message_size(limits.response_bytes);
    grpc.ready().await.map_err(|error| Trouble::before(said(&error)))?;
    let request = Request::from_parts(MetadataMap::from_headers(headers), Default::default(), message);
    match grpc.unary(request, path, codec::Dynamic::of(&described)).await {
        Ok(response) => answer(response.get_ref()),
        Err(status) => Err(trouble(&status)),
    }
}

fn credentials(secret: Option<&Secret>, endpoint: &Url, target: &Target) -> Result<HeaderMap, Trouble> {
    let (mut url, mut headers) = (endpoint.clone(), HeaderMap::new());
    let Some(secret) = secret else { return Ok(headers) };
    secret.add(&mut url, &mut headers);
    if !secret.is_for(endpoint, target) || url != *endpoint {
        return Err(Trouble::before(secret.misplaced(&target.host)));
    }
    Ok(headers)
}

/// A connection to an address that was checked, and no other.
async fn channel(url: &Url, target: Target, tls: &ClientConfig, limits: &Limits) -> Result<Channel, String> {
    let authority =
        format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    // As for nodes, TLS is below what tonic sees.
    let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(|error| said(&error))?;
    let origin = format!("{}://{authority}", url.scheme()).parse().map_err(|error| format!("no endpoint: {error}"))?;
    let endpoint = endpoint.origin(origin).timeout(limits.time).http2_max_header_list_size(64 * 1024);
    let connector = (url.scheme() == "https").then(|| {
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        TlsConnector::from(Arc::new(tls))
    });
    let dial = service_fn(move |_| {
        let (target, connector) = (target.clone(), connector.clone());
        async move {
            let stream = connect(&target).await?;
            let Some(connector) = connector else { return Ok(TokioIo::new(Either::Left(stream))) };
            let name = ServerName::try_from(target.host).map_err(std::io::Error::other)?;
            connector.connect(name, stream).await.map(|stream| TokioIo::new(Either::Right(stream)))
        }
    });
    endpoint.connect_with_connector(dial).await.map_err(|error| said(&error))
}

fn answer(message: &DynamicMessage) -> Result<Answer, Trouble> {
    // As its document names them, and numbers as numbers.
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false).skip_default_fields(false);
    let result = message.serialize_with_options(serde_json::value::Serializer, &options);
    let result = result.map_err(|error| Trouble::unknown(format!("its answer cannot be read: {error}")))?;
    Ok(Answer { succeeded: true, status: "OK".to_owned(), result: Content::Json(result) })
}

/// Some codes are written by whoever lost sight of the call.
fn trouble(status: &Status) -> Trouble {
    let why = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Trouble::unknown(why),
        _ => Trouble::refused(why),
    }
}

fn said(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The names of a method's service and of itself.
fn names(method: &str) -> Option<(&str, &str)> {
    method.trim_start_matches('/').split_once('/')
}

fn find(pool: &prost_reflect::DescriptorPool, method: &str) -> Option<MethodDescriptor> {
    let (service, name) = names(method)?;
    let service = pool.get_service_by_name(service)?;
    service
        .methods()
        .find(|method| method.name() == name && !method.is_client_streaming() && !method.is_server_streaming())
}
