//! Recorded events, made ready to be sent again.

use std::path::Path;

use anyhow::{Context, bail};
use discuno::model::time::Timestamp;
use serde_json::Value;

/// Who would send an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Stripe,
    Connect,
    Cal,
    App,
}

/// Told by the shape.
pub(crate) fn origin(event: &Value) -> Option<Origin> {
    if event["id"].is_string() && event["type"].is_string() && event["data"]["object"].is_object() {
        Some(if event["account"].is_string() { Origin::Connect } else { Origin::Stripe })
    } else if event["triggerEvent"].is_string() {
        Some(Origin::Cal)
    } else if event["name"].is_string() && event["data"].is_object() {
        Some(Origin::App)
    } else {
        None
    }
}

/// Ids that tell one purchase from another; the sandbox names a booking after its payment.
const RENAMED: [&str; 9] = ["evt_", "cs_", "pi_", "ch_", "re_", "du_", "tr_", "uid-", "group_pi_"];

/// Keys whose whole numbers are Unix seconds.
const SECONDS: [&str; 6] = ["created", "expires_at", "arrival_date", "available_on", "current_deadline", "due_by"];

/// One event, an array of events, or one event a line.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} holds no events", path.display()))
}

fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    // Some editors begin a file with a mark of its byte order.
    let text = text.trim_start_matches('\u{feff}');
    let events: Vec<Value> = match serde_json::from_str(text) {
        Ok(Value::Array(events)) => events,
        Ok(event) => vec![event],
        Err(whole) => text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .map_err(|_| whole)
            .context("neither JSON nor JSON lines")?,
    };
    if events.is_empty() {
        bail!("the list is empty");
    }
    for (number, event) in events.iter().enumerate() {
        if origin(event).is_none() {
            bail!(
                "event {} is neither Stripe's (id, type, data.object) nor Cal.com's (triggerEvent) nor ours (name, data)",
                number + 1
            );
        }
    }
    Ok(events)
}

/// Moves every date so that the newest event was made at `now`: a session that lay ahead lies ahead again.
pub(crate) fn move_to(events: &mut [Value], now: Timestamp) {
    let newest = events.iter().filter_map(made_at).max();
    let Some(newest) = newest else { return };
    let shift = now.as_secs().saturating_sub(newest);
    for event in events {
        shift_times(event, "", shift);
    }
}

/// When an event was made, in Unix seconds.
fn made_at(event: &Value) -> Option<i64> {
    let text = || event["createdAt"].as_str()?.parse::<Timestamp>().ok();
    let millis = || event["ts"].as_i64().map(|millis| millis / 1000);
    event["created"].as_i64().or_else(millis).or_else(|| Some(text()?.as_secs()))
}

fn shift_times(value: &mut Value, key: &str, shift: i64) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| shift_times(value, key, shift)),
        Value::Array(items) => items.iter_mut().for_each(|item| shift_times(item, key, shift)),
        Value::Number(number) if SECONDS.contains(&key) => {
            if let Some(moved) = number.as_i64().map(|seconds| seconds.saturating_add(shift)) {
                *value = moved.into();
            }
        }
        Value::Number(number) if key == "ts" => {
            if let Some(moved) = number.as_i64().map(|millis| millis.saturating_add(shift.saturating_mul(1000))) {
                *value = moved.into();
            }
        }
        Value::String(text) => {
            if let Ok(Timestamp(millis)) = text.parse() {
                *text = Timestamp(millis.saturating_add(shift.saturating_mul(1000))).to_string();
            }
        }
        _ => {}
    }
}

/// The same events once more, as other purchases: their Stripe ids get an ending, their sessions an event type of their
/// own, so that they meet neither each other's rows nor each other's slots.
pub(crate) fn another(events: &[Value], round: u64) -> Vec<Value> {
    let mut copy = events.to_vec();
    if round > 0 {
        for event in &mut copy {
            rename(event, "", round);
        }
    }
    copy
}

