//! Traces of the real binary, as a collector receives them; and one that does not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::web;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::otlp::Span;
use crate::support::Event;
use crate::support::http::{self, Answer};
use crate::support::process::{Deployment, PATIENCE, Process, checkout, session, until};

mod otlp;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "it is what the other tests stand on")]
mod support;

const CHECKOUT: &str = "run process-checkout-side-effects";
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const ERROR: u64 = 2;

/// What opens the event API.
const EVENT_KEY: &str = "canary0event0key";
/// What is planted of people and secrets.
const PRIVATE: [&str; 5] = ["example.edu", "Canarina", "15555550177", EVENT_KEY, "geheim"];

/// What a collector was sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>);

impl Collector {
    /// One that listens there.
    async fn at(address: SocketAddr) -> (Self, SocketAddr) {
        let collector = Self::default();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(received).with_state(collector.clone());
        tokio::spawn(web::serve(listener, router, std::future::pending()));
        (collector, address)
    }

    fn requests(&self) -> Vec<(String, HeaderMap, Bytes)> {
        self.0.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Span> {
        self.requests().iter().flat_map(|(_, _, body)| otlp::spans(body)).collect()
    }
}

async fn received(State(collector): State<Collector>, uri: Uri, headers: HeaderMap, body: Bytes) {
    collector.0.lock().unwrap().push((uri.path().to_owned(), headers, body));
}

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

async fn deployment(collector: SocketAddr) -> Deployment {
    let mut deployment = Deployment::new().await;
    deployment.settings.insert("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"));
    deployment.settings.insert("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned());
    deployment
}

/// Has the application send this.
async fn post(to: SocketAddr, events: Value) -> Answer {
    let body = serde_json::to_vec(&events).unwrap();
    let post = move || http::post(to, &format!("/e/{EVENT_KEY}"), &[], &body).unwrap();
    tokio::task::spawn_blocking(post).await.unwrap()
}

async fn stop(process: &mut Process) {
    process.signal(Signal::TERM);
    assert!(process.exits_within(PATIENCE).await.success());
}

fn one<'a>(spans: &[&'a Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_is_one_trace_from_its_webhook_to_the_calls_whoever_carries_it_out() {
    let (collector, address) = Collector::at(ANYWHERE).await;
    let mut deployment = deployment(address).await;
    deployment.settings.insert("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20geheim".to_owned());
    deployment.settings.insert("OTEL_SERVICE_NAME", "sessions".to_owned());
    deployment.settings.insert("INNGEST_EVENT_KEY", EVENT_KEY.to_owned());
    let (mut serve, mut worker) = (deployment.serve(&[]).await, deployment.worker().await);
    let to = serve.address().unwrap();
    let person = |event: Event| {
        event.metadata("attendeeName", json!("Canarina")).metadata("attendeePhone", json!("+15555550177"))
    };
    deployment.sandbox.inject(Fault::new(Provider::Stripe, Effect::DropBefore).on("refunds.create").times(1));
    let purchases = [person(checkout(1, "")), person(checkout(2, "+cal-refused"))];
    for purchase in purchases.iter().chain([&purchases[0]]) {
        assert_eq!(deployment.pay(to, purchase).await.unwrap().status, 200);
    }
    let named =
        json!({ "name": "of_canarina@example.edu", "id": "canarina@example.edu", "data": { "name": "Canarina" } });
    assert_eq!(post(to, named).await.status, 200);
    deployment.settled().await;
    stop(&mut worker).await;
    stop(&mut serve).await;

    for (path, headers, body) in collector.requests() {
        assert_eq!((path.as_str(), headers["content-type"].as_bytes()), ("/v1/traces", &b"application/x-protobuf"[..]));
        assert_eq!(headers["authorization"], "Bearer geheim");
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(PRIVATE.iter().all(|private| !text.contains(private)), "{text}");
    }
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.service == "sessions"));
    whole(&spans);

    let arrivals = spans.iter().filter(|span| span.name == "POST /webhooks/stripe" && span.parent.is_empty());
    let roots: Vec<&Span> = arrivals.collect();
    assert_eq!(roots.len(), 2, "{roots:#?}");
    let of = |root: &Span| spans.iter().filter(|span| span.trace == root.trace).collect::<Vec<_>>();
    let booked =
        roots.iter().find(|root| of(root).iter().any(|span| span.attribute("discuno.event.duplicate") == "true"));
    let booked = of(booked.expect("the first purchase came twice"));

    let root = booked.iter().find(|span| span.parent.is_empty()).unwrap();
    assert_eq!((root.kind, root.status), (SERVER, 0));
    assert_eq!(root.attribute("http.response.status_code"), "200");
    assert_eq!(root.attribute("discuno.event.type"), "checkout.session.completed");
    let run = one(&booked, CHECKOUT);
    assert_eq!((run.parent.as_str(), run.attribute("discuno.run.state")), (root.id.as_str(), "succeeded"));
    assert_eq!(run.attribute("discuno.run.outcome"), "booked");
    assert!(run.attribute("discuno.run.id").starts_with("run_"));
    let step = one(&booked, "step create-calcom-booking");
    assert_eq!((step.parent.as_str(), step.attribute("discuno.attempt")), (run.id.as_str(), "1"));
    let call = one(&booked, "cal bookings.create");
    assert_eq!((call.parent.as_str(), call.kind, call.status), (step.id.as_str(), CLIENT, 0));
    assert_eq!((call.attribute("http.request.method"), call.attribute("server.address")), ("POST", "127.0.0.1"));
    assert_eq!(call.attribute("http.response.status_code"), "201");
    let capture = one(&booked, "posthog capture");
    assert_eq!(capture.parent, one(&booked, "step track-payment-posthog").id);
    // What the run has started is in its trace too.
    assert!(booked.iter().any(|span| span.name == "resend emails.send"), "{booked:#?}");

    let refunded = of(roots.iter().find(|root| root.trace != booked[0].trace).unwrap());
    let failed = one(&refunded, "cal bookings.create");
    assert!(failed.status == ERROR && !failed.attribute("error.type").is_empty(), "{failed:#?}");
    assert_eq!(one(&refunded, "step create-calcom-booking").status, ERROR);
    // It was driven twice: the first try of the refund was lost on the way.
    let all = |name: &str| refunded.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let told = |name: &str, attribute: &str| all(name).iter().map(|span| span.attribute(attribute)).collect::<Vec<_>>();
    assert_eq!(told(CHECKOUT, "discuno.run.state"), ["queued", "succeeded"]);
    assert_eq!(told(CHECKOUT, "discuno.run.outcome"), ["", "compensated"]);
    assert_eq!(told("step refund-payment", "discuno.attempt"), ["1", "2"]);
    assert_eq!(told("stripe refunds.create", "http.response.status_code"), ["", "200"]);
    assert_eq!(all("stripe refunds.create").iter().map(|span| span.status).collect::<Vec<_>>(), [ERROR, 0]);
}

