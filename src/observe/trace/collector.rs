//! The way to the collector: a queue with an end, a thread that sends, and silence about what is lost after the first time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanProcessor};
use tokio::runtime::Handle;

use crate::observe::trace::{Error, Settings};
use crate::transport::http::Http;
use crate::transport::{Request, Transport};

/// How many spans wait at most, some two kilobytes each; those that come then are lost.
const MOST_WAITING: usize = 2048;
/// How long the collector may take for what it is sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what waits may take when the process ends.
const LAST_PATIENCE: Duration = Duration::from_secs(3);

/// Takes spans and sends them on. Nobody waits for it but who closes it.
#[derive(Debug)]
pub(super) struct Collector {
    queue: Arc<BatchSpanProcessor>,
    losses: Arc<Losses>,
    scope: InstrumentationScope,
    instance: String,
    given: AtomicU64,
}

impl Collector {
    pub(super) fn new(settings: &Settings, instance: &str) -> Result<Self, Error> {
        let failed = |error: &dyn std::error::Error| Error(error.to_string());
        let mut endpoint = settings.endpoint.clone();
        if let Ok(mut path) = endpoint.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "traces"]);
        }
        let headers = settings.headers.iter().filter_map(|(name, value)| {
            // What is no text was refused where it was read.
            Some((name.to_string(), value.to_str().ok()?.to_owned()))
        });
        let client = Client { http: Http::new().map_err(|error| failed(&error))?, runtime: Handle::current() };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(PATIENCE)
            .with_headers(headers.collect())
            .with_http_client(client)
            .build()
            .map_err(|error| failed(&error))?;
        let losses = Arc::<Losses>::default();
        let watched = Watched { exporter, losses: Arc::clone(&losses) };
        let limits = BatchConfigBuilder::default().with_max_queue_size(MOST_WAITING).build();
        let mut queue = BatchSpanProcessor::builder(watched).with_batch_config(limits).build();
        let version = env!("CARGO_PKG_VERSION");
        let resource = Resource::builder()
            .with_service_name(settings.service.clone())
            .with_attributes([
                KeyValue::new("service.version", version),
                KeyValue::new("service.instance.id", instance.to_owned()),
            ])
            .build();
        queue.set_resource(&resource);
        let scope = InstrumentationScope::builder("discuno").with_version(version).build();
        Ok(Self { queue: Arc::new(queue), losses, scope, instance: instance.to_owned(), given: AtomicU64::new(0) })
    }

    pub(super) fn take(&self, span: SpanData) {
        if self.losses.is_full() {
            self.losses.lose(1, "more is told than it takes");
        } else {
            self.queue.on_end(span);
        }
    }

    pub(super) fn scope(&self) -> InstrumentationScope {
        self.scope.clone()
    }

    /// Bytes that no other span of any process is given.
    pub(super) fn unique(&self) -> Vec<u8> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        [self.instance.as_bytes(), &number.to_be_bytes()].concat()
    }

    pub(super) async fn close(&self) {
        let queue = Arc::clone(&self.queue);
        // It blocks, and what it waits for is sent by this runtime.
        let closed = tokio::task::spawn_blocking(move || queue.shutdown_with_timeout(LAST_PATIENCE)).await;
        if !matches!(closed, Ok(Ok(()))) {
            self.losses.lose(self.losses.waiting.load(Ordering::Relaxed), "it did not take the last in time");
        }
    }
}

/// What waits, and what was lost.
#[derive(Debug, Default)]
struct Losses {
    waiting: AtomicUsize,
    /// Since spans were taken last.
    recent: AtomicUsize,
    /// It was said that spans are lost, and not yet that they are taken again.
    said: AtomicBool,
}

impl Losses {
    /// Whether there is no room for one more; otherwise it has been given away.
    fn is_full(&self) -> bool {
        let taken = |waiting| (waiting < MOST_WAITING).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_err()
    }

    fn lose(&self, count: usize, why: &str) {
        self.recent.fetch_add(count, Ordering::Relaxed);
        if count > 0 && !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                tag = "Traces",
                event = "traces_lost",
                error = why,
                message = "the collector does not have all traces; nothing else depends on it, and this is not said again until it has",
            );
        }
    }

    fn sent(&self) {
        if self.recent.swap(0, Ordering::Relaxed) == 0 && self.said.swap(false, Ordering::Relaxed) {
            tracing::info!(tag = "Traces", event = "traces_taken_again");
        }
    }
}

/// Sees what becomes of what is sent.
#[derive(Debug)]
struct Watched {
    exporter: SpanExporter,
    losses: Arc<Losses>,
}

impl opentelemetry_sdk::trace::SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.losses.waiting.fetch_sub(count, Ordering::Relaxed);
        let outcome = self.exporter.export(batch).await;
        match &outcome {
            Ok(()) => self.losses.sent(),
            Err(error) => self.losses.lose(count, &error.to_string()),
        }
        outcome
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Sends from a thread that knows no runtime.
#[derive(Debug)]
struct Client {
    http: Http,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string().parse()?;
        let request = Request { method: head.method, url, headers: head.headers, body, timeout: PATIENCE };
        let http = self.http.clone();
        let answer = self.runtime.spawn(async move { http.send(request).await }).await??;
        let mut response = http::Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}
