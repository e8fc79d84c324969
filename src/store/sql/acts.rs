//! The audit trail: one row for each act, chained to the one before it.

use aws_lc_rs::digest::{SHA256, digest};

use serde_json::Value;

use crate::model::act::Act;
use crate::model::id::ActId;
use crate::store::error::Error;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension};
use crate::store::sql::row;

const LAST: &str = "SELECT id, chain FROM acts ORDER BY id DESC LIMIT 1";
const INSERT: &str = "INSERT INTO acts (id, at, actor, verb, subject, reason, payment_id, before, after, chain) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// What the first act is chained to.
const BEGINNING: [u8; 32] = [0; 32];

/// Adds an act at the end of the trail; its id is given here.
pub(super) fn append(conn: &Connection<'_>, mut act: Act) -> Result<ActId, Error> {
    conn.lock_name("acts")?;
    let last: Option<(i64, [u8; 32])> =
        conn.prepare_cached(LAST)?.query_row((), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (number, before) = last.unwrap_or((0, BEGINNING));
    act.id = ActId(number + 1);
    // A server keeps no NUL: what is chained has to be what is kept.
    [Some(&mut act.actor), Some(&mut act.subject), act.reason.as_mut()].into_iter().flatten().for_each(without_nul);
    [&mut act.before, &mut act.after].into_iter().for_each(without_nuls);
    conn.prepare_cached(INSERT)?.execute(params![
        act.id.0,
        act.at.0,
        act.actor,
        act.verb.as_str(),
        act.subject,
        act.reason,
        act.payment.map(|id| id.0),
        act.before.to_string(),
        act.after.to_string(),
        link(&before, &act)
    ])?;
    Ok(act.id)
}

fn without_nul(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

fn without_nuls(value: &mut Value) {
    match value {
        Value::String(text) => without_nul(text),
        Value::Array(values) => values.iter_mut().for_each(without_nuls),
        Value::Object(fields) => fields.values_mut().for_each(without_nuls),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn link(before: &[u8; 32], act: &Act) -> [u8; 32] {
    let digest = digest(&SHA256, &[before.as_slice(), act.canonical().as_bytes()].concat());
    let mut link = [0; 32];
    link.copy_from_slice(digest.as_ref());
    link
}

/// The first act that does not fit the one before it.
pub(super) fn broken(conn: &Connection<'_>) -> Result<Option<ActId>, Error> {
    let sql = format!("SELECT {}, a.chain FROM acts a WHERE a.id > ?1 ORDER BY a.id LIMIT 1000", row::ACT);
    let mut statement = conn.prepare_cached(&sql)?;
    let (mut before, mut number) = (BEGINNING, 0_i64);
    loop {
        let page: Vec<(Act, [u8; 32])> =
            statement.query_map([number], |found| Ok((row::act(found)?, found.get(9)?)))?.collect::<Result<_, _>>()?;
        if page.is_empty() {
            return Ok(None);
        }
        for (act, chain) in page {
            number += 1;
            if act.id.0 != number || link(&before, &act) != chain {
                return Ok(Some(act.id));
            }
            before = chain;
        }
    }
}
