//! What processes answer to those who look after them: `/healthz`, `/readyz` and `/metrics`, to anybody.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::Registry;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// To send a request's head, and between two requests of a connection.
const HEAD: Duration = Duration::from_secs(15);
/// The longest that a connection may be open.
const OPEN: Duration = Duration::from_secs(600);
/// After an error of accept, which usually says that the process has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a process is not ready, if it isn't.
type Ready = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A process as its keepers see it.
pub struct Probes {
    registry: Registry,
    ready: Ready,
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").finish_non_exhaustive()
    }
}

impl Probes {
    /// The paths that it answers.
    pub const PATHS: [&'static str; 3] = ["/healthz", "/readyz", "/metrics"];

    /// Shows these metrics, and asks `ready` each time that somebody wants to know.
    pub fn new(registry: Registry, ready: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { registry, ready: Box::new(ready) }
    }

    /// What it answers to a GET of one of [`Self::PATHS`].
    pub fn answer(&self, path: &str) -> Response<String> {
        match path {
            "/healthz" => json(StatusCode::OK, &json!({"alive": true})),
            "/readyz" => match (self.ready)() {
                Ok(()) => json(StatusCode::OK, &json!({"ready": true})),
                Err(reason) => json(StatusCode::SERVICE_UNAVAILABLE, &json!({"ready": false, "reason": reason})),
            },
            "/metrics" => response(StatusCode::OK, Registry::CONTENT_TYPE, self.registry.text()),
            _ => response(StatusCode::NOT_FOUND, "text/plain", format!("there is {} here\n", Self::PATHS.join(", "))),
        }
    }

    /// Answers on a listener of its own, for as long as somebody wants it to.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        // Dropped with this future, and so are those that are open then.
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept(), if connections.len() < CONNECTIONS => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    connections.spawn(timeout(OPEN, connection(Arc::clone(&self), stream)));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection to the probes");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn respond(&self, request: &Request<Incoming>) -> Response<String> {
        match *request.method() {
            Method::GET | Method::HEAD => self.answer(request.uri().path()),
            _ => response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned()),
        }
    }
}

async fn connection(probes: Arc<Probes>, stream: TcpStream) {
    let service = service_fn(move |request| std::future::ready(Ok::<_, Infallible>(probes.respond(&request))));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(16 << 10);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the probes ended");
    }
}

fn json(status: StatusCode, body: &Value) -> Response<String> {
    response(status, "application/json", body.to_string())
}

fn response(status: StatusCode, content_type: &'static str, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_ready_says_why() {
        let probes = |ready: Result<(), String>| Probes::new(Registry::new("1"), move || ready.clone());
        let ready = probes(Ok(())).answer("/readyz");
        assert_eq!((ready.status(), ready.body().as_str()), (StatusCode::OK, r#"{"ready":true}"#));
        let waiting = probes(Err("loading".to_owned())).answer("/readyz");
        assert_eq!(waiting.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(waiting.body(), r#"{"ready":false,"reason":"loading"}"#);
        assert_eq!(probes(Err(String::new())).answer("/healthz").status(), StatusCode::OK);
        assert_eq!(probes(Ok(())).answer("/other").status(), StatusCode::NOT_FOUND);
    }
}
