//! A method's description, from the server's reflection service.

use std::collections::HashSet;

use prost::Message;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use reqwest::header::HeaderMap;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::{find, names};
use crate::apis::execute::config::Limits;

/// Files that a description may consist of; Google's largest APIs need about a hundred.
const FILES_LIMIT: usize = 256;

/// Asks for the file that holds the method's service, and for all that it imports.
pub(super) async fn describe(
    channel: Channel,
    method: &str,
    headers: &HeaderMap,
    limits: &Limits,
) -> Result<MethodDescriptor, String> {
    let mut client = ServerReflectionClient::new(channel).max_decoding_message_size(limits.response_bytes);
    let (service, _) =
        names(method).ok_or_else(|| format!("`{method}` is no method: it takes `package.Service/Method`"))?;
    let mut wanted = vec![MessageRequest::FileContainingSymbol(service.to_owned())];
    let mut asked = HashSet::new();
    let mut files: Vec<FileDescriptorProto> = Vec::new();
    let mut pool = DescriptorPool::global();
    while let Some(request) = wanted.pop() {
        let said = ask(&mut client, request, headers).await.map_err(|status| {
            format!("it does not describe {service} by reflection: {:?}: {}", status.code(), status.message())
        })?;
        for file in said {
            let file = FileDescriptorProto::decode(file.as_slice())
                .map_err(|error| format!("its description is broken: {error}"))?;
            let imports = file.dependency.iter().filter(|name| pool.get_file_by_name(name).is_none());
            let new = imports.filter(|name| asked.insert((*name).clone()));
            wanted.extend(new.map(|name| MessageRequest::FileByFilename(name.clone())));
            files.push(file);
        }
        if files.len() > FILES_LIMIT || wanted.len() > FILES_LIMIT {
            return Err(format!("its description has more than {FILES_LIMIT} files"));
        }
    }
    files.retain(|file| pool.get_file_by_name(file.name()).is_none());
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.name().to_owned()));
    pool.add_file_descriptor_protos(files).map_err(|error| format!("its description is broken: {error}"))?;
    find(&pool, method).ok_or_else(|| format!("it has no unary method {method} any more: refresh the catalogue"))
}

async fn ask(
    client: &mut ServerReflectionClient<Channel>,
    request: MessageRequest,
    headers: &HeaderMap,
) -> Result<Vec<Vec<u8>>, Status> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let metadata = MetadataMap::from_headers(headers.clone());
    let request = Request::from_parts(metadata, Default::default(), tokio_stream::once(request));
    let mut responses = client.server_reflection_info(request).await?.into_inner();
    match responses.message().await? {
        Some(ServerReflectionResponse {
            message_response: Some(MessageResponse::FileDescriptorResponse(files)),
            ..
        }) => Ok(files.file_descriptor_proto),
        Some(ServerReflectionResponse { message_response: Some(MessageResponse::ErrorResponse(error)), .. }) => {
            Err(Status::new(tonic::Code::from_i32(error.error_code), error.error_message))
        }
        _ => Err(Status::internal("no answer")),
    }
}
