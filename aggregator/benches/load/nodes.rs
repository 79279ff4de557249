//! Nodes that write 20 deltas on a timetable; how far apart, the question says.

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt, stream};
use synod_proto::v1::{
    CallApiRequest, CallApiResponse, DescribeRequest, DescribeResponse, EmbedRequest, EmbedResponse, FinishReason,
    GenerateAccepted, GenerateFinished, GenerateRequest, GenerateResponse, HostedModel, ModelKind, PromptPart,
    PromptPiece, PromptRecord, PromptStretch, SearchApisRequest, SearchApisResponse, TokenDelta, TokenLogprob, Usage,
    generate_request,
    generate_response::Event,
    node_service_server::{NodeService, NodeServiceServer},
    prompt_part::Content,
};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming, transport::Server};

const NODES: usize = 8;
pub(crate) const DELTAS: u32 = 20;
/// What stands before the microseconds between deltas in a question.
pub(crate) const PACE: &str = "pace-us=";

/// Serves all nodes of the bench.
pub(crate) async fn serve_all() {
    let mut addresses = Vec::new();
    for node in 0..NODES {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string());
        let service = NodeServiceServer::new(Node(node));
        let server = Server::builder().tcp_nodelay(true).max_concurrent_streams(10_000).add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    }
    println!("{}", addresses.join(" "));
    crate::parts::abandoned().await;
}

struct Node(usize);

#[tonic::async_trait]
impl NodeService for Node {
    type GenerateStream = Pin<Box<dyn Stream<Item = Result<GenerateResponse, Status>> + Send>>;

    async fn generate(
        &self,
        request: Request<Streaming<GenerateRequest>>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        let mut messages = request.into_inner();
        let (mut prompt, mut record) = (String::new(), None);
        while let Some(message) = messages.message().await? {
            match message.message {
                Some(generate_request::Message::Start(start)) => record = start.record.then(prompt_record),
                Some(generate_request::Message::Part(PromptPart { content: Some(Content::Text(text)) })) => {
                    prompt.push_str(&text);
                }
                _ => {}
            }
        }
        let digits = prompt.split(PACE).nth(1).unwrap_or_default().chars().take_while(char::is_ascii_digit);
        let pace = Duration::from_micros(digits.collect::<String>().parse().unwrap_or(1000));
        let began = Instant::now();
        let accepted = Event::Accepted(GenerateAccepted { prompt_tokens: 50, cuts: Vec::new(), record });
        let deltas = stream::iter(1..=DELTAS).then(move |word| async move {
            sleep_until(began + pace * word).await;
            let tokens = vec![TokenLogprob { id: word, logprob: -0.1, top: Vec::new(), bytes: Vec::new() }];
            Event::Delta(TokenDelta { text: format!("word{word} "), tokens })
        });
        let events = stream::iter([accepted]).chain(deltas).chain(stream::iter([finished()]));
        Ok(Response::new(events.map(|event| Ok(GenerateResponse { event: Some(event) })).boxed()))
    }

    async fn embed(&self, _: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        Err(Status::unimplemented("this node does not embed"))
    }

    async fn search_apis(&self, _: Request<SearchApisRequest>) -> Result<Response<SearchApisResponse>, Status> {
        Err(Status::unimplemented("this node has no catalogues"))
    }

    async fn call_api(&self, _: Request<CallApiRequest>) -> Result<Response<CallApiResponse>, Status> {
        Err(Status::unimplemented("this node has no catalogues"))
    }

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let model = HostedModel { name: "m".to_owned(), kind: ModelKind::Chat.into(), ..HostedModel::default() };
        let node_id = format!("node-{}", self.0);
        Ok(Response::new(DescribeResponse { node_id, version: "bench".to_owned(), models: vec![model] }))
    }
}

/// What a record says of a prompt of 1,000 tokens.
fn prompt_record() -> PromptRecord {
    let text = "four ".repeat(1000);
    let pieces = vec![PromptPiece { text, control: false }];
    let stretches = vec![PromptStretch { pieces, tokens: (0..1000).collect(), tokens_cut: 0 }];
    let (model_sha256, template_sha256) = ("0".repeat(64), "1".repeat(64));
    PromptRecord { stretches, model_sha256, template_sha256, build: "bench".to_owned(), sampling: None }
}

fn finished() -> Event {
    Event::Finished(GenerateFinished {
        finish_reason: FinishReason::Stop.into(),
        usage: Some(Usage { prompt_tokens: 50, completion_tokens: DELTAS, cached_prompt_tokens: 0 }),
        timings: None,
        mean_logprob: -0.1,
    })
}
