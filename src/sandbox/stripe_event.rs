//! Stripe's list of events: newest first, thirty days back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::time::Timestamp;
use crate::sandbox::answer::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::form::Form;
use crate::sandbox::stripe_object::{bad_cursor, invalid, limit, missing};
use crate::sandbox::stripe_world::Envelope;

const KEPT: Duration = Duration::from_hours(30 * 24);

/// Second of creation, then order of arrival.
type Place = (i64, u64);

#[derive(Debug)]
struct Kept {
    id: String,
    kind: String,
    account: Option<String>,
    raw: Box<RawValue>,
}

/// The events that can be listed.
#[derive(Debug, Default)]
pub(super) struct Events {
    places: BTreeMap<String, Place>,
    kept: BTreeMap<Place, Kept>,
    count: u64,
}

#[derive(Serialize)]
struct Page<'a> {
    object: &'static str,
    data: Vec<&'a RawValue>,
    has_more: bool,
    url: &'static str,
}

impl Events {
    /// Keeps an event; false if it is known already.
    pub(super) fn keep(&mut self, event: &Envelope<'_>, raw: Box<RawValue>, now: Timestamp) -> bool {
        while let Some(oldest) = self.kept.first_entry().filter(|oldest| oldest.key().0 < horizon(now)) {
            self.places.remove(&oldest.remove().id);
        }
        if self.places.contains_key(&event.id) {
            return false;
        }
        self.count += 1;
        let place = (event.created, self.count);
        self.places.insert(event.id.clone(), place);
        let kept = Kept { id: event.id.clone(), kind: event.kind.clone(), account: event.account.clone(), raw };
        self.kept.insert(place, kept);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn get(&self, id: &str) -> Answer {
        let kept = self.places.get(id).and_then(|place| self.kept.get(place));
        kept.map_or_else(|| missing("event", id, "id"), |kept| Answer::json(200, &kept.raw))
    }

    pub(super) fn list(&self, call: &Call) -> Answer {
        self.page(call).unwrap_or_else(|refusal| refusal)
    }

    fn page(&self, call: &Call) -> Result<Answer, Answer> {
        let query = &call.query;
        let limit = limit(query)?;
        let wanted = Wanted::read(query, call.header("stripe-account"))?;
        let cursor = |name: &'static str| match query.get(name) {
            None => Ok(None),
            Some(id) => self.places.get(id).copied().map(Some).ok_or_else(|| bad_cursor(id, name)),
        };
        let (after, before) = (cursor("starting_after")?, cursor("ending_before")?);
        if after.is_some() && before.is_some() {
            return Err(invalid(400, None, None, "You cannot use both starting_after and ending_before."));
        }
        let since = wanted.since.max(horizon(call.at));
        let low = before.map_or((since, 0), |(second, order)| (second, order + 1).max((since, 0)));
        let high = after.unwrap_or((wanted.until.saturating_add(1), 0)).min((wanted.until.saturating_add(1), 0));
        let range = if low < high { Some(self.kept.range(low..high)) } else { None };
        let fitting = range.into_iter().flatten().map(|(_, kept)| kept).filter(|kept| wanted.fits(kept));
        let mut found: Vec<&RawValue> = if before.is_some() {
            fitting.take(limit + 1).map(|kept| &*kept.raw).collect()
        } else {
            fitting.rev().take(limit + 1).map(|kept| &*kept.raw).collect()
        };
        let has_more = found.len() > limit;
        found.truncate(limit);
        if before.is_some() {
            found.reverse();
        }
        Ok(Answer::json(200, &Page { object: "list", data: found, has_more, url: "/v1/events" }))
    }
}

fn horizon(now: Timestamp) -> i64 {
    now.minus(KEPT).as_secs()
}

