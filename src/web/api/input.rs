//! What a request brings, read strictly: what is not understood is refused by its name, and never passed over.

use std::borrow::Cow;
use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use url::form_urlencoded;

use crate::web::api::document::{Input, Operation};
use crate::web::api::list::{Common, Row};
use crate::web::problem::Problem;

/// The id in the address.
pub(super) struct At(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for At {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        id.map(|Path(id)| Self(id)).map_err(|error| Problem::invalid("id", error.body_text()))
    }
}

impl Input for At {
    fn describe(operation: &mut Operation<'_>) {
        operation.in_path("id", "Ours (`pay_1`, `run_7`), or a provider's (`pi_…`, `evt_…`, a Cal.com uid)");
    }
}

/// What stands after the `?`.
pub(super) struct Ask<Q>(pub(super) Q);

impl<Q: DeserializeOwned, S: Sync> FromRequestParts<S> for Ask<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

impl<Q: JsonSchema> Input for Ask<Q> {
    fn describe(operation: &mut Operation<'_>) {
        operation.in_query::<Q>();
    }
}

/// What a list is asked for: what every list takes, and what this one does.
pub(super) struct Asked<R: Row> {
    pub(super) common: Common<R::Id>,
    pub(super) own: R::Wanted,
}

impl<R: Row, S: Sync> FromRequestParts<S> for Asked<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut split = [String::new(), String::new()].map(form_urlencoded::Serializer::new);
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            split[usize::from(!Common::<R::Id>::NAMES.contains(&&*name))].append_pair(&name, &value);
        }
        let [common, own] = split.map(|mut pairs| pairs.finish());
        Ok(Self { common: query(&common)?, own: query(&own)? })
    }
}

impl<R: Row> Input for Asked<R> {
    fn describe(operation: &mut Operation<'_>) {
        operation.in_query::<Common<R::Id>>();
        operation.in_query::<R::Wanted>();
    }
}

/// The conditions of a list without what is of its pages: all of them are meant.
pub(super) struct Meant<R: Row>(pub(super) Asked<R>);

/// What only a page can be asked for.
const OF_PAGES: [&str; 3] = ["before", "limit", "reveal"];

impl<R: Row, S: Sync> FromRequestParts<S> for Meant<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        if let Some((name, _)) = pairs.into_iter().find(|(name, _)| OF_PAGES.contains(&&**name)) {
            return Err(Problem::invalid(&*name, format!("{name} is of a page: all that the list shows is meant")));
        }
        Asked::from_request_parts(parts, state).await.map(Self)
    }
}

impl<R: Row> Input for Meant<R> {
    fn describe(operation: &mut Operation<'_>) {
        Asked::<R>::describe(operation);
        operation.without(&OF_PAGES);
    }
}

fn query<Q: DeserializeOwned>(text: &str) -> Result<Q, Problem> {
    let mut names = BTreeSet::new();
    for (name, _) in form_urlencoded::parse(text.as_bytes()) {
        if let Some(name) = names.replace(name) {
            return Err(Problem::invalid(&*name, format!("{name} is given twice")));
        }
    }
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(wrong)
}

fn wrong<E: std::fmt::Display>(error: serde_path_to_error::Error<E>) -> Problem {
    let field = error.path().to_string();
    let detail = error.into_inner().to_string();
    if field == "." {
        Problem::new(StatusCode::BAD_REQUEST, "invalid", detail)
    } else {
        Problem::invalid(field, detail)
    }
}

/// A JSON body.
pub(super) struct Given<B>(pub(super) B);

impl<B: DeserializeOwned, S: Send + Sync> FromRequest<S> for Given<B> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body has to be JSON, and `Content-Type: application/json` to say so";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail));
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            let code = if too_large { "body_too_large" } else { "unreadable_body" };
            Problem::new(rejection.status(), code, rejection.body_text())
        })?;
        let mut json = serde_json::Deserializer::from_slice(&body);
        let given = serde_path_to_error::deserialize(&mut json).map_err(wrong)?;
        json.end().map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid", error.to_string()))?;
        Ok(Self(given))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

impl<B: JsonSchema> Input for Given<B> {
    fn describe(operation: &mut Operation<'_>) {
        operation.in_body::<B>();
    }
}

/// The largest whole number up to which a double has every one: what every client has exactly.
const EXACT: i64 = (1 << 53) - 1;

/// A whole number within these limits, also one that is written as `5.0`: JSON knows no difference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole<const LEAST: i64, const MOST: i64>(pub(super) i64);

/// An amount in a currency's minor unit.
pub(super) type Minor = Whole<1, EXACT>;
/// How many of something there are.
pub(super) type Count = Whole<0, { u32::MAX as i64 }>;

impl<'de, const LEAST: i64, const MOST: i64> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(Within::<LEAST, MOST>)
    }
}

/// Reads one.
struct Within<const LEAST: i64, const MOST: i64>;

impl<const LEAST: i64, const MOST: i64> Visitor<'_> for Within<LEAST, MOST> {
    type Value = Whole<LEAST, MOST>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a whole number from {LEAST} to {MOST}")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
        let wrong = || E::invalid_value(Unexpected::Signed(number), &self);
        (LEAST..=MOST).contains(&number).then_some(Whole(number)).ok_or_else(wrong)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let wrong = |_| E::invalid_value(Unexpected::Unsigned(number), &self);
        i64::try_from(number).map_err(wrong).and_then(|number| self.visit_i64(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        // As it is written, a whole number has no digits after its point.
        let whole = format!("{number}").parse().map_err(|_| E::invalid_value(Unexpected::Float(number), &self))?;
        self.visit_i64(whole)
    }
}

impl<const LEAST: i64, const MOST: i64> JsonSchema for Whole<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("From{LEAST}To{MOST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

/// Several words of a set, with commas between them.
#[derive(Debug)]
pub(super) struct Words<T>(Vec<T>);

impl<T: std::fmt::Display> Words<T> {
    /// As a filter takes them; none for any.
    pub(super) fn of(words: Option<Self>) -> Vec<String> {
        words.map(|Self(words)| words.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }
}

impl<'de, T: std::str::FromStr<Err: std::fmt::Display>> Deserialize<'de> for Words<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.split(',').map(|word| word.trim().parse().map_err(D::Error::custom)).collect::<Result<_, _>>().map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for Words<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}s", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>(), "minItems": 1 })
    }
}
