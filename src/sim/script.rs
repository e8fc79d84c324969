//! What is going to happen, as values: drawn from a seed, and so that any part can be left out.

use std::time::Duration;

use crate::sandbox::fault::{Effect, Fault, Provider};

/// Milliseconds.
pub(super) const MINUTE: u64 = 60_000;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// Whose address a provider names in a refusal.
pub(super) const STRANGER: &str = "max@example.edu";

/// A refusal that no provider has a word for.
pub(super) fn refusal() -> Effect {
    Effect::Refuse { status: 418, code: "teapot".to_owned(), message: format!("no, says {STRANGER}") }
}

/// From this seed on some sessions are moved twice, and Stripe tells of transfers. Those before are to stay what they were.
pub(super) const RICHER: u64 = 20_000;

/// From this seed on what people do takes more turns in every third, and lists of Cal.com's are behind.
pub(super) const TURNS: u64 = 60_000;

/// From this seed on every odd multiple of three is of the second round.
pub(super) const SECOND_ROUND: u64 = 80_000;

/// From this seed on every fifth has news of live money.
pub(super) const LIVE_NEWS: u64 = 90_000;

/// From this seed on several things become of one session: moved and called off, missed and refunded, one right after the other.
pub(super) const MINGLED: u64 = 1_000_000;

/// From this seed on three turns of the first round come in one history.
pub(super) const TOGETHER: u64 = 2_000_000;

/// From this seed on five do, and two of the second round.
pub(super) const CROWDED: u64 = 3_000_000;

/// How much goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Nothing but what people do.
    Fair,
    /// A fault or two.
    Light,
    /// One thing after another.
    Heavy,
}

/// What a script is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// How many sessions are paid for.
    pub payments: u32,
    /// After how many hours nothing goes wrong any more.
    pub hours: u32,
    /// How much goes wrong until then.
    pub weather: Weather,
    /// The safeguard that is taken out.
    #[cfg(feature = "mutants")]
    pub mutant: Option<crate::mutant::Mutant>,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            payments: 3,
            hours: 48,
            weather: Weather::Heavy,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }
}

/// What is bought, and how it is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paid {
    /// At once.
    AtOnce,
    /// By a delayed method that pays after so many milliseconds.
    Later(u64),
    /// By a delayed method that does not pay.
    Never(u64),
    /// Nothing was due.
    Free,
    /// At once, and the metadata cannot be used.
    Unusable,
    /// Never completed.
    Expired,
}

/// One purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// Which of the script's.
    pub number: usize,
    /// How it is paid.
    pub paid: Paid,
    /// Words in the customer's address that steer the sandbox.
    pub tags: Vec<&'static str>,
    /// Whether the platform's share is an application fee.
    pub fee: bool,
    /// When the session begins, milliseconds after it is bought.
    pub ahead: u64,
}

/// What people and providers do by themselves about the purchase of this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// The application calls the checkout off.
    CheckoutCancelled,
    /// The customer's bank asks the money back.
    Disputed,
    /// It loses.
    DisputeWon,
    /// It wins.
    DisputeLost,
    /// Somebody pays back in Stripe's dashboard, the whole or a part.
    RefundedInDashboard {
        /// Minor units.
        amount: i64,
    },
    /// A refund that Stripe had accepted fails.
    RefundFails,
    /// A refund that was pending is paid.
    RefundSettles,
    /// The mentor calls the session off.
    MentorCancels,
    /// The customer does.
    AttendeeCancels,
    /// The mentor declines.
    MentorDeclines,
    /// The session gets another time.
    Rescheduled,
    /// It begins.
    Begins,
    /// It ends.
    Ends,
    /// The mentor does not come.
    HostAbsent,
    /// Somebody else takes the slot before it is booked.
    SlotTaken,
    /// Stripe tells of the mentor's account.
    AccountTold,
    /// The mentor is paid out.
    PaidOut,
    /// The mentor's bank sends that back.
    PayoutFails,
    /// The customer is new to the application.
    SignedUp,
    /// Somebody books a second session for it.
    BookedAgain,
    /// The same is sold for real money, and Stripe tells us of it.
    SoldLive,
}

/// What an operator orders about the purchase of this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// All that is left, and whether the session is called off.
    Refund {
        /// Whether the session is called off too.
        cancel_booking: bool,
    },
    /// A part.
    RefundPart {
        /// Minor units.
        amount: i64,
        /// Whether the session is called off too.
        cancel_booking: bool,
    },
    /// The newest run that is not at its end.
    Cancel,
    /// The newest run that failed or was cancelled.
    Retry,
    /// The newest open case, as settled elsewhere.
    Resolve,
    /// The newest open case about the session, which takes place.
    LetStand,
    /// Stops Stripe for so many milliseconds.
    PauseProvider {
        /// For how many.
        millis: u64,
    },
    /// Stops a workflow.
    PauseWorkflow {
        /// Which.
        name: &'static str,
        /// For how many milliseconds.
        millis: u64,
    },
}

