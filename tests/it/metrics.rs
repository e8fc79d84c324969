//! What a scraper sees of a deployment.

use std::sync::Arc;
use std::time::Duration;

use discuno::observe::metrics::as_prometheus_text;
use discuno::ops::exposition::Exposition;

use crate::support::{Event, World};

fn exposition(world: &World) -> Exposition {
    let app = &world.app;
    Exposition::new(Arc::clone(&app.store), app.clock.clone(), app.metrics.clone(), app.config.db.clone())
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
