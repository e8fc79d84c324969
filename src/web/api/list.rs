//! Lists and single rows of every noun.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::str::FromStr;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::id::PaymentId;
use crate::model::time::Timestamp;
use crate::ops::reveal;
use crate::ops::when::when;
use crate::store::error::Error;
use crate::store::filter::{Filter, LOOK, STUCK};
use crate::store::{Shared, Subject};
use crate::web::admin::Admin;
use crate::web::api::answer::{Answer, People};
use crate::web::api::input::{Ask, Asked, At};
use crate::web::auth::Identity;
use crate::web::problem::Problem;

/// One kind of row.
pub(super) trait Row: Serialize + JsonSchema + Send + Sync + 'static {
    /// What the list is called.
    const LIST: &'static str;
    /// Our ids of it.
    type Id: Copy + Display + FromStr + Into<i64> + From<i64> + JsonSchema + DeserializeOwned + Send;
    /// What only this list can be asked for.
    type Wanted: JsonSchema + DeserializeOwned + Send;

    fn id(&self) -> Self::Id;

    /// When it was made, as `since` and `until` have it.
    fn made(&self) -> Timestamp;

    /// The payment it belongs to.
    fn payment(&self) -> Option<PaymentId>;

    /// Adds what is wanted. What should have moved on by itself has not since `stuck`.
    fn narrow(filter: Filter, wanted: Self::Wanted, stuck: Timestamp) -> Filter;

    /// A page.
    fn fetch(store: &Shared, filter: Filter) -> impl Future<Output = Result<Vec<Self>, Error>> + Send
    where
        Self: Sized;

    /// The one that a provider knows by this id.
    fn known_as(_: &Shared, _: &str) -> impl Future<Output = Result<Option<Self::Id>, Error>> + Send {
        std::future::ready(Ok(None))
    }
}

/// A moment, as people write it.
struct When;

impl JsonSchema for When {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "When".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "format": "date-time" },
            { "type": "string", "pattern": "^[0-9]{1,4}[smhd]$" },
            { "enum": ["now", "today", "yesterday"] },
        ]})
    }
}

/// What every list can be asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, bound = "I: DeserializeOwned")]
pub(super) struct Common<I> {
    /// Made since: an instant, `30m`, `2h`, `3d`, `yesterday`.
    #[schemars(with = "Option<When>")]
    since: Option<String>,
    /// Made until.
    #[schemars(with = "Option<When>")]
    until: Option<String>,
    /// On this payment: any id of it.
    payment: Option<String>,
    /// The `next` of the page before.
    before: Option<I>,
    /// At most so many.
    #[serde(default = "rows")]
    #[schemars(range(min = 1, max = 1000))]
    limit: u32,
    /// People's names and addresses; takes the role operator and goes into the audit trail.
    #[serde(default)]
    reveal: bool,
}

fn rows() -> u32 {
    50
}

impl<I: Into<i64>> Common<I> {
    /// The names of its fields.
    pub(super) const NAMES: [&'static str; 6] = ["since", "until", "payment", "before", "limit", "reveal"];

    async fn filter(self, store: &Shared, now: Timestamp) -> Result<Filter, Problem> {
        let at = |field: &str, text: Option<String>| {
            text.map(|text| when(&text, now).map_err(|error| Problem::invalid(field, error))).transpose()
        };
        if !(1..=1000).contains(&self.limit) {
            return Err(Problem::invalid("limit", "limit takes a number from 1 to 1000"));
        }
        let payment = match self.payment {
            None => None,
            Some(id) => match store.resolve(&id).await? {
                Subject::Payment(payment) => Some(payment),
                _ => return Err(missing(&format!("{id} belongs to no payment"))),
            },
        };
        Ok(Filter {
            since: at("since", self.since)?,
            until: at("until", self.until)?,
            payment,
            before: self.before.map(Into::into),
            limit: self.limit,
            ..Filter::default()
        })
    }
}

/// There is no such thing.
pub(super) fn missing(detail: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

/// A page of a list.
pub(super) struct Listing<R> {
    rows: Vec<R>,
    next: Option<String>,
}

impl<R: Row> Serialize for Listing<R> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = serde_json::to_value(&self.rows).map_err(serde::ser::Error::custom)?;
        BTreeMap::from([(R::LIST, rows), ("next", json!(self.next))]).serialize(serializer)
    }
}

