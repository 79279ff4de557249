//! Traces across processes: W3C's `traceparent` and `tracestate`, in the headers of HTTP and of gRPC.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The span of somebody else that a span of ours is a part of; by default there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Parent(SpanContext);

impl Default for Parent {
    fn default() -> Self {
        Self(SpanContext::empty_context())
    }
}

impl Parent {
    /// What a request's headers say. What cannot be read is none.
    pub fn of(headers: &HeaderMap) -> Self {
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        Self(context.span().span_context().clone())
    }

    /// Makes a span a part of it, before anything else is a part of that span.
    pub(crate) fn adopt(&self, span: &Span) {
        if self.0.is_valid() {
            // Without anybody who collects spans there is nothing to be a part of.
            let _ = span.set_parent(Context::new().with_remote_span_context(self.0.clone()));
        }
    }

    /// Tells whoever gets these headers of the span that we are in.
    pub fn tell(headers: &mut HeaderMap) {
        let context = Span::current().context();
        if context.span().span_context().is_valid() {
            TraceContextPropagator::new().inject_context(&context, &mut HeadersMut(headers));
        }
    }
}

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'h>(&'h mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(traceparent: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static("traceparent"), traceparent.parse().unwrap())])
    }

    #[test]
    fn what_is_no_traceparent_is_nobodys_child() {
        let parent = Parent::of(&headers("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assert_eq!(parent.0.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(parent.0.is_sampled() && parent.0.is_remote());
        for wrong in ["", "00", "00-0-0-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            assert_eq!(Parent::of(&headers(wrong)), Parent::default(), "{wrong}");
        }
    }

    #[test]
    fn without_a_collector_nobody_is_told() {
        let mut headers = HeaderMap::new();
        Parent::tell(&mut headers);
        assert!(headers.is_empty());
    }
}
