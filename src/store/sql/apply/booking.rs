//! Bookings: merged from whatever Cal.com says, in whatever order.

use serde_json::json;

use crate::model::booking::{BookingStatus, NewBooking, RESCHEDULED};
use crate::model::case::{CaseKind, NewCase};
use crate::model::id::PaymentId;
use crate::model::payment::Payment;
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::store::change::{COMPARE_WORKFLOW, NewRun};
use crate::store::error::Error;
use crate::store::sql::apply::Scope;
use crate::store::sql::column::params;
use crate::store::sql::connection::{Connection, OptionalExtension};
use crate::store::sql::{ledger, row};

const PUT: &str = "INSERT INTO bookings (uid, cal_id, payment_id, status, event_type_id, start_at, end_at, title, \
     meeting_url, organizer, attendees, mentor_user_id, actor_user_id, replaces, cancelled_by, reason, created_at, updated_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?17) \
     ON CONFLICT (uid) DO UPDATE SET payment_id = excluded.payment_id, status = excluded.status, \
     event_type_id = coalesce(excluded.event_type_id, bookings.event_type_id), start_at = excluded.start_at, \
     end_at = excluded.end_at, title = excluded.title, meeting_url = coalesce(excluded.meeting_url, bookings.meeting_url), \
     organizer = coalesce(excluded.organizer, bookings.organizer), \
     attendees = CASE CAST(excluded.attendees AS TEXT) WHEN '[]' THEN bookings.attendees ELSE excluded.attendees END, \
     mentor_user_id = coalesce(excluded.mentor_user_id, bookings.mentor_user_id), \
     actor_user_id = coalesce(excluded.actor_user_id, bookings.actor_user_id), replaces = coalesce(excluded.replaces, bookings.replaces), \
     cancelled_by = coalesce(excluded.cancelled_by, bookings.cancelled_by), reason = coalesce(excluded.reason, bookings.reason), \
     updated_at = excluded.updated_at";
const PAYMENT_OF: &str = "SELECT payment_id FROM bookings WHERE uid = ?1";
const OTHER_LIVE: &str =
    "SELECT uid FROM bookings WHERE payment_id = ?1 AND uid <> ?2 AND status IN ('pending', 'accepted', 'completed')";
/// Cal.com numbers its bookings in the order in which they are made.
const MADE_LATER: &str = "SELECT 1 FROM bookings WHERE replaces = ?1 AND uid <> ?2 AND cal_id > ?3";
/// Never beside another that stands: the calendar's list tells later which of them does. Of two, the one that was made last.
const LINK_SUCCESSOR: &str = "UPDATE bookings SET payment_id = ?2 WHERE replaces = ?1 AND payment_id IS NULL \
     AND (status NOT IN ('pending', 'accepted', 'completed') OR NOT EXISTS (SELECT 1 FROM bookings o \
     WHERE o.status IN ('pending', 'accepted', 'completed') AND (o.payment_id = ?2 OR (o.replaces = ?1 AND o.payment_id IS NULL \
     AND (o.cal_id, o.uid) > (bookings.cal_id, bookings.uid))))) RETURNING uid";
const ABSENCE: &str = "UPDATE bookings SET host_absent = CASE WHEN ?2 = 1 THEN 1 ELSE host_absent END, \
     attendee_absent = CASE WHEN CAST(?3 AS BIGINT) IS NOT NULL AND ?4 >= absence_at THEN CAST(?3 AS BIGINT) ELSE attendee_absent END, \
     absence_at = CASE WHEN CAST(?3 AS BIGINT) IS NOT NULL AND ?4 > absence_at THEN ?4 ELSE absence_at END, updated_at = ?5 \
     WHERE uid = ?1 OR cal_id = ?6";