impl<R: Row> JsonSchema for Listing<R> {
    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", R::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rows: Value = json!({ "type": "array", "items": generator.subschema_for::<R>() });
        let mut next = generator.subschema_for::<Option<R::Id>>();
        next.insert("description".to_owned(), json!("Where the next page begins, for `before`; null on the last. A page looks at 10,000 rows and may hold none."));
        json_schema!({ "type": "object", "properties": { R::LIST: rows, "next": next }, "required": [R::LIST, "next"] })
    }
}

/// Which rows are meant.
pub(super) async fn filter<R: Row>(store: &Shared, asked: Asked<R>, now: Timestamp) -> Result<Filter, Problem> {
    Ok(R::narrow(asked.common.filter(store, now).await?, asked.own, now.minus(STUCK)))
}

/// `GET /payments`, `/refunds`, …
pub(super) async fn list<R: Row>(
    State(admin): State<Admin>,
    identity: Identity,
    asked: Asked<R>,
) -> Result<Answer<Listing<R>>, Problem> {
    let now = admin.clock.now();
    let (reveal, limit) = (asked.common.reveal, asked.common.limit);
    let mut filter = filter(&admin.store, asked, now).await?.for_role(identity.role);
    let newest = R::fetch(&admin.store, Filter::newest(1)).await?.first().map_or(0, |row| row.id().into());
    filter.bound(LOOK, newest);
    // One more tells whether there is a next page.
    let mut rows = R::fetch(&admin.store, Filter { limit: limit + 1, ..filter.clone() }).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let shown = || reveal::shown(&filter, &rows.iter().map(|row| row.id().to_string()).collect::<Vec<_>>());
    let people = People::seen_by(&identity, &admin, reveal, R::LIST.to_owned(), filter.payment, shown).await?;
    let last = rows.last().filter(|_| more).map(R::id);
    let next = match (last, filter.above) {
        (None, Some(end)) if !is_over::<R>(&admin.store, end + 1, filter.since).await? => Some(R::Id::from(end + 1)),
        (last, _) => last,
    };
    let next = next.map(|id| id.to_string());
    Answer::new(&Listing { rows, next }, people)
}

/// Whether all rows before this one were made before `since`.
async fn is_over<R: Row>(store: &Shared, before: i64, since: Option<Timestamp>) -> Result<bool, Problem> {
    let Some(since) = since else { return Ok(false) };
    let rows = R::fetch(store, Filter { before: Some(before), ..Filter::newest(1) }).await?;
    Ok(rows.first().is_none_or(|row| row.made() < since))
}

/// How a single thing is shown.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    /// People's names and addresses; takes the role operator and goes into the audit trail.
    #[serde(default)]
    pub(super) reveal: bool,
}

/// `GET /payments/{id}`, …
pub(super) async fn one<R: Row>(
    State(admin): State<Admin>,
    identity: Identity,
    At(id): At,
    Ask(look): Ask<Look>,
) -> Result<Answer<R>, Problem> {
    let row: R = find(&admin, &id).await?;
    let people = People::seen_by(&identity, &admin, look.reveal, id, row.payment(), || json!({})).await?;
    Answer::new(&row, people)
}

/// The one that is known by this id, ours or a provider's.
pub(super) async fn find<R: Row>(admin: &Admin, id: &str) -> Result<R, Problem> {
    let known = match id.parse::<R::Id>() {
        Ok(own) => Some(own),
        Err(_) => R::known_as(&admin.store, id).await?,
    };
    let mut rows = Vec::new();
    if let Some(number) = known.map(Into::<i64>::into) {
        let before = Some(number.saturating_add(1));
        rows = R::fetch(&admin.store, Filter { before, ..Filter::newest(1) }).await?;
        rows.retain(|row| Into::<i64>::into(row.id()) == number);
    }
    rows.pop().ok_or_else(|| missing(&format!("no {id} among the {}", R::LIST)))
}
