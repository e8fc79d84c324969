//! Bookings: what we know of the calendar at Cal.com.

use serde::{Deserialize, Serialize};

use crate::model::id::{BookingId, PaymentId};
use crate::model::time::Timestamp;
use crate::model::words;

words! {
    /// Where a booking stands at Cal.com.
    BookingStatus, "booking status" {
        /// Waits for the mentor's confirmation.
        Pending => "pending",
        /// Holds.
        Accepted => "accepted",
        /// Called off.
        Cancelled => "cancelled",
        /// Declined by the mentor.
        Rejected => "rejected",
    }
}

impl BookingStatus {
    /// Whether it occupies the calendar.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Accepted)
    }
}

/// A booking as Cal.com describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBooking {
    /// Cal.com's key, stable until the booking is rescheduled.
    pub uid: String,
    /// Cal.com's number.
    pub cal_id: i64,
    /// Where it stands.
    pub status: BookingStatus,
    /// Cal.com's event type.
    pub event_type_id: i64,
    /// When it begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// What it is called.
    pub title: String,
    /// Where to meet.
    pub meeting_url: Option<String>,
    /// Where to write to the mentor.
    #[serde(default)]
    pub host_email: Option<String>,
}

/// A booking as we keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// Our id.
    pub id: BookingId,
    /// The payment it fulfils.
    pub payment: Option<PaymentId>,
    /// What Cal.com says.
    #[serde(flatten)]
    pub facts: NewBooking,
    /// When we first heard of it.
    pub created_at: Timestamp,
    /// When we last heard of it.
    pub updated_at: Timestamp,
}
