//! What a scraper sees of a deployment.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use discuno::config::Secret;
use discuno::config::access::Token;
use discuno::model::role::Role;
use discuno::observe::metrics::as_prometheus_text;
use discuno::ops::exposition::Exposition;
use discuno::transport::in_process::InProcess;
use discuno::transport::{Request, Transport};
use discuno::web::admin;
use http::{HeaderMap, Method};

use crate::support::cluster::is_on_a_server;
use crate::support::{Event, World};

fn exposition(world: &World) -> Exposition {
    world.app.exposition()
}

/// The value of the one sample that begins so.
fn value(text: &str, sample: &str) -> f64 {
    let mut found = text.lines().filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    let value = found.next().unwrap_or_else(|| panic!("no {sample} in\n{text}"));
    value.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_webhook_its_runs_their_steps_and_calls_are_counted() {
    let world = World::new();
    let event = Event::paid("zoe@example.edu");
    assert_eq!(world.send(&event).await.0, 200);
    world.send(&event).await;
    world.post(b"{}", Some("t=1,v1=00")).await;
    world.settle().await;

    let text = exposition(&world).text().await;
    for (sample, expected) in [
        (r#"discuno_webhooks_total{source="stripe",result="accepted"}"#, 1.0),
        (r#"discuno_webhooks_total{source="stripe",result="duplicate"}"#, 1.0),
        (r#"discuno_webhooks_total{source="stripe",result="signature_mismatch"}"#, 1.0),
        (r#"discuno_acknowledgement_seconds_count{source="stripe"}"#, 3.0),
        (r#"discuno_event_lag_seconds_count{source="stripe"}"#, 1.0),
        (r#"discuno_runs_ended_total{workflow="process-checkout-side-effects",state="succeeded"}"#, 1.0),
        (
            r#"discuno_steps_total{workflow="process-checkout-side-effects",step="create-calcom-booking",outcome="done"}"#,
            1.0,
        ),
        (r#"discuno_provider_calls_total{provider="cal",operation="bookings.create",outcome="ok"}"#, 1.0),
        (r#"discuno_breaker_open{provider="cal"}"#, 0.0),
        ("discuno_oldest_due_seconds", 0.0),
        ("discuno_untold_cases", 0.0),
        ("discuno_store_readable", 1.0),
    ] {
        assert!((value(&text, sample) - expected).abs() < f64::EPSILON, "{sample} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(value(&text, "discuno_database_bytes") > 0.0);
}

#[tokio::test(start_paused = true)]
async fn no_person_and_no_id_is_in_a_label() {
    let world = World::new();
    for tag in ["zoe@example.edu", "zoe+cal-refused@example.edu", "zoe+cal-refused+refund-refused@example.edu"] {
        world
            .send(&Event::paid(tag).id(&format!("evt_{}", tag.len())).session("id", tag.len().to_string().into()))
            .await;
        world.settle().await;
    }
    let text = exposition(&world).text().await;
    for word in ["zoe", "example.edu", "evt_", "cs_", "pi_", "pay_", "run_1"] {
        assert!(!text.contains(word), "{word} in\n{text}");
    }
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(samples < 1500, "{samples} samples");
}

#[tokio::test(start_paused = true)]
async fn the_store_is_asked_once_however_many_scrape() {
    let world = World::idle();
    let exposition = exposition(&world);
    let cases = |text: &str| text.contains("discuno_open_cases{");
    assert!(!cases(&exposition.text().await));
    world.send(&Event::paid("zoe@example.edu").metadata("eventTypeId", "x".into())).await;
    assert!(!cases(&exposition.text().await), "it was asked a moment ago");
    tokio::time::advance(Duration::from_secs(6)).await;
    let text = exposition.text().await;
    assert!(cases(&text) && text.contains("discuno_untold_cases 1"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_older_format_has_a_description_for_every_sample() {
    let world = World::new();
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    let text = as_prometheus_text(&exposition(&world).text().await);
    let described: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let of = |suffix: &str| name.strip_suffix(suffix).is_some_and(|base| described.contains(&base));
        assert!(described.contains(&name) || ["_bucket", "_sum", "_count"].into_iter().any(of), "{name}");
    }
}

/// Whatever has a metric of its own has happened here.
async fn eventful() -> World {
    let world = World::new();
    world.app.begin_schedules().await.unwrap();
    for tag in ["zoe", "zoe+cal-refused", "zoe+cal-refused+refund-refused"] {
        let event = Event::paid(&format!("{tag}@example.edu")).id(&format!("evt_{tag}"));
        let event = event.session("id", format!("cs_test_{}", tag.len()).into());
        world.send(&event.session("payment_intent", format!("pi_{}", tag.len()).into())).await;
    }
    world.pass(Duration::from_secs(2 * 3600)).await;
    world.app.metrics.breaker("cal", true);
    tokio::time::sleep(Duration::from_secs(120)).await;
    world.app.watch().look().await.unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn every_metric_of_the_dashboard_and_the_alerts_is_there() {
    let text = as_prometheus_text(&exposition(&eventful().await).text().await);
    let known: BTreeSet<&str> = text.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    for file in ["deploy/grafana/discuno.json", "deploy/prometheus/alerts.yml"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let asked = std::fs::read_to_string(&file).unwrap();
        let mut found = 0;
        for (at, _) in asked.match_indices("discuno_") {
            let name = asked[at..].split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap();
            // In prose `discuno_…` would be one too: there is none.
            let of_a_file = name == "discuno_disk_free_bytes" && is_on_a_server();
            assert!(known.contains(name) || of_a_file, "{} asks for {name}", file.display());
            found += 1;
        }
        assert!(found > 10, "{}", file.display());
    }
}

#[tokio::test(start_paused = true)]
async fn only_who_may_look_in_reads_them() {
    let secret = "a-token-of-some-length";
    let world = World::idle_with(|config| {
        config.access.tokens =
            vec![Token { name: "scraper".to_owned(), role: Role::Viewer, secret: Secret::new(secret) }];
    });
    let ask = async |headers: &[(&'static str, &str)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()));
        let request = Request {
            method: Method::GET,
            url: "http://discuno.test/metrics".parse().unwrap(),
            headers: headers.collect::<HeaderMap>(),
            body: bytes::Bytes::new(),
            timeout: Duration::from_secs(9),
        };
        let routes = admin::alone(world.app.admin_over(&world.providers()));
        InProcess::new(routes).send(request).await.unwrap()
    };
    assert_eq!(ask(&[]).await.status, 401);
    assert_eq!(ask(&[("authorization", "Bearer another-one-of-them")]).await.status, 401);
    let bearer = format!("Bearer {secret}");
    let answer = ask(&[("authorization", &bearer)]).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["content-type"]),
        (200, &"text/plain; version=0.0.4; charset=utf-8".parse().unwrap())
    );
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains("# TYPE discuno_leases_lost_total counter"), "{text}");
    let open = ask(&[("authorization", &bearer), ("accept", "application/openmetrics-text;version=1.0.0")]).await;
    assert!(open.body.ends_with(b"# EOF\n"));
}
