//! Which path is whose, and what holds for all of them.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use synod_telemetry::{Parent, Probes};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{App, access::Caller, chat, embeddings, error::ApiError, models, probes, responses, runs};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a request goes by: in its response, in the log, and as its run; and whose trace that is a part of.
#[derive(Debug, Clone)]
pub(super) struct RequestId {
    pub(super) id: String,
    pub(super) parent: Parent,
}

pub(super) fn router(app: Arc<App>, origins: &[String]) -> Router {
    let routes = Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::get))
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/responses", post(responses::create))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/runs", get(runs::list))
        .route("/v1/runs/{id}", get(runs::get))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), enter))
        .merge(looked_after(&app))
        .with_state(app);
    if origins.is_empty() { routes } else { routes.layer(cors(origins)) }
}

/// For those who look after this process, who need no key.
fn looked_after(app: &Arc<App>) -> Router<Arc<App>> {
    let routes = Probes::PATHS.iter().fold(Router::new(), |routes, path| routes.route(path, get(probes::answer)));
    routes.layer(from_fn_with_state(Arc::clone(app), local))
}

fn cors(origins: &[String]) -> CorsLayer {
    let any = origins.iter().any(|origin| origin == "*");
    let allowed = if any {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()))
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([REQUEST_ID])
}

/// Lets in what is meant for this machine.
async fn local(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match check_host(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

/// Names the request, lets it in or not, and tells what is left of its key's rates.
async fn enter(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = uuid::Uuid::now_v7().to_string();
    let entered = check_host(&app, &request).and_then(|()| Caller::authenticate(&app.keys, request.headers()));
    let mut response = match entered {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            let parent = Parent::of(request.headers());
            request.extensions_mut().insert(RequestId { id: id.clone(), parent });
            let mut response = next.run(request).await;
            caller.tell(response.headers_mut());
            response
        }
        Err(refused) => refused.into_response(),
    };
    tracing::debug!(request_id = id, status = response.status().as_u16(), "HTTP request");
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// A page of the web can have its own name point at this machine, and then ask us as if we were its server.
fn check_host(app: &App, request: &Request) -> Result<(), ApiError> {
    if !app.is_local {
        return Ok(());
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, _)| if name.ends_with(']') || !name.contains(':') { name } else { host });
    let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    if name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()) {
        return Ok(());
    }
    let message = "this server answers to the names of this machine only, as 127.0.0.1 or localhost";
    Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_host", message))
}

async fn unknown(request: Request) -> ApiError {
    let path: String = request.uri().path().chars().take(200).collect();
    ApiError::new(
        StatusCode::NOT_FOUND,
        "unknown_url",
        format!("there is no {path} here: docs/http.md says what there is"),
    )
}

async fn wrong_method(request: Request) -> ApiError {
    let message = format!("{} is not what this path takes: docs/http.md says what it does", request.method());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