/// Which events are asked for.
struct Wanted<'a> {
    kinds: Vec<&'a str>,
    since: i64,
    until: i64,
    account: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn read(query: &'a Form, account: Option<&'a str>) -> Result<Self, Answer> {
        let mut kinds = query.list("types");
        match query.get("type") {
            Some(_) if !kinds.is_empty() => {
                return Err(invalid(400, None, Some("type"), "You may not use both type and types."));
            }
            one => kinds.extend(one),
        }
        if kinds.len() > 20 {
            return Err(invalid(400, None, Some("types"), "You may pass up to 20 types."));
        }
        let second = |name: &str| match query.get(name) {
            None => Ok(None),
            Some(text) => text.parse::<i64>().map(Some).map_err(|_| {
                invalid(400, Some("parameter_invalid_integer"), Some("created"), &format!("Invalid timestamp: {text}"))
            }),
        };
        let exact = second("created")?;
        let since = [exact, second("created[gte]")?, second("created[gt]")?.map(|second| second.saturating_add(1))];
        let until = [exact, second("created[lte]")?, second("created[lt]")?.map(|second| second.saturating_sub(1))];
        let since = since.into_iter().flatten().max().unwrap_or(i64::MIN);
        let until = until.into_iter().flatten().min().unwrap_or(i64::MAX);
        Ok(Self { kinds, since, until, account })
    }

    fn fits(&self, kept: &Kept) -> bool {
        let named = |kind: &&str| match kind.strip_suffix('*') {
            Some(start) => kept.kind.starts_with(start),
            None => kept.kind == *kind,
        };
        kept.account.as_deref() == self.account && (self.kinds.is_empty() || self.kinds.iter().any(named))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::sandbox::trial::{NOW, Trial};

    fn world() -> Trial {
        let trial = Trial::new();
        for number in 0..5 {
            let kind = if number == 3 { "charge.refunded" } else { "checkout.session.expired" };
            let created = NOW.as_secs() - 100 + number / 2;
            let event =
                json!({"id": format!("evt_{number}"), "type": kind, "created": created, "data": {"object": {}}});
            trial.sandbox.observe(event.to_string().as_bytes());
            trial.sandbox.observe(event.to_string().as_bytes());
        }
        trial
    }

    async fn list(trial: &Trial, query: &str) -> (Vec<String>, bool) {
        let page = Trial::json(&trial.get(&format!("/stripe/v1/events?{query}")).await);
        let ids = page["data"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned());
        (ids.collect(), page["has_more"] == Value::Bool(true))
    }

    fn ids(numbers: &[u32]) -> Vec<String> {
        numbers.iter().map(|number| format!("evt_{number}")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_paged_backwards_from_the_newest() {
        let trial = world();
        assert_eq!(list(&trial, "limit=2").await, (ids(&[4, 3]), true));
        assert_eq!(list(&trial, "limit=2&starting_after=evt_3").await, (ids(&[2, 1]), true));
        assert_eq!(list(&trial, "limit=2&starting_after=evt_1").await, (ids(&[0]), false));
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_paged_forwards_with_ending_before() {
        let trial = world();
        assert_eq!(list(&trial, "limit=2&ending_before=evt_0").await, (ids(&[2, 1]), true));
        assert_eq!(list(&trial, "limit=2&ending_before=evt_2").await, (ids(&[4, 3]), false));
        assert_eq!(list(&trial, "limit=2&ending_before=evt_4").await, (ids(&[]), false));
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_chosen_by_type_and_time() {
        let trial = world();
        assert_eq!(list(&trial, "types[0]=charge.refunded&types[1]=x.y").await, (ids(&[3]), false));
        assert_eq!(list(&trial, "type=charge.*").await, (ids(&[3]), false));
        let second = NOW.as_secs() - 99;
        assert_eq!(list(&trial, &format!("created[gte]={second}")).await, (ids(&[4, 3, 2]), false));
        assert_eq!(list(&trial, &format!("created[lt]={second}")).await, (ids(&[1, 0]), false));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_an_event_is_ignored() {
        let trial = world();
        trial.sandbox.observe(b"{\"id\":");
        trial.sandbox.observe(b"\xff\xfe");
        trial.sandbox.observe(b"{\"id\":\"evt_9\",\"created\":\"2026-01-01T00:00:00Z\"}");
        assert_eq!(trial.sandbox.ledger().stripe.events, 5);
        assert_eq!(trial.get("/stripe/v1/events?starting_after=evt_9").await.status, 400);
    }
}
