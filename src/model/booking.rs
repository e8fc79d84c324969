//! Bookings: what we know of the calendar at Cal.com.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::id::{BookingId, PaymentId};
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// Where a booking stands at Cal.com.
    BookingStatus, "booking status" {
        /// The mentor still has to confirm it.
        Pending => "pending",
        /// It stands in the calendar.
        Accepted => "accepted",
        /// Its time has passed. Cal.com says so whether or not anybody came.
        Completed => "completed",
        /// It was called off.
        Cancelled => "cancelled",
        /// The mentor did not confirm it.
        Rejected => "rejected",
    }
}

impl BookingStatus {
    /// Whether the session takes place, as far as is known, or took place.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Accepted | Self::Completed)
    }

    /// The status once `fact` is known too. One uid only ever moves this way (a new time is a new uid), so that the
    /// order in which Cal.com's webhooks arrive does not matter: what is called off stays called off.
    #[must_use]
    pub const fn learn(self, fact: Self) -> Self {
        match (self, fact) {
            (Self::Cancelled | Self::Rejected, _) => self,
            (_, Self::Cancelled | Self::Rejected) => fact,
            (Self::Completed, _) | (_, Self::Pending) => self,
            (Self::Pending | Self::Accepted, Self::Accepted | Self::Completed) => fact,
        }
    }
}

/// A host or an attendee.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// Cal.com's number, of a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// What they are called.
    pub name: String,
    /// Where to write.
    pub email: String,
    /// Their IANA zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

impl Person {
    /// Whether this is their address.
    pub fn is_at(&self, address: &str) -> bool {
        is_same_address(&self.email, address)
    }
}

/// Whether two addresses are one person's, whichever way Cal.com writes them.
pub fn is_same_address(one: &str, other: &str) -> bool {
    without_client(one).eq_ignore_ascii_case(&without_client(other))
}

/// How long the id of a platform client is.
const CLIENT_ID: usize = 25;

/// Cal.com keeps the address of a managed user of a platform with the client's id in it, `zoe+<id>@example.edu`, and books under that one
/// whatever it was given (`PlatformBookingsService` of its API v2).
fn without_client(address: &str) -> Cow<'_, str> {
    let is_client = |tag: &str| tag.len() == CLIENT_ID && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match address.rsplit_once('@').and_then(|(local, domain)| Some((local.rsplit_once('+')?, domain))) {
        Some(((name, tag), domain)) if is_client(tag) => Cow::Owned(format!("{name}@{domain}")),
        _ => Cow::Borrowed(address),
    }
}

/// What Cal.com says of a booking. What is absent is not known, and does not undo what is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewBooking {
    /// Cal.com's key.
    pub uid: String,
    /// Cal.com's number.
    pub cal_id: i64,
    /// Where it stands.
    pub status: BookingStatus,
    /// What is booked.
    #[serde(default)]
    pub event_type_id: Option<i64>,
    /// When it begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// What it is called.
    pub title: String,
    /// Where to meet.
    #[serde(default)]
    pub meeting_url: Option<String>,
    /// Who hosts.
    #[serde(default)]
    pub organizer: Option<Person>,
    /// Who comes, the booker first.
    #[serde(default)]
    pub attendees: Vec<Person>,
    /// The mentor, as the application knows them.
    #[serde(default)]
    pub mentor_user_id: Option<String>,
    /// The booker, as the application knows them.
    #[serde(default)]
    pub actor_user_id: Option<String>,
    /// The uid it took the place of.
    #[serde(default)]
    pub replaces: Option<String>,
    /// Who called it off: an e-mail address.
    #[serde(default)]
    pub cancelled_by: Option<String>,
    /// Why it was called off or rejected.
    #[serde(default)]
    pub reason: Option<String>,
}

impl NewBooking {
    /// Where to write to the host.
    pub fn host_email(&self) -> Option<&str> {
        self.organizer.as_ref().map(|host| host.email.as_str()).filter(|email| !email.is_empty())
    }
}

impl Booking {
    /// Whether the session takes place, or took place: nobody called it off, and its mentor came as far as is known.
    pub const fn stands(&self) -> bool {
        self.facts.status.is_live() && !self.host_absent
    }
}

/// Why a booking is over that was moved: nobody called it off.
pub const RESCHEDULED: &str = "rescheduled";

/// A booking as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Booking {
    /// Our id.
    pub id: BookingId,
    /// The payment it was made for; none if it was made elsewhere.
    pub payment: Option<PaymentId>,
    /// What Cal.com says.
    #[serde(flatten)]
    pub facts: NewBooking,
    /// Whether the host did not come.
    pub host_absent: bool,
    /// Whether an attendee did not come.
    pub attendee_absent: bool,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, proptest};

    use super::*;

    #[test]
    fn a_managed_user_of_the_platform_has_one_address_however_cal_com_writes_it() {
        let person = |email: &str| Person { email: email.to_owned(), ..Person::default() };
        let managed = person("Zoe+clw7k2f3p000108l4h2v9a1bc@example.edu");
        assert!(managed.is_at("zoe@example.edu") && person("zoe@example.edu").is_at(&managed.email));
        assert!(
            person("zoe+clw7k2f3p000108l4h2v9a1bc+x@example.edu").is_at("zoe+clw7k2f3p000108l4h2v9a1bc+X@example.edu")
        );
        for other in ["max@example.edu", "zoe@example.org", "zoe+mentor@example.edu", "", "@", "+@", "zoe"] {
            assert!(!managed.is_at(other), "{other}");
        }
        assert!(!person("zoe+mentor@example.edu").is_at("zoe@example.edu"), "a tag of her own is another address");
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter_unless_it_is_called_off_in_two_ways(
            facts in prop::collection::vec(prop::sample::select(BookingStatus::ALL), 1..6),
        ) {
            let end = |facts: &[BookingStatus]| facts.iter().skip(1).fold(facts[0], |known, &fact| known.learn(fact));
            let forwards = end(&facts);
            let backwards = end(&facts.iter().rev().copied().collect::<Vec<_>>());
            assert!(forwards == backwards || !(forwards.is_live() || backwards.is_live()), "{forwards} {backwards}");
            assert_eq!(forwards.learn(forwards), forwards);
        }
    }
}
