//! Traces by OTLP: one from a webhook that came in over the store to each attempt. Attributes are ids,
//! configured names and closed sets: no payload, subject, candidate, URL or header.

mod courier;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan};
use url::Url;

use crate::model::TraceParent;
use crate::transport::Transport;
use courier::Courier;

/// The header of a place in a trace.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How long the end waits for what was not handed over yet.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSettings {
    /// It takes OTLP over HTTP in protobuf; the path is complete.
    pub endpoint: Url,
    pub service: String,
}

/// Makes spans, or none where nobody collects them.
#[derive(Default)]
pub struct Traces(Option<On>);

struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// One step. It ends when it is dropped.
#[derive(Default)]
pub struct Span(Option<Box<SdkSpan>>);

impl Traces {
    /// Spans go to the collector that `settings` name, in batches and beside the traffic. Called within
    /// a runtime.
    pub fn start(settings: &TraceSettings, transport: Arc<dyn Transport>) -> Result<Self, String> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Courier::new(transport))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(settings.endpoint.as_str())
            .build();
        let exporter = exporter.map_err(|error| error.to_string())?;
        let resource = Resource::builder()
            .with_service_name(settings.service.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
        Ok(Self(Some(On { provider, tracer })))
    }

    /// A webhook is taken; it goes on with the sender's trace where there is one.
    pub fn receive(&self, source: &str, headers: &HeaderMap) -> Span {
        let name = || format!("receive {source}");
        let mut span = self.span(SpanKind::Server, name, || sender(headers));
        span.set("relay.source", || source.to_owned().into());
        span
    }

    /// The store writes what was received.
    pub fn accept(&self, received: &Span) -> Span {
        let name = || "store accept".to_owned();
        self.span(SpanKind::Internal, name, || received.place())
    }

    /// An attempt for `destination`, in the trace of its event.
    pub fn deliver(&self, destination: &str, event: Option<TraceParent>) -> Span {
        let name = || format!("deliver {destination}");
        let mut span = self.span(SpanKind::Client, name, || event);
        span.set("relay.destination", || destination.to_owned().into());
        span
    }

    /// Hands over what is left, for a while.
    pub async fn close(&self) {
        let Some(On { provider, .. }) = &self.0 else {
            return;
        };
        let provider = provider.clone();
        let closing = move || provider.shutdown_with_timeout(LAST_WORDS);
        // Where the collector does not listen there is nothing more to be done; that it does not was told.
        let _told_by_the_courier = tokio::task::spawn_blocking(closing).await;
    }

    fn span(
        &self,
        kind: SpanKind,
        name: impl FnOnce() -> String,
        parent: impl FnOnce() -> Option<TraceParent>,
    ) -> Span {
        let Some(On { tracer, .. }) = &self.0 else {
            return Span::default();
        };
        let context = match parent() {
            Some(parent) => Context::new().with_remote_span_context(remote(parent)),
            None => Context::new(),
        };
        let builder = tracer.span_builder(name()).with_kind(kind);
        let span = tracer.build_with_context(builder, &context);
        Span(Some(Box::new(span)))
    }
}

impl Span {
    /// Where it stands in its trace.
    pub fn place(&self) -> Option<TraceParent> {
        let context = self.0.as_ref()?.span_context();
        Some(TraceParent {
            trace: context.trace_id().to_bytes(),
            span: context.span_id().to_bytes(),
            sampled: context.is_sampled(),
        })
    }

    /// Sets an attribute; its value is made only where somebody collects it.
    pub fn set(&mut self, key: &'static str, value: impl FnOnce() -> Value) {
        if let Some(span) = self.0.as_mut().filter(|span| span.is_recording()) {
            span.set_attribute(KeyValue::new(key, value()));
        }
    }

    /// It came to nothing. `why` is a word of a closed set.
    pub fn fail(&mut self, why: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(why));
        }
    }
}

/// Of several headers none is followed.
fn sender(headers: &HeaderMap) -> Option<TraceParent> {
    let mut all = headers.get_all(&TRACEPARENT).iter();
    let one = all.next().filter(|_| all.next().is_none())?;
    TraceParent::parse(one.to_str().ok()?)
}

fn remote(parent: TraceParent) -> SpanContext {
    let flags = if parent.sampled {
        TraceFlags::SAMPLED
    } else {
        TraceFlags::NOT_SAMPLED
    };
    SpanContext::new(
        TraceId::from_bytes(parent.trace),
        SpanId::from_bytes(parent.span),
        flags,
        true,
        TraceState::NONE,
    )
}
