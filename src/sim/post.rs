//! Carries events from their senders to the deployment: late, twice, in another order, or not at all.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};

use crate::config::{SANDBOX_CAL_SECRET, SANDBOX_CONNECT_SECRET, SANDBOX_STRIPE_SECRET, Secret};
use crate::signature::{sign_cal, sign_stripe};
use crate::sim::hub::{Hub, lock};
use crate::sim::purchase::{Letter, Sender};
use crate::sim::script::Weather;
use crate::transport::in_process::InProcess;
use crate::transport::{Request, Transport};

/// The entrances of the processes; none where a process is down.
pub(super) type Doors = Arc<Mutex<Vec<Option<InProcess>>>>;

/// Stripe sends again for three days.
const STRIPE_AGAIN: [u64; 12] = [60, 300, 1800, 7200, 18_000, 36_000, 36_000, 43_200, 43_200, 43_200, 43_200, 43_200];
/// Cal.com hardly ever does.
const CAL_AGAIN: [u64; 1] = [60];
const APP_AGAIN: [u64; 4] = [1, 5, 60, 600];
/// How long a sender waits for the answer.
const PATIENCE: Duration = Duration::from_secs(20);
const HOUR: u64 = 3_600_000;

/// When an event arrives, milliseconds after it was sent; nothing if it gets lost.
pub(super) fn arrivals(hub: &Hub, letter: &Letter, weather: Weather) -> Vec<u64> {
    let draw = |what: &str, below: u64| hub.decide(&format!("{what} {}", letter.id)) % below;
    let soon = 30 + draw("soon", 400);
    if hub.is_calm() {
        return vec![soon];
    }
    if hub.is_deaf_to(letter.sender) {
        hub.count(|| "delivery/lost".to_owned());
        return Vec::new();
    }
    if weather == Weather::Fair {
        return vec![soon];
    }
    let often = if weather == Weather::Heavy { 1 } else { 3 };
    match draw("way", 100 * often) {
        0..10 => {
            hub.count(|| "delivery/lost".to_owned());
            Vec::new()
        }
        10..18 => {
            hub.count(|| "delivery/days late".to_owned());
            vec![HOUR + draw("late", 71 * HOUR)]
        }
        18..33 => {
            hub.count(|| "delivery/twice".to_owned());
            vec![soon, soon + draw("again", 3000)]
        }
        33..55 => {
            hub.count(|| "delivery/out of order".to_owned());
            vec![soon + draw("order", 120_000)]
        }
        _ => vec![soon],
    }
}

/// Delivers one event until it is taken, or its sender gives up.
pub(super) async fn deliver(hub: Arc<Hub>, doors: Doors, letter: Letter, after: u64) {
    tokio::time::sleep(Duration::from_millis(after)).await;
    let again: &[u64] = match letter.sender {
        Sender::Stripe | Sender::Connect => &STRIPE_AGAIN,
        Sender::Cal => &CAL_AGAIN,
        Sender::App => &APP_AGAIN,
    };
    let body = letter.bytes();
    for attempt in 0..=again.len() {
        let taken = send(&hub, &doors, &letter, &body, attempt).await;
        hub.note(|| {
            format!(
                "delivery {attempt} of {}: {}",
                letter.id,
                taken.map_or("no answer".to_owned(), |code| code.to_string())
            )
        });
        if taken.is_some_and(|code| (200..300).contains(&code)) {
            let source = match letter.sender {
                Sender::Stripe => "stripe",
                Sender::Connect => "stripe_connect",
                Sender::Cal => "cal",
                Sender::App => "app",
            };
            lock(&hub.acknowledged).insert((source, letter.id.clone()));
            return;
        }
        hub.count(|| "delivery/refused".to_owned());
        let Some(wait) = again.get(attempt) else { return };
        tokio::time::sleep(Duration::from_secs(*wait)).await;
    }
}

/// The status of the answer, if there is one.
async fn send(hub: &Hub, doors: &Doors, letter: &Letter, body: &[u8], attempt: usize) -> Option<u16> {
    let door = {
        let doors = lock(doors);
        let first = hub.decide(&format!("door {attempt} {}", letter.id));
        let count = doors.len() as u64;
        let nth = |offset: u64| doors.get(usize::try_from((first + offset) % count.max(1)).unwrap_or(0)).cloned();
        (0..count).find_map(|offset| nth(offset % count).flatten())
    }?;
    let mut headers = HeaderMap::new();
    let (path, signed) = match letter.sender {
        Sender::Stripe => {
            let secret = Secret::new(SANDBOX_STRIPE_SECRET);
            ("webhooks/stripe", Some(("stripe-signature", sign_stripe(body, &secret, hub.now()))))
        }
        Sender::Connect => {
            let secret = Secret::new(SANDBOX_CONNECT_SECRET);
            ("webhooks/stripe-connect", Some(("stripe-signature", sign_stripe(body, &secret, hub.now()))))
        }
        Sender::Cal => {
            ("webhooks/cal", Some(("x-cal-signature-256", sign_cal(body, &Secret::new(SANDBOX_CAL_SECRET)))))
        }
        Sender::App => ("e/any", None),
    };
    if let Some((name, signature)) = signed {
        headers.insert(name, HeaderValue::from_str(&signature).ok()?);
    }
    let request = Request {
        method: Method::POST,
        url: format!("http://discuno.sim/{path}").parse().ok()?,
        headers,
        body: bytes::Bytes::copy_from_slice(body),
        timeout: PATIENCE,
    };
    door.send(request).await.ok().map(|answer| answer.status.as_u16())
}