/// What becomes of a process at one of its boundaries: before or after one of its commits or calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// It is gone, and comes back after so many milliseconds.
    Crash {
        /// How long it is down.
        down: u64,
    },
    /// It stands still for so many milliseconds, and goes on as if nothing had been.
    Freeze {
        /// For how long.
        millis: u64,
    },
    /// The commit fails, as on a full disk, or is carried out and not known to be.
    Commit,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Somebody buys.
    Buy(Purchase),
    /// Something comes of a purchase.
    Happen(usize, Deed),
    /// An operator acts.
    Order(usize, Command),
    /// Some requests to a provider go wrong.
    Fault(Fault),
    /// All of them do, for so many milliseconds.
    Outage(Fault, u64),
    /// A process meets with something at its boundary of this number.
    Blow {
        /// Which process.
        process: usize,
        /// At which of its boundaries.
        boundary: u64,
        /// What.
        blow: Blow,
    },
    /// Whichever process comes there meets with something.
    Strike {
        /// `before` or `after`.
        when: &'static str,
        /// Which commit.
        verb: &'static str,
        /// How often it is passed unharmed first.
        skip: u32,
        /// What.
        blow: Blow,
    },
    /// A process's clock is wrong for a while.
    Skew {
        /// Which process.
        process: usize,
        /// By how many milliseconds.
        by: i64,
        /// For how many.
        millis: u64,
    },
    /// Nothing can be written for so many milliseconds.
    DiskFull(u64),
    /// Whatever Stripe or Cal.com sends for so many milliseconds is lost.
    Deaf(Provider, u64),
    /// An operator has people told that nothing is wrong.
    TestAlert,
    /// A process is stopped and started with another version of the workflows.
    Deploy {
        /// Which process.
        process: usize,
        /// Which version: see `sim::version`.
        version: usize,
    },
}

/// An act and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Milliseconds after the beginning.
    pub at: u64,
    /// What happens.
    pub act: Act,
}

/// Settings that are swept over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// How long a lease lasts.
    pub lease: Duration,
    /// When is first looked for a late booking.
    pub settle_after: Duration,
    /// For how long is looked.
    pub settle_for: Duration,
    /// How long a mentor's share waits.
    pub dispute_period: Duration,
    /// Whether what is called off is paid back without asking.
    pub refund_called_off: bool,
    /// Whether everything that is scheduled runs all the time, and not only at the end.
    pub schedules: bool,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            settle_after: Duration::from_secs(300),
            settle_for: Duration::from_hours(48),
            dispute_period: Duration::from_hours(72),
            refund_called_off: true,
            schedules: false,
        }
    }
}

/// A whole history to be gone through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What it was drawn from; everything else that is left to chance is, too.
    pub seed: u64,
    /// When nothing goes wrong any more, milliseconds after the beginning.
    pub calm_at: u64,
    /// Whether deliveries may go wrong.
    pub weather: Weather,
    /// How many processes work.
    pub processes: usize,
    /// The settings.
    pub sweep: Sweep,
    /// What happens, by time.
    pub items: Vec<Item>,
}

/// Each provider's operations that are struck by faults.
pub const OPERATIONS: [(Provider, &str); 14] = [
    (Provider::Posthog, "capture"),
    (Provider::Cal, "bookings.create"),
    (Provider::Cal, "bookings.list"),
    (Provider::Cal, "bookings.cancel"),
    (Provider::Cal, "bookings.mark_absent"),
    (Provider::Stripe, "payment_intents.get"),
    (Provider::Stripe, "refunds.create"),
    (Provider::Stripe, "refunds.list"),
    (Provider::Stripe, "events.list"),
    (Provider::Stripe, "transfers.create"),
    (Provider::Stripe, "transfers.list"),
    (Provider::Mail, "emails.send"),
    (Provider::Alert, "alerts.post"),
    READ_BACK,
];

/// What is read where Cal.com does not call a booking off. It came later than the others, whose draws are to stay what they were.
pub(super) const READ_BACK: (Provider, &str) = (Provider::Cal, "bookings.get");

/// Those that faults are drawn for by chance, and in the first round.
pub(super) fn first_operations() -> &'static [(Provider, &'static str)] {
    OPERATIONS.split_last().map_or(&[], |(_, first)| first)
}
