//! What must stay within bounds: tries and waits (I13), what is told to people (I17), the database itself (I7, I19).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{SANDBOX_CAL_SECRET, SANDBOX_CONNECT_SECRET, SANDBOX_STRIPE_SECRET};
use crate::model::run::Run;
use crate::model::step::{Attempt, Ending};
use crate::sim::invariant::Rules;
use crate::sim::purchase::Order;
use crate::sim::script::STRANGER;
use crate::store::Story;
use crate::store::error::Error;
use crate::store::sqlite::Sqlite;

/// One try and the most retries that any step has.
const MOST_TRIES: usize = 29;
/// Steps that are tried until they get through.
const ENDLESS: [&str; 3] = ["compose", "gather", "start-next"];

/// A database is looked over page by page in one history of so many.
const LOOKED_OVER: u64 = 16;
/// What an empty database takes, what one event may bring with it, and what the schedules keep of each hour.
const EMPTY: u64 = 1 << 19;
const EACH_EVENT: u64 = 1 << 16;
const EACH_HOUR: u64 = 1 << 10;

/// I13: no step is tried more often than any policy allows; nor, if it is `patient`, sooner than its provider asked.
pub(super) fn tries(run: &Run, attempts: &[Attempt], patient: bool, rules: &mut Rules) {
    let mut counted: BTreeMap<&str, (usize, &Attempt)> = BTreeMap::new();
    for attempt in attempts.iter().filter(|attempt| !attempt.retried) {
        let (tries, last) = counted.entry(&attempt.step).or_insert((0, attempt));
        *tries += 1;
        rules.hold("I13", *tries <= MOST_TRIES || ENDLESS.contains(&attempt.step.as_str()), || {
            format!("{} of {} was tried {tries} times", attempt.step, run.id)
        });
        if let (Ending::Retry { failure }, true) = (&last.ending, *tries > 1 && patient) {
            let asked = failure.retry_after().unwrap_or_default().min(Duration::from_hours(24));
            rules.hold("I13", attempt.started_at >= last.ended_at.plus(asked), || {
                format!("{} of {} was tried again {asked:?} too soon", attempt.step, run.id)
            });
        }
        *last = attempt;
    }
}

/// I17: what operators read holds no secret, and nobody's address or number.
pub(super) fn silence(order: &Order, story: &Story, alerts: &str, rules: &mut Rules) {
    let private =
        [SANDBOX_STRIPE_SECRET, SANDBOX_CONNECT_SECRET, SANDBOX_CAL_SECRET, order.email(), "5555550123", STRANGER];
    let mut told = vec![alerts];
    told.extend(story.cases.iter().flat_map(|case| [case.summary.as_str(), case.detail.as_str()]));
    for (run, attempts) in &story.runs {
        told.extend(run.failure.as_ref().map(|failure| failure.message.as_str()));
        told.extend(attempts.iter().filter_map(|attempt| match &attempt.ending {
            Ending::Retry { failure } | Ending::Failed { failure } => Some(failure.message.as_str()),
            Ending::Done { .. } => None,
        }));
    }
    for text in told {
        rules.hold("I17", !private.iter().any(|word| text.contains(word)), || format!("it is told to people: {text}"));
    }
}

/// I7, I19: the database is whole, no row points to one that is not there, and it has grown with its events and with time only.
pub(super) fn database(
    seed: u64,
    store: &Sqlite,
    (events, elapsed): (usize, Duration),
    rules: &mut Rules,
) -> Result<(), Error> {
    let (bytes, hours) = (store.bytes()?, elapsed.as_secs() / 3600);
    let most = EMPTY + EACH_EVENT * u64::try_from(events).unwrap_or(u64::MAX) + EACH_HOUR * hours;
    rules.hold("I19", bytes <= most, || format!("{events} events in {hours} hours take {bytes} bytes"));
    if seed.is_multiple_of(LOOKED_OVER) {
        for damage in store.damage()? {
            rules.hold("I7", false, || damage);
        }
    }
    Ok(())
}
