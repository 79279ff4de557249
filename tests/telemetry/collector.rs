//! A collector of spans, as far as tests need one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// How long spans may take from their end to here.
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes what is sent, for as long as the test runs.
#[derive(Clone)]
pub(crate) struct Collector {
    spans: Arc<Mutex<Vec<Collected>>>,
    pub(crate) url: String,
}

/// A span, and which process sent it.
#[derive(Debug, Clone)]
pub(crate) struct Collected {
    pub(crate) service: String,
    pub(crate) span: Span,
}

impl Collected {
    /// An attribute's text, or nothing.
    pub(crate) fn text(&self, name: &str) -> String {
        let attribute = self.span.attributes.iter().find(|attribute| attribute.key == name);
        match attribute.and_then(|attribute| attribute.value.clone()?.value) {
            Some(Value::StringValue(text)) => text,
            _ => String::new(),
        }
    }

    /// An attribute's number, or 0.
    pub(crate) fn number(&self, name: &str) -> i64 {
        let attribute = self.span.attributes.iter().find(|attribute| attribute.key == name);
        match attribute.and_then(|attribute| attribute.value.clone()?.value) {
            Some(Value::IntValue(number)) => number,
            _ => 0,
        }
    }

    pub(crate) fn begins(&self, operation: &str) -> bool {
        self.span.name.starts_with(&format!("{operation} "))
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let this = Self { spans: Arc::default(), url };
        let server = Server::builder().add_service(TraceServiceServer::new(this.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        this
    }

    /// Everything that came so far.
    pub(crate) fn all(&self) -> Vec<Collected> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of an operation, once there are so many.
    pub(crate) async fn named(&self, operation: &str, count: usize) -> Vec<Collected> {
        let began = Instant::now();
        loop {
            let all = self.all();
            let named: Vec<_> = all.iter().filter(|one| one.begins(operation)).cloned().collect();
            if named.len() >= count {
                return named;
            }
            assert!(began.elapsed() < PATIENCE, "{operation} is not {count} times in {all:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The trace that a run is a part of, once its root is there and nothing more comes.
    pub(crate) async fn trace_of(&self, run_id: &str) -> Vec<Collected> {
        let (began, mut seen) = (Instant::now(), 0);
        loop {
            let all = self.all();
            let run = all.iter().find(|one| one.begins("invoke_workflow") && one.text("synod.run.id") == run_id);
            if let Some(run) = run.filter(|_| all.len() == seen) {
                return all.iter().filter(|one| one.span.trace_id == run.span.trace_id).cloned().collect();
            }
            seen = all.len();
            assert!(began.elapsed() < PATIENCE, "the run {run_id} is not in {all:#?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// The one span that no other is the parent of; every other span's parent is there.
#[track_caller]
pub(crate) fn root(trace: &[Collected]) -> &Collected {
    let ids: BTreeSet<&[u8]> = trace.iter().map(|one| one.span.span_id.as_slice()).collect();
    assert_eq!(ids.len(), trace.len(), "two spans have one id");
    let (roots, orphans): (Vec<_>, Vec<_>) = trace
        .iter()
        .filter(|one| !ids.contains(one.span.parent_span_id.as_slice()))
        .partition(|one| one.begins("invoke_workflow"));
    assert!(orphans.is_empty(), "spans without their parent: {orphans:#?}");
    assert_eq!(roots.len(), 1, "a tree has one root: {roots:#?}");
    roots[0]
}

/// Those whose parent is this span.
pub(crate) fn children<'t>(trace: &'t [Collected], of: &Collected) -> Vec<&'t Collected> {
    trace.iter().filter(|one| one.span.parent_span_id == of.span.span_id).collect()
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = attributes.iter().find(|attribute| attribute.key == "service.name");
            let service = match service.and_then(|service| service.value.clone()?.value) {
                Some(Value::StringValue(name)) => name,
                _ => String::new(),
            };
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let collected = spans.map(|span| Collected { service: service.clone(), span });
            self.spans.lock().unwrap().extend(collected);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