fn rename(value: &mut Value, key: &str, round: u64) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| rename(value, key, round)),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, key, round)),
        Value::String(text) if RENAMED.iter().any(|prefix| text.starts_with(prefix)) => {
            text.push('r');
            text.push_str(&round.to_string());
        }
        Value::String(text) if key == "eventTypeId" => {
            if let Ok(number) = text.parse::<u64>() {
                *text = number.wrapping_add(round.wrapping_mul(1_000_000)).to_string();
            }
        }
        _ => {}
    }
}

/// Sets `a.b.c=value` in an event; the value is JSON, or text where it is not.
pub(crate) fn set(event: &mut Value, assignment: &str) -> anyhow::Result<()> {
    let (path, value) = assignment.split_once('=').context("--set takes path=value")?;
    if path.split('.').any(str::is_empty) {
        bail!("--set {assignment}: a name is missing in the path");
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    let mut place = event;
    for key in path.split('.') {
        place = match (place, key.parse::<usize>()) {
            (Value::Array(items), Ok(index)) => {
                items.get_mut(index).with_context(|| format!("--set {path}: there is no item {index}"))?
            }
            (Value::Object(map), _) => map.entry(key).or_insert(Value::Null),
            _ => bail!("--set {path}: {key} is not inside an object or a list"),
        };
    }
    *place = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"id":"evt_1","type":"t","created":1000,"data":{"object":{"id":"cs_1","metadata":{"startTime":"1970-01-01T00:20:00Z","eventTypeId":"7"}}}}"#;

    #[test]
    fn one_event_a_list_and_lines_are_read_alike() {
        assert_eq!(parse(EVENT).unwrap().len(), 1);
        assert_eq!(parse(&format!("\u{feff}{EVENT}")).unwrap().len(), 1);
        assert_eq!(parse(&format!("[{EVENT},{EVENT}]")).unwrap().len(), 2);
        assert_eq!(parse(&format!("{EVENT}\n\n{EVENT}\n")).unwrap().len(), 2);
        let cal = r#"{"triggerEvent":"PING","payload":{}}"#;
        let origins: Vec<_> = parse(&format!("[{EVENT},{cal}]")).unwrap().iter().map(origin).collect();
        assert_eq!(origins, [Some(Origin::Stripe), Some(Origin::Cal)]);
        for bad in ["", "[]", "{}", "nonsense", r#"{"id":1}"#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moving_keeps_the_distance_between_dates() {
        let mut events = parse(EVENT).unwrap();
        move_to(&mut events, Timestamp::from_secs(5000));
        assert_eq!(events[0]["created"], 5000);
        assert_eq!(events[0]["data"]["object"]["metadata"]["startTime"], "1970-01-01T01:26:40.000Z");
    }

    #[test]
    fn another_round_is_another_purchase() {
        let events = another(&parse(EVENT).unwrap(), 2);
        assert_eq!(events[0]["id"], "evt_1r2");
        assert_eq!(events[0]["data"]["object"]["metadata"]["eventTypeId"], "2000007");
    }

    #[test]
    fn a_path_is_set_and_a_wrong_one_is_an_error() {
        let mut event = parse(EVENT).unwrap().remove(0);
        set(&mut event, "data.object.amount_total=5000").unwrap();
        set(&mut event, "data.object.metadata.startTime=soon").unwrap();
        assert_eq!(event["data"]["object"]["amount_total"], 5000);
        assert_eq!(event["data"]["object"]["metadata"]["startTime"], "soon");
        assert!(set(&mut event, "created.x=1").is_err());
        for bad in ["novalue", "=1", ".=1", "data.=1", "data..id=1"] {
            assert!(set(&mut event, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_at_the_end_of_their_range_are_no_reason_to_stop() {
        let text = EVENT.replace("1000", &i64::MIN.to_string()).replace("\"7\"", &format!("\"{}\"", u64::MAX));
        let mut events = parse(&text).unwrap();
        move_to(&mut events, Timestamp(i64::MAX));
        assert_eq!(another(&events, u64::MAX)[0]["id"], format!("evt_1r{}", u64::MAX));
    }
}
