//! The stand-ins for the providers, in `dev`: what goes wrong with them, what is played to us, and their books.

use askama::Template;
use axum::Form;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, State};
use axum::http::{Request, header};
use axum::response::Redirect;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::model::money::Money;
use crate::model::role::Role;
use crate::model::time::Timestamp;
use crate::web::admin::Admin;
use crate::web::auth::Identity;
use crate::web::page::{Failure, Page, Said, Shell, done, given, text};

/// Their books are longer than any page.
const MOST_BYTES: usize = 256 << 20;
/// The newest lines of each book.
const LINES: usize = 20;

const PROVIDERS: [&str; 5] = ["stripe", "cal", "posthog", "mail", "alert"];
const BOOKS: [&str; 5] = ["stripe", "cal", "posthog", "mail", "alerts"];

/// What can go wrong: as an address has it, as people read it, as the sandbox takes it.
const EFFECTS: [(&str, &str, &str); 9] = [
    ("error-before", "503, and nothing is done", r#"{"kind":"error_before","status":503}"#),
    ("error-after", "503, and it is done all the same", r#"{"kind":"error_after","status":503}"#),
    ("drop-before", "the connection breaks, nothing is done", r#"{"kind":"drop_before"}"#),
    ("drop-after", "the connection breaks, it is done", r#"{"kind":"drop_after"}"#),
    ("hang-before", "no answer, nothing is done", r#"{"kind":"hang_before"}"#),
    ("hang-after", "no answer, it is done", r#"{"kind":"hang_after"}"#),
    ("slow", "five seconds slower", r#"{"kind":"slow","millis":5000}"#),
    ("limited", "429, again in five seconds", r#"{"kind":"rate_limited","retry_after_secs":5}"#),
    ("refuse", "a definite no", r#"{"kind":"refuse","status":400,"code":"refused","message":"refused by hand"}"#),
];

#[derive(Template)]
#[template(path = "sandbox.html")]
pub(in crate::web) struct SandboxPage {
    shell: Shell,
    said: Option<String>,
    providers: [&'static str; 5],
    effects: [(&'static str, &'static str, &'static str); 9],
    faults: Vec<String>,
    scenes: Vec<String>,
    books: Vec<Book>,
    requests: Vec<Exchange>,
    command: &'static str,
}

/// What a stand-in holds.
struct Book {
    name: &'static str,
    requests: u64,
    entries: Vec<[String; 3]>,
}

struct Exchange {
    at: String,
    provider: &'static str,
    what: String,
    status: String,
    effect: String,
}

/// Asks the sandbox itself.
async fn ask(admin: &Admin, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let sandbox = admin.sandbox.clone().ok_or_else(|| Failure::missing("there is a sandbox in `discuno dev` only"))?;
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let answer = match sandbox.oneshot(request.body(body).map_err(Failure::broken)?).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let status = answer.status();
    let bytes = to_bytes(answer.into_body(), MOST_BYTES).await.map_err(Failure::broken)?;
    if !status.is_success() {
        return Err(Failure::bad(format!("the sandbox says {status}: {}", String::from_utf8_lossy(&bytes))));
    }
    Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn word(value: &Value) -> String {
    text(value.as_str().map_or_else(|| value.to_string(), str::to_owned).trim_matches('"'))
}

/// Instants are numbers in their books.
fn time(value: &Value) -> String {
    value.as_i64().map_or_else(|| word(value), |at| Timestamp(at).to_string())
}

fn money(entry: &Value) -> String {
    let currency = entry["currency"].as_str().unwrap_or_default().to_uppercase();
    match (entry["amount"].as_i64(), currency.parse()) {
        (Some(minor), Ok(currency)) => Money::new(minor, currency).to_string(),
        _ => word(&entry["amount"]),
    }
}

/// The newest of a list.
fn newest(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten().rev().take(LINES)
}

fn entries(name: &str, book: &Value) -> Vec<[String; 3]> {
    let of = |list: &str, read: fn(&Value) -> [String; 3]| newest(&book[list]).map(read).collect::<Vec<_>>();
    match name {
        "stripe" => {
            let paid = of("payment_intents", |it| [word(&it["id"]), word(&it["status"]), money(it)]);
            let back = of("refunds", |it| [word(&it["id"]), word(&it["status"]), format!("{} back", money(it))]);
            let shares = of("transfers", |it| [word(&it["id"]), "made".to_owned(), money(it)]);
            [paid, back, shares].concat()
        }
        "cal" => of("bookings", |it| [word(&it["uid"]), word(&it["status"]), time(&it["start"])]),
        "posthog" => of("events", |it| [word(&it["event"]), String::new(), time(&it["timestamp"])]),
        "mail" => of("mails", |it| [word(&it["subject"]), String::new(), time(&it["at"])]),
        _ => of("posts", |it| [word(&it["body"]), String::new(), time(&it["at"])]),
    }
}

fn fault(fault: &Value) -> String {
    let operation = fault["operation"].as_str().unwrap_or("every request");
    let kind = word(&fault["effect"]["kind"]).replace('_', " ");
    let times = fault["times"].as_u64().map(|times| format!(", {times} more times")).unwrap_or_default();
    format!("{} {}: {kind}{times}", word(&fault["provider"]), text(operation))
}

pub(in crate::web) async fn show(
    State(admin): State<Admin>,
    identity: Identity,
    Query(Said { said }): Query<Said>,
) -> Result<Page<SandboxPage>, Failure> {
    let faults = ask(&admin, "GET", "/sandbox/faults", None).await?;
    let scenes = ask(&admin, "GET", "/sandbox/replay", None).await?;
    let ledger = ask(&admin, "GET", "/sandbox/ledger", None).await?;
    let book = |name: &'static str| Book {
        name,
        requests: ledger[name]["request_count"].as_u64().unwrap_or_default(),
        entries: entries(name, &ledger[name]),
    };
    let exchange = |provider: &'static str| {
        newest(&ledger[provider]["requests"]).map(move |it| Exchange {
            at: time(&it["at"]),
            provider,
            what: format!("{} {}", word(&it["method"]), word(&it["path"])),
            status: it["status"].as_u64().map_or_else(|| "no answer".to_owned(), |status| status.to_string()),
            effect: it["effect"]["kind"].as_str().unwrap_or_default().replace('_', " "),
        })
    };
    let mut requests: Vec<Exchange> = BOOKS.into_iter().flat_map(exchange).collect();
    requests.sort_by(|one, other| other.at.cmp(&one.at));
    Ok(Page(SandboxPage {
        shell: Shell::new(&admin, &identity, "sandbox", "Sandbox"),
        said,
        providers: PROVIDERS,
        effects: EFFECTS,
        faults: faults.as_array().into_iter().flatten().map(fault).collect(),
        scenes: scenes.as_array().into_iter().flatten().map(word).collect(),
        books: BOOKS.into_iter().map(book).collect(),
        requests,
        command: "discuno replay fixtures/stripe.json",
    }))
}

/// A fault that somebody wants.
#[derive(Deserialize)]
pub(in crate::web) struct Wanted {
    provider: String,
    effect: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    matching: String,
    #[serde(default)]
    times: String,
}

pub(in crate::web) async fn inject(
    State(admin): State<Admin>,
    identity: Identity,
    Form(wanted): Form<Wanted>,
) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let effect = EFFECTS.iter().find(|(name, ..)| *name == wanted.effect);
    let (_, told, effect) = effect.ok_or_else(|| Failure::bad(format!("{} is no fault", wanted.effect)))?;
    let effect: Value = serde_json::from_str(effect).map_err(Failure::broken)?;
    let times = given(&wanted.times).map(|times| times.parse::<u32>()).transpose().map_err(Failure::bad)?;
    let fault = json!({
        "provider": wanted.provider, "operation": given(&wanted.operation), "matching": given(&wanted.matching),
        "effect": effect, "times": times,
    });
    ask(&admin, "POST", "/sandbox/faults", Some(&fault)).await?;
    Ok(done("/sandbox", &format!("switched on for {}: {told}", wanted.provider)))
}

pub(in crate::web) async fn clear(State(admin): State<Admin>, identity: Identity) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    ask(&admin, "DELETE", "/sandbox/faults", None).await?;
    Ok(done("/sandbox", "every fault is switched off"))
}

/// Recorded events that somebody wants to see again.
#[derive(Deserialize)]
pub(in crate::web) struct Scene {
    file: String,
}

pub(in crate::web) async fn replay(
    State(admin): State<Admin>,
    identity: Identity,
    Form(Scene { file }): Form<Scene>,
) -> Result<Redirect, Failure> {
    identity.must(Role::Operator)?;
    let file: String = url::form_urlencoded::byte_serialize(file.as_bytes()).collect();
    let sent = ask(&admin, "POST", &format!("/sandbox/replay?file={file}"), None).await?;
    let said = format!("{} were sent: {} accepted, {} refused", sent["sent"], sent["accepted"], sent["rejected"]);
    Ok(done("/sandbox", &said))
}
