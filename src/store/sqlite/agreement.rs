//! What a file says in two places, held against each other. SQLite keeps no checksums of its pages: a bit that has fallen over in an
//! amount makes a row that is as good as any other, and is noticed by nothing else.

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::Connection;

use crate::model::id::{EventId, PaymentId, RefundId};
use crate::store::error::Error;

/// Payments whose amount neither their checkout nor any event of theirs names.
const PAYMENTS: &str = "SELECT p.id FROM payments p WHERE p.checkout IS NOT NULL \
    AND (json_extract(p.checkout, '$.amount.minor') IS NOT p.amount OR json_extract(p.checkout, '$.amount.currency') IS NOT p.currency) \
    AND NOT EXISTS (SELECT 1 FROM events e WHERE e.payment_id = p.id AND CASE WHEN json_valid(CAST(e.body AS TEXT)) \
      THEN json_extract(CAST(e.body AS TEXT), '$.data.object.amount_total') IS p.amount \
      AND upper(json_extract(CAST(e.body AS TEXT), '$.data.object.currency')) IS p.currency ELSE 0 END)";

/// Refunds in another currency than their payment's, or of another amount than Stripe was asked for.
const REFUNDS: &str = "SELECT r.id FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE r.currency <> p.currency \
    OR (r.request IS NOT NULL AND instr('&' || r.request || '&', '&amount=' || r.amount || '&') = 0)";

const BODIES: &str = "SELECT id, body, body_sha256 FROM events WHERE body IS NOT NULL";

/// What does not agree, in words.
pub(super) fn disagreements(conn: &Connection) -> Result<Vec<String>, Error> {
    let ids = |sql: &str| -> Result<Vec<i64>, Error> {
        let mut found = conn.prepare(sql)?;
        Ok(found.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    };
    let mut wrong = Vec::new();
    for id in ids(PAYMENTS)? {
        wrong.push(format!("the amount of {} is not the one that its checkout names", PaymentId(id)));
    }
    for id in ids(REFUNDS)? {
        wrong.push(format!(
            "the amount of {} is not the one that was asked for, or its currency not the payment's",
            RefundId(id)
        ));
    }
    let mut bodies = conn.prepare(BODIES)?;
    let mut bodies = bodies.query([])?;
    while let Some(row) = bodies.next()? {
        let (body, sha256) = (row.get_ref(1)?.as_blob(), row.get_ref(2)?.as_blob());
        let same = body.is_ok_and(|body| sha256.is_ok_and(|sha256| digest(&SHA256, body).as_ref() == sha256));
        if !same {
            wrong.push(format!("the body of {} is not the one that came", EventId(row.get(0)?)));
        }
    }
    Ok(wrong)
}
