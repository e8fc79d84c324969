//! Safeguards that can be taken out, to show that the simulation sees what each of them guards against. That takes the feature
//! `mutants`: without it nothing here is in the program.

use crate::model::words;

words! {
    /// A safeguard.
    Mutant, "safeguard" {
        /// An event that comes again is known by its sender's id.
        Dedupe => "dedupe",
        /// A write names the newest token of its run.
        Fence => "fence",
        /// A refund's request is recorded before it leaves.
        RefundRecord => "refund-record",
        /// After an unknown answer Stripe is read before a refund is asked for again.
        RefundLookUp => "refund-look-up",
        /// A key that Stripe may have forgotten is not relied on.
        KeyExpiry => "key-expiry",
        /// Cal.com is read before a booking is asked for again.
        BookingLookUp => "booking-look-up",
        /// Cal.com is read before a booking is called failed.
        CompensationLookUp => "compensation-look-up",
        /// A booking that turns up after the refund is called off.
        SettleCheck => "settle-check",
        /// A booking that Cal.com does not call off is looked at before anybody is told that it stands.
        CancelLookUp => "cancel-look-up",
        /// A refund asks for the fee back only where there is one.
        FeeFlag => "fee-flag",
        /// A refund takes the mentor's share back only where it moved.
        ShareFlag => "share-flag",
        /// No share moves for what is refunded or disputed.
        ShareChecks => "share-checks",
        /// Before a share moves, Stripe is asked whether the charge is refunded or disputed.
        ChargeLookUp => "charge-look-up",
        /// After an unknown answer Stripe is read before a share is moved again.
        ShareLookUp => "share-look-up",
        /// What may have happened is not taken for a failure.
        Unknown => "unknown",
        /// An event is acknowledged after its commit.
        Commit => "commit",
        /// Who cancels a run while money is taken has a case opened.
        CancelCase => "cancel-case",
        /// An operator's refund that is there is not made again.
        RefundGuard => "refund-guard",
        /// An event and its runs are one commit.
        OneCommit => "one-commit",
        /// A case tells a person.
        CaseAlert => "case-alert",
        /// A refund that fails after it was accepted opens a case.
        LateFailure => "late-failure",
        /// Who has money back while the mentor keeps the share has a case opened.
        ShareCase => "share-case",
        /// An operator's refund that is to call the session off does so.
        CallOff => "call-off",
        /// What a delayed method pays in the end is booked.
        LatePayment => "late-payment",
        /// A refund of a part is not the refund of the whole.
        PartIsNotWhole => "part-is-not-whole",
        /// Nothing is paid back by itself while the charge is disputed.
        DisputeGuard => "dispute-guard",
        /// A refund is asked for again with the key it was asked for with.
        SteadyKey => "steady-key",
        /// A provider is not asked again sooner than it says.
        RetryAfter => "retry-after",
        /// What Stripe lists and never sent is fetched.
        Backfill => "backfill",
        /// What the calendar shows and Cal.com never sent is fetched.
        CalendarBackfill => "calendar-backfill",
        /// News that are older than what is known change nothing.
        LatestStatus => "latest-status",
        /// A second session for one payment has a case opened.
        SecondBooking => "second-booking",
        /// A letter is sent again with the key it was sent with.
        LetterKey => "letter-key",
        /// An error that people read says nothing of a customer.
        Redaction => "redaction",
        /// News of a refund that are older than what is known change nothing.
        RefundOrder => "refund-order",
        /// What is of the other mode is kept, and not acted on.
        Mode => "mode",
        /// A dispute has a case opened.
        DisputeCase => "dispute-case",
    }
}

#[cfg(feature = "mutants")]
thread_local! {
    static OUT: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Takes a safeguard out, on this thread.
#[cfg(feature = "mutants")]
pub fn take_out(mutant: Option<Mutant>) {
    OUT.set(mutant);
}

/// Whether this safeguard is out.
#[cfg(feature = "mutants")]
pub(crate) fn is_out(mutant: Mutant) -> bool {
    OUT.get() == Some(mutant)
}

/// No safeguard is ever out.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is_out(_: Mutant) -> bool {
    false
}
