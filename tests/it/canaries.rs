//! Secrets and people, planted in every setting and field, are nowhere to be found in what is printed, logged or answered.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use discuno::clock::Clock;
use discuno::config::{Config, Secret};
use discuno::signature::{sign_cal, sign_stripe};
use serde_json::{Value, json};

use crate::support::http::{self, Answer};
use crate::support::process::{Deployment, checkout};
use crate::support::{CalEvent, Event};

const SECRETS: [(&str, &str); 11] = [
    ("STRIPE_SECRET_KEY", "sk_test_canary0stripe0key0a1b2c3"),
    ("STRIPE_WEBHOOK_SECRET", "whsec_canary0webhook0a1b2c3d4e5"),
    ("STRIPE_CONNECT_WEBHOOK_SECRET", "whsec_canary0connect0a1b2c3d4e5"),
    ("CALCOM_WEBHOOK_SECRET", "canary0cal0webhook0a1b2c3d4"),
    ("X_CAL_SECRET_KEY", "cal_canary0cal0key0a1b2c3d4e5"),
    ("POSTHOG_KEY", "phc_canary0posthog0a1b2c3d4"),
    ("RESEND_API_KEY", "re_canary0resend0a1b2c3d4e5"),
    ("INNGEST_EVENT_KEY", "canary0event0key0a1b2c3d4"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=canary0otlp0key0a1b2c3d4"),
    ("DISCUNO_DB_PASSWORD", "canary0db0password0a1b2c3d4"),
    ("DISCUNO_USERS", "zoe:viewer:$argon2id$v=19$m=19456,t=2,p=1$Y2FuYXJ5MHNhbHQ$Y2FuYXJ5MGhhc2gwYTFiMmMzZDRlNWY2"),
];

/// What is secret in settings that hold more than that, and which ones.
const PARTS: [(&str, &str); 5] = [
    ("DISCUNO_ADMIN_TOKEN", TOKEN),
    ("ALERT_WEBHOOK_URL", "canary0alert0hook0a1b2c3d4"),
    ("DISCUNO_USERS", "Y2FuYXJ5MGhhc2gwYTFiMmMzZDRlNWY2"),
    ("SMTP_URL", "canary0smtp0password0a1b2c3d4"),
    ("DISCUNO_DB", "canary0address0password0a1b2"),
];

/// What is planted of people.
const NAME: &str = "Canarina";
const ADDRESS: &str = "canarina.private@canary-mail.example";
const OTHER_ADDRESS: &str = "host.private@canary-host.example";
const PHONE: &str = "+15555550177";
const STREET: &str = "77 Canary Wharf";
const ROOM: &str = "https://meet.example/canary-room-77";
const CARD: &str = "fingerprint0canary77";
/// Who is told of cases.
const ON_CALL: &str = "oncall.private@canary-oncall.example";
/// Who acts: one of the team, whom the audit trail names.
const ACTOR: &str = "mia.acts@canary-team.example";
/// What opens the dashboard.
const TOKEN: &str = "canary0admin0token0a1b2c3d4";

/// Finds what should not be there.
struct Scanner {
    canaries: Vec<String>,
    found: Vec<String>,
    bytes: usize,
}

impl Scanner {
    fn new() -> Self {
        let people = [NAME, ADDRESS, OTHER_ADDRESS, PHONE, STREET, ROOM, CARD];
        let secrets = SECRETS.iter().chain(&PARTS).map(|(_, secret)| *secret);
        Self { canaries: secrets.chain(people).map(str::to_lowercase).collect(), found: Vec::new(), bytes: 0 }
    }

    /// Looks through a text. With every new place where something is shown comes one call of this.
    fn look(&mut self, place: &str, text: &str) {
        self.bytes += text.len();
        let text = text.to_lowercase();
        for canary in self.canaries.iter().filter(|canary| text.contains(*canary)) {
            let line = text.lines().find(|line| line.contains(canary)).unwrap_or_default();
            self.found.push(format!("{place} shows {canary}: {}", line.chars().take(400).collect::<String>()));
        }
    }

    fn answer(&mut self, place: &str, answer: &Answer) {
        self.look(place, &String::from_utf8_lossy(&answer.body));
        self.look(place, &format!("{:?}", answer.headers));
    }

    /// Looks at all that commands print, both ways, and how they fail.
    fn commands(&mut self, deployment: &Deployment, commands: &[&[&str]]) {
        for args in commands {
            let (_, out, err) = deployment.ran(args);
            self.look(&format!("{args:?}"), &out);
            self.look(&format!("{args:?}, its messages,"), &err);
        }
    }

    fn assert_clean(&self) {
        assert!(self.found.is_empty(), "{:#?}", self.found);
        assert!(self.bytes > 20_000, "only {} bytes were looked at", self.bytes);
    }
}

/// A checkout in which every field of a person is planted.
fn planted(number: usize, tags: &str) -> Event {
    let (local, domain) = ADDRESS.split_once('@').unwrap();
    let address = format!("{local}{tags}@{domain}");
    checkout(number, tags)
        .metadata("attendeeName", json!(format!("{NAME} Example")))
        .metadata("attendeeEmail", json!(address))
        .metadata("attendeePhone", json!(PHONE))
        .session("customer_email", json!(address))
        .session("payment_method_fingerprint", json!(CARD))
        .session(
            "customer_details",
            json!({ "name": NAME, "email": address, "phone": PHONE, "address": { "line1": STREET } }),
        )
}

fn calendar(name: &str, purchase: &Event) -> Vec<u8> {
    let person = json!({ "name": NAME, "email": ADDRESS, "timeZone": "UTC", "phoneNumber": PHONE });
    let host = json!({ "id": 7, "name": NAME, "email": OTHER_ADDRESS, "timeZone": "UTC" });
    CalEvent::sample(name)
        .about(purchase)
        .set("attendees", json!([person]))
        .set("organizer", host)
        .set("title", json!(format!("30 min between {NAME} and the mentor")))
        .set("additionalNotes", json!(format!("call {PHONE}")))
        .set("location", json!(ROOM))
        .set("responses", json!({ "name": { "value": NAME }, "email": { "value": ADDRESS } }))
        .set("cancellationReason", json!(format!("write to {ADDRESS}")))
        .set("cancelledBy", json!(OTHER_ADDRESS))
        .body()
}

async fn post(to: SocketAddr, path: &str, header: (&'static str, String), body: &[u8]) -> Answer {
    let (path, body) = (path.to_owned(), body.to_vec());
    let post = move || http::post(to, &path, &[(header.0, header.1.as_str())], &body).unwrap();
    tokio::task::spawn_blocking(post).await.unwrap()
}

fn part(name: &str) -> &'static str {
    PARTS.iter().find(|(known, _)| *known == name).unwrap().1
}

fn secret(name: &str) -> Secret {
    Secret::new(SECRETS.iter().find(|(known, _)| *known == name).unwrap().1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_planted_secret_and_no_planted_person_is_shown_anywhere() {
    let mut deployment = Deployment::new().await;
    for (name, value) in SECRETS {
        deployment.settings.insert(name, value.to_owned());
    }
    let hook = format!("{}?key={}", deployment.settings["ALERT_WEBHOOK_URL"], part("ALERT_WEBHOOK_URL"));
    deployment.settings.insert("ALERT_WEBHOOK_URL", hook);
    deployment.settings.insert("ALERT_EMAIL", ON_CALL.to_owned());
    deployment.settings.insert("DISCUNO_ADMIN_TOKEN", format!("{ACTOR}:money:{TOKEN}"));
    let log: PathBuf = deployment.db.with_file_name("canary.log");
    deployment.settings.insert("DISCUNO_LOG_FILE", log.display().to_string());
    deployment.settings.insert("DISCUNO_LOG", "debug".to_owned());
    let mut scan = Scanner::new();

    let mut serve = deployment.serve(&["--worker"]).await;
    let to = serve.address().unwrap();
    let now = Clock::System.now();
    let stripe = |body: &[u8]| ("stripe-signature", sign_stripe(body, &secret("STRIPE_WEBHOOK_SECRET"), now));
    let tags = ["", "+cal-refused", "+cal-refused+refund-refused", "+refund-pending+cal-refused"];
    let purchases: Vec<Event> = tags.iter().enumerate().map(|(number, tags)| planted(number, tags)).collect();
    for purchase in &purchases {
        let body = purchase.body();
        deployment.sandbox.observe(&body);
        let answer = post(to, "/webhooks/stripe", stripe(&body), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        scan.answer("a webhook's answer", &answer);
    }
    deployment.settled().await;
    for name in ["BOOKING_CREATED", "BOOKING_CANCELLED", "BOOKING_REJECTED"] {
        let body = calendar(name, &purchases[0]);
        let header = ("x-cal-signature-256", sign_cal(&body, &secret("CALCOM_WEBHOOK_SECRET")));
        let answer = post(to, "/webhooks/cal", header, &body).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.json());
        scan.answer(name, &answer);
    }
    let account = json!({"id": "evt_account", "type": "account.updated", "created": now.as_secs(), "livemode": false,
        "account": "acct_1", "data": {"object": {"id": "acct_1", "email": OTHER_ADDRESS, "charges_enabled": true,
        "business_profile": {"name": NAME, "support_phone": PHONE}, "metadata": {"userId": "u1"}}}});
    let body = serde_json::to_vec(&account).unwrap();
    let header = ("stripe-signature", sign_stripe(&body, &secret("STRIPE_CONNECT_WEBHOOK_SECRET"), now));
    scan.answer("connect", &post(to, "/webhooks/stripe-connect", header, &body).await);
    let path = format!("/e/{}", secret("INNGEST_EVENT_KEY").expose());
    for name in ["user_signed_up", "profile_updated", "mentor_review_submitted"] {
        let event = json!({"name": name, "data": {"userId": "u1", "email": ADDRESS, "name": NAME, "phone": PHONE}});
        let body = serde_json::to_vec(&event).unwrap();
        scan.answer(name, &post(to, &path, ("x-nothing", String::new()), &body).await);
    }
    refused(&mut scan, to, &purchases[0].body()).await;
    deployment.settled().await;
    let bearer = ("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(post(to, "/payments/pay_1/reveal", bearer, b"").await.status, 200);
    pages(&mut scan, to).await;
    serve.signal(rustix::process::Signal::TERM);
    assert!(serve.exits_within(crate::support::process::PATIENCE).await.success());

    shown(&mut scan, &deployment);
    for args in [&["audit"][..], &["audit", "--json"], &["show", "pay_1"], &["show", "pay_1", "--json"]] {
        assert!(deployment.ran(args).1.contains(ACTOR), "{args:?} does not say who acted");
    }
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(written.contains("refund_failed") && written.contains("webhook_rejected"), "the log tells the story");
    scan.look("the log file", &written);
    scan.look("the log on standard error", &serve.everything_logged());
    scan.assert_clean();

    // The scanner sees: what is asked for by name is shown.
    let mut sees = Scanner::new();
    sees.commands(&deployment, &[&["show", "pay_1", "--json", "--reveal"]]);
    assert!(!sees.found.is_empty());
}

#[test]
fn whatever_is_read_as_a_secret_is_planted() {
    // What is a secret may stand in a file too, and is asked for by that name.
    let asked = RefCell::new(BTreeSet::new());
    let nothing = BTreeMap::new();
    let environment = |name: &str| {
        asked.borrow_mut().extend(name.strip_suffix("_FILE").map(str::to_owned));
        None
    };
    drop(Config::load(&nothing, &environment, &nothing));
    let base = "http://sandbox.test".parse().unwrap();
    let plain = Config::sandbox(&base, PathBuf::from("d.db"), "127.0.0.1:0".parse().unwrap()).unwrap().settings;
    let plain: BTreeSet<&str> = plain.iter().filter_map(|setting| setting.name.strip_suffix("_FILE")).collect();
    let asked = asked.into_inner();
    let secret = |name: &&String| !name.starts_with("NEXT_PUBLIC_") && !plain.contains(name.as_str());
    let secrets: BTreeSet<&str> = asked.iter().filter(secret).map(String::as_str).collect();
    let planted: BTreeSet<&str> = SECRETS.iter().chain(&PARTS).map(|(name, _)| *name).collect();
    assert!(secrets.len() >= 14, "{secrets:?}");
    // An address may hold a password, and is shown without.
    assert_eq!(planted.difference(&secrets).copied().collect::<Vec<_>>(), ["DISCUNO_DB"]);
    assert_eq!(secrets.difference(&planted).copied().collect::<Vec<_>>(), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_in_the_address_of_what_cannot_be_reached_is_shown() {
    let mut deployment = Deployment::new().await;
    let mut scan = Scanner::new();
    deployment.settings.remove("RESEND_API_KEY");
    // Nobody listens there.
    deployment.settings.insert("SMTP_URL", format!("smtp://canary:{}@127.0.0.1:9", part("SMTP_URL")));
    scan.commands(&deployment, &[&["check", "--offline"], &["check", "--offline", "--json"], &["check"], &["status"]]);
    let password = part("DISCUNO_DB");
    for address in [
        format!("postgres://canary:{password}@127.0.0.1:9/discuno?sslmode=disable"),
        format!("postgres://canary:{password}@127.0.0.1:9/discuno"),
        format!("postgres://canary:{password}@127.0.0.1:no/discuno"),
        format!("postgres://canary:{password}@127.0.0.1:9/discuno?password={password}&nothing=1"),
        format!("postgres://canary:{password}"),
    ] {
        deployment.settings.insert("DISCUNO_DB", address.clone());
        for args in [&["payments"][..], &["status"], &["check"], &["db", "check"], &["db", "migrate"], &["serve"]] {
            let (status, out, said) = deployment.ran(args);
            assert!(status != Some(0) && !(out.is_empty() && said.is_empty()), "{args:?} on {address}: {out}{said}");
            scan.look(&format!("{args:?} on {address}"), &format!("{out}{said}"));
        }
    }
    assert!(scan.found.is_empty(), "{:#?}", scan.found);
    assert!(scan.bytes > 2000, "only {} bytes were looked at", scan.bytes);
}

/// Answers to what is not taken.
async fn refused(scan: &mut Scanner, to: SocketAddr, body: &[u8]) {
    let wrong = secret("X_CAL_SECRET_KEY");
    for (path, header) in [
        ("/webhooks/stripe", ("stripe-signature", sign_stripe(body, &wrong, Clock::System.now()))),
        ("/webhooks/cal", ("x-cal-signature-256", sign_cal(body, &wrong))),
        ("/webhooks/stripe-connect", ("stripe-signature", format!("t={ADDRESS},v1={}", wrong.expose()))),
    ] {
        let answer = post(to, path, header, body).await;
        assert_eq!(answer.status, 400);
        scan.answer(path, &answer);
    }
    let person = format!("{{\"id\": \"{ADDRESS}\", \"name\": {NAME}");
    let signed = sign_stripe(person.as_bytes(), &secret("STRIPE_WEBHOOK_SECRET"), Clock::System.now());
    let answer = post(to, "/webhooks/stripe", ("stripe-signature", signed), person.as_bytes()).await;
    assert_eq!(answer.status, 400);
    scan.answer("malformed", &answer);
    let key = secret("INNGEST_EVENT_KEY");
    for path in [format!("/e/{}", key.expose()), format!("/e/{}x", key.expose()), format!("/{ADDRESS}")] {
        scan.answer(&path, &post(to, &path, ("x-nothing", String::new()), person.as_bytes()).await);
    }
}

/// What the dashboard and the API show of everything that they list, and what scrapers read.
async fn pages(scan: &mut Scanner, to: SocketAddr) {
    let fixed = ["/", "/alerts", "/providers", "/logs", "/audit", "/metrics", "/openapi.json", "/api/v1/status"];
    let lists = ["payments", "runs", "events", "bookings", "refunds", "cases", "audit"];
    let all = lists.iter().flat_map(|list| [format!("/{list}?status=any"), format!("/api/v1/{list}")]);
    let mut left: Vec<String> = fixed.iter().map(ToString::to_string).chain(all).collect();
    let (mut seen, mut shown) = (BTreeSet::new(), 0);
    while let Some(path) = left.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let asked = path.clone();
        let authorization = format!("Bearer {TOKEN}");
        let get = move || http::get_with(to, &asked, &[("authorization", authorization.as_str())]).unwrap();
        let answer = tokio::task::spawn_blocking(get).await.unwrap();
        scan.answer(&path, &answer);
        shown += usize::from(answer.status == 200);
        let page = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!page.contains(ON_CALL), "{path} shows who is on call: {page}");
        if ["/audit", "/api/v1/audit", "/payments/pay_1"].contains(&path.as_str()) {
            assert!(page.contains(ACTOR), "{path} does not say who acted: {page}");
        }
        // Whatever has a page of its own is looked at too.
        let links = page.split("href=\"/").skip(1).filter_map(|rest| rest.split('"').next());
        left.extend(links.filter(|link| link.contains('_') && !link.contains('?')).map(|link| format!("/{link}")));
    }
    assert!(shown > 40, "only {shown} pages were shown: {seen:?}");
}

/// What every command shows.
fn shown(scan: &mut Scanner, deployment: &Deployment) {
    let lists = ["payments", "refunds", "bookings", "runs", "events", "cases", "audit"];
    for list in lists {
        scan.commands(deployment, &[&[list], &[list, "--json"]]);
        let (_, document, _) = deployment.ran(&[list, "--json"]);
        let ids: Vec<String> = document
            .lines()
            .filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["id"].as_str()?.to_owned()))
            .collect();
        for id in ids {
            scan.commands(deployment, &[&["show", &id], &["show", &id, "--json"]]);
        }
    }
    let log = deployment.settings["DISCUNO_LOG_FILE"].clone();
    let commands: [&[&str]; 14] = [
        &["show", "pay_1"],
        &["show", "pay_3", "--json"],
        &["status"],
        &["status", "--json"],
        &["check", "--offline"],
        &["check", "--offline", "--json"],
        &["check"],
        &["reconcile"],
        &["reconcile", "--json"],
        &["logs", &log],
        &["logs", "--json", &log],
        &["show", ADDRESS],
        &["refund", "pay_1", "--dry-run"],
        &["db", "check"],
    ];
    scan.commands(deployment, &commands[..11]);
    // What somebody typed may be said back to them.
    scan.commands(deployment, &commands[12..]);
}