/// Every span has an id of its own and hangs on one that is there, within its time.
fn whole(spans: &[Span]) {
    let known: BTreeMap<_, _> = spans.iter().map(|span| ((&span.trace, &span.id), span)).collect();
    assert_eq!(known.len(), spans.len(), "two spans of one id");
    for span in spans.iter().filter(|span| !span.parent.is_empty()) {
        let parent = known.get(&(&span.trace, &span.parent)).unwrap_or_else(|| panic!("without its parent: {span:#?}"));
        let within = span.began >= parent.began && span.ended <= parent.ended;
        assert!(within || span.kind == SERVER || span.name.starts_with("run "), "{span:#?} in {parent:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_everything_goes_on_and_it_is_said_once() {
    let nobody = TcpListener::bind(ANYWHERE).await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let deployment = deployment(address).await;
    let mut serve = deployment.serve(&["--worker"]).await;
    let to = serve.address().unwrap();
    for number in 0..3 {
        assert_eq!(deployment.pay(to, &checkout(number, "")).await.unwrap().status, 200);
        deployment.settled().await;
    }
    serve.until_logged("traces_lost").await;

    let (collector, _) = Collector::at(address).await;
    let mut number = 3;
    until("spans are taken again", PATIENCE, || {
        number += 1;
        let (deployment, serve, collector) = (&deployment, &serve, &collector);
        async move {
            assert_eq!(deployment.pay(to, &checkout(number, "")).await.unwrap().status, 200);
            deployment.settled().await;
            !collector.requests().is_empty() && !serve.logged("traces_taken_again").is_empty()
        }
    })
    .await;
    assert_eq!(serve.logged("traces_lost").len(), 1);
    stop(&mut serve).await;
    let sessions: Vec<String> = (0..3).map(session).collect();
    deployment.assert_all_is_right(&sessions, "without a collector").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_delays_nothing_but_the_end_by_seconds() {
    // Connections are made, and nobody reads what they bring.
    let silent = TcpListener::bind(ANYWHERE).await.unwrap();
    let mut deployment = deployment(silent.local_addr().unwrap()).await;
    deployment.settings.insert("INNGEST_EVENT_KEY", EVENT_KEY.to_owned());
    let mut serve = deployment.serve(&["--worker"]).await;
    let to = serve.address().unwrap();
    for number in 0..3 {
        assert_eq!(deployment.pay(to, &checkout(number, "")).await.unwrap().status, 200);
    }
    // More than may wait.
    assert_eq!(post(to, vec![json!({ "name": "nothing.follows" }); 3000].into()).await.status, 200);
    deployment.settled().await;
    assert_eq!(serve.logged("traces_lost").len(), 1);
    assert_eq!(serve.logged("traces_lost")[0]["error"], "more is told than it takes");
    serve.signal(Signal::TERM);
    assert!(serve.exits_within(Duration::from_secs(10)).await.success());
    assert_eq!(serve.logged("traces_lost").len(), 1);
    let sessions: Vec<String> = (0..3).map(session).collect();
    deployment.assert_all_is_right(&sessions, "beside a silent collector").await;
}
