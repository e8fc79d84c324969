//! Bookings at Cal.com: made once, found again, told apart from other people's.

use std::collections::BTreeMap;

use crate::engine::ctx::Step;
use crate::model::booking::{BookingStatus, NewBooking, Person, is_same_address};
use crate::model::case::{CaseKind, NewCase};
use crate::model::checkout::Checkout;
use crate::model::failure::Failure;
use crate::model::money::Money;
use crate::model::time::Timestamp;
use crate::mutant::{Mutant, is_out};
use crate::provider::cal::{Cal, CalBooking, NewBooking as Wanted};
use crate::store::change::Change;

/// The metadata key by which a booking of ours is found again.
const PAYMENT: &str = "paymentId";
/// How often one session is moved at most, as far as that is looked into.
pub(super) const MOST_MOVES: usize = 20;

/// The slot is taken, and nobody knows yet whether by us.
const IN_DOUBT: &str = "slot_taken_perhaps_by_us";

/// A booking for an order.
pub(super) struct Made {
    pub(super) booking: NewBooking,
    /// What it took the place of, oldest first: the first was made for the order.
    pub(super) before: Vec<NewBooking>,
}

/// The live booking of this order, if Cal.com has one.
pub(super) async fn find(cal: &Cal, order: &Checkout) -> Result<Option<Made>, Failure> {
    Ok(find_any(cal, order).await?.filter(|made| made.booking.status.is_live()))
}

/// The same, or else one that was called off since: the order was booked all the same.
pub(super) async fn find_any(cal: &Cal, order: &Checkout) -> Result<Option<Made>, Failure> {
    if is_out(Mutant::BookingLookUp) {
        return Ok(None);
    }
    let found = cal.bookings(order.event_type_id, order.start).await?;
    let ours = |booking: &CalBooking| {
        let mut known = booking.attendees.iter().filter_map(|attendee| attendee.email.as_deref()).peekable();
        // Anybody can write somebody else's payment into the metadata.
        let of_attendee =
            known.peek().is_none() || known.any(|address| is_same_address(address, &order.attendee.email));
        of_attendee && booking.metadata.get(PAYMENT).and_then(serde_json::Value::as_str) == Some(order.reference())
    };
    let mut called_off = None;
    for first in found.into_iter().filter(ours) {
        let made = follow(cal, order, first).await?;
        if made.booking.status.is_live() {
            return Ok(Some(made));
        }
        called_off = Some(made);
    }
    Ok(called_off)
}

/// A booking, or what it was moved to.
async fn follow(cal: &Cal, order: &Checkout, first: CalBooking) -> Result<Made, Failure> {
    let mut next = first.moved_to.clone();
    let (mut booking, mut before) = (facts(first, order), Vec::new());
    while let Some(uid) = next.take()
        && before.len() < MOST_MOVES
        && let Some(moved) = cal.booking::<CalBooking>(&uid).await?
    {
        next.clone_from(&moved.moved_to);
        let replaces = Some(booking.uid.clone());
        before.push(std::mem::replace(&mut booking, NewBooking { replaces, ..facts(moved, order) }));
    }
    Ok(Made { booking, before })
}

/// Books, or adopts the booking that an earlier try made. `fresh` says that nobody here knows of an earlier try: a lost database may.
pub(super) async fn ensure(cal: &Cal, order: &Checkout, fresh: bool, now: Timestamp) -> Result<Made, Failure> {
    if !fresh && let Some(made) = find_any(cal, order).await? {
        return Ok(made);
    }
    if order.start <= now {
        return Err(Failure::permanent("in_the_past", "the session's start has passed"));
    }
    let wanted = Wanted {
        start: order.start,
        event_type_id: order.event_type_id,
        attendee: &order.attendee,
        metadata: BTreeMap::from([
            (PAYMENT, order.reference()),
            ("sessionId", order.session_id.as_str()),
            ("mentorUserId", order.mentor_user_id.as_str()),
        ]),
    };
    let mut made = cal.create_booking(&wanted, true).await;
    if made.as_ref().is_err_and(|error| error.code() == "phone_invalid") {
        made = cal.create_booking(&wanted, false).await;
    }
    match made {
        Ok(booking) => Ok(Made { booking: facts(booking, order), before: Vec::new() }),
        // It may be our own earlier try that has the slot, and Cal.com's list be behind.
        Err(error) if error.code() == "slot_taken" => {
            let refused = Failure::from(error);
            let doubt = if fresh { refused } else { Failure { code: IN_DOUBT.to_owned(), ..refused } };
            find(cal, order).await?.ok_or(doubt)
        }
        Err(error) => Err(error.into()),
    }
}