impl Scope {
    pub(super) fn put_booking(&mut self, conn: &Connection<'_>, new: &NewBooking) -> Result<(), Error> {
        conn.lock_name(&format!("booking {}", new.uid))?;
        let known = ledger::find_booking(conn, &new.uid)?;
        let before = known.as_ref().filter(|_| !is_out(Mutant::LatestStatus));
        let mut status = before.map_or(new.status, |known| known.facts.status.learn(new.status));
        let is_passed = status.is_live() && moved_on(conn, new)?;
        if is_passed {
            status = BookingStatus::Cancelled;
        }
        let of_predecessor = match &new.replaces {
            Some(uid) => payment_of(conn, uid)?,
            None => None,
        };
        let claimed = match self.payment {
            Some(id) if of_predecessor == Some(id) || fits(&ledger::read_payment(conn, id)?, new) => Some(id),
            _ => None,
        };
        let was_nobodys = known.as_ref().is_some_and(|known| known.payment.is_none());
        let mut payment = known.and_then(|known| known.payment).or(claimed).or(of_predecessor);
        if self.payment.is_none() {
            self.adopt_subject(conn, payment)?;
        }
        if let Some(id) = payment {
            conn.lock_payment(id)?;
        }
        if status.is_live()
            && let Some(id) = payment
            && let Some(other) = other_live(conn, id, &new.uid)?
        {
            if !is_out(Mutant::SecondBooking) {
                self.open_case(conn, second_booking(&new.uid, &other))?;
            }
            payment = None;
        }
        conn.prepare_cached(PUT)?.execute(params![
            new.uid,
            new.cal_id,
            payment.map(|id| id.0),
            status.as_str(),
            new.event_type_id,
            new.start.0,
            new.end.0,
            new.title,
            new.meeting_url,
            new.organizer.as_ref().map(row::to_json).transpose()?,
            row::to_json(&new.attendees)?,
            new.mentor_user_id,
            new.actor_user_id,
            new.replaces,
            new.cancelled_by,
            if is_passed { Some(RESCHEDULED) } else { new.reason.as_deref() },
            self.now.0
        ])?;
        let Some(id) = payment else { return Ok(()) };
        let mut link = conn.prepare_cached(LINK_SUCCESSOR)?;
        let linked = link.query_map(params![new.uid, id.0], |found| found.get(0))?;
        let mut found_out: Vec<String> = linked.collect::<Result<_, _>>()?;
        found_out.extend(was_nobodys.then(|| new.uid.clone()));
        // What became of them and of the payment while nobody knew whose they are was not settled.
        for uid in found_out {
            let scope = Self { payment, ..*self };
            scope.start(conn, &NewRun::with_input(COMPARE_WORKFLOW, &uid, json!({ "uid": uid })))?;
        }
        Ok(())
    }

    pub(super) fn put_absence(
        &self,
        conn: &Connection<'_>,
        uid: &str,
        host: Option<bool>,
        attendee: Option<bool>,
        at: Timestamp,
    ) -> Result<(), Error> {
        conn.prepare_cached(ABSENCE)?.execute(params![
            uid,
            host,
            attendee,
            at.0,
            self.now.0,
            ledger::booking_number(uid)
        ])?;
        Ok(())
    }
}

/// Whether the booking is what the payment was made for. Anybody who books at Cal.com can write a payment's id into the
/// metadata, and so lay claim to somebody else's.
fn fits(payment: &Payment, booking: &NewBooking) -> bool {
    let Some(order) = &payment.checkout else { return false };
    let of_attendee = booking.attendees.iter().any(|one| one.is_at(&order.attendee.email));
    booking.event_type_id.is_none_or(|id| id == order.event_type_id)
        && booking.start == order.start
        && (booking.attendees.is_empty() || of_attendee)
}

fn payment_of(conn: &Connection<'_>, uid: &str) -> Result<Option<PaymentId>, Error> {
    let found: Option<Option<i64>> =
        conn.prepare_cached(PAYMENT_OF)?.query_row([uid], |found| found.get(0)).optional()?;
    Ok(found.flatten().map(PaymentId))
}

/// Whether it is known to have been moved on: what took the place of the same one was made after it.
fn moved_on(conn: &Connection<'_>, new: &NewBooking) -> Result<bool, Error> {
    Ok(conn.prepare_cached(MADE_LATER)?.exists(params![new.replaces, new.uid, new.cal_id])?)
}

fn other_live(conn: &Connection<'_>, payment: PaymentId, uid: &str) -> Result<Option<String>, Error> {
    Ok(conn.prepare_cached(OTHER_LIVE)?.query_row(params![payment.0, uid], |found| found.get(0)).optional()?)
}

fn second_booking(uid: &str, other: &str) -> NewCase {
    NewCase {
        kind: CaseKind::SecondBooking,
        cause: format!("second_booking/{uid}"),
        summary: "a second session stands in the calendar for one payment".to_owned(),
        detail: format!("booking {uid} beside {other}: call one of them off in Cal.com"),
        at_risk: None,
    }
}