/// Has Cal.com call a session off, and takes that into our books, also where it had been moved to and nobody here had heard of it. One that
/// is called off already is no failure.
pub(super) async fn call_off(cal: &Cal, step: &Step<'_>, booking: &NewBooking, reason: &str) -> Result<(), Failure> {
    let last = cal.cancel_booking(&booking.uid, reason).await?;
    let called_off = NewBooking { status: BookingStatus::Cancelled, ..booking.clone() };
    let moved = if last == booking.uid { None } else { cal.booking::<CalBooking>(&last).await? };
    let moved = moved.map(|moved| NewBooking {
        uid: moved.uid,
        cal_id: moved.id,
        start: moved.start,
        end: moved.end,
        replaces: Some(booking.uid.clone()),
        reason: Some(reason.to_owned()),
        ..called_off.clone()
    });
    [Some(called_off), moved].into_iter().flatten().for_each(|known| step.also(Change::Booking(known)));
    Ok(())
}

/// What causes the case of a session that stands although it is paid back.
pub(super) fn refunded_cause(uid: &str) -> String {
    format!("booking_after_refund/{uid}")
}

/// The case of a session that is to be called off, and that Cal.com has not called off: in so many words, with so much at risk.
pub(super) fn still_stands(uid: &str, summary: String, at_risk: Option<Money>, failure: &Failure) -> NewCase {
    NewCase {
        kind: CaseKind::BookingAfterRefund,
        cause: refunded_cause(uid),
        summary,
        detail: format!("booking {uid}; cancelling it failed: {} ({})", failure.code, failure.message),
        at_risk,
    }
}

/// Whether the refusal may be the work of an earlier try of our own.
pub(super) fn is_in_doubt(failure: &Failure) -> bool {
    failure.code == IN_DOUBT
}

/// The failure once Cal.com was looked at again, and has no booking.
pub(super) fn without_doubt(failure: Failure) -> Failure {
    if is_in_doubt(&failure) { Failure { code: "slot_taken".to_owned(), ..failure } } else { failure }
}

/// Whether nothing but a person can tell what the failure means.
pub(super) fn needs_a_person(failure: &Failure) -> bool {
    failure.code == "unrecognised_refusal" || failure.is_of_credentials()
}

fn facts(booking: CalBooking, order: &Checkout) -> NewBooking {
    let attendee = &order.attendee;
    let host = booking.hosts.into_iter().next();
    NewBooking {
        uid: booking.uid,
        cal_id: booking.id,
        status: match booking.status.as_str() {
            "accepted" => BookingStatus::Accepted,
            "cancelled" => BookingStatus::Cancelled,
            "rejected" => BookingStatus::Rejected,
            _ => BookingStatus::Pending,
        },
        event_type_id: Some(order.event_type_id),
        start: booking.start,
        end: booking.end,
        title: booking.title,
        meeting_url: booking.meeting_url,
        organizer: host.map(|host| Person {
            id: host.id,
            name: host.name.unwrap_or_default(),
            email: host.email.unwrap_or_default(),
            time_zone: host.time_zone,
        }),
        attendees: vec![Person {
            id: None,
            name: attendee.name.clone(),
            email: attendee.email.clone(),
            time_zone: Some(attendee.time_zone.clone()),
        }],
        mentor_user_id: Some(order.mentor_user_id.clone()),
        actor_user_id: None,
        replaces: None,
        cancelled_by: booking.cancelled_by.filter(|by| !by.is_empty()),
        reason: booking.reason.filter(|reason| !reason.is_empty()),
    }
}
