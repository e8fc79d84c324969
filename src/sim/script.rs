//! What is going to happen, as values: drawn from a seed, and so that any part can be left out.

use std::time::Duration;

use crate::entropy::Entropy;
use crate::sandbox::fault::{Effect, Fault, Provider};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

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
    },
    /// The newest run that is not at its end.
    Cancel,
    /// The newest run that failed or was cancelled.
    Retry,
    /// The newest open case, as settled elsewhere.
    Resolve,
    /// Stops a provider for a while.
    PauseProvider,
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

/// Each provider's operations that faults are drawn for.
pub const OPERATIONS: [(Provider, &str); 13] = [
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
];

impl Script {
    /// What this seed stands for.
    pub fn draw(seed: u64, scope: &Scope) -> Self {
        let chance = Chance(Entropy::seeded(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x00D1_5C0E));
        let calm_at = u64::from(scope.hours) * HOUR;
        let mut items = Vec::new();
        let mut bought = Vec::new();
        for number in 0..scope.payments as usize {
            let at = chance.below((calm_at / 4).max(1));
            bought.push(at);
            let purchase = chance.purchase(number, scope.weather);
            chance.consequences(&mut items, &purchase, at, scope.weather);
            items.push(Item { at, act: Act::Buy(purchase) });
        }
        let faults = match scope.weather {
            Weather::Fair => 0,
            Weather::Light => 1 + chance.below(2),
            Weather::Heavy => 3 + chance.below(6),
        };
        for _ in 0..faults {
            let near = bought.get(chance.index(bought.len())).copied().unwrap_or(0);
            items.extend(chance.fault(near, calm_at));
        }
        items.retain(|item| item.at < calm_at || matches!(item.act, Act::Happen(..)));
        items.sort_by_key(|item| item.at);
        Self { seed, calm_at, weather: scope.weather, processes: 2, sweep: chance.sweep(scope.weather), items }
    }
}

/// Draws.
struct Chance(Entropy);

impl Chance {
    fn below(&self, end: u64) -> u64 {
        self.0.below(end)
    }

    fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    fn percent(&self, of: u64) -> bool {
        self.below(100) < of
    }

    fn between(&self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    fn pick<T: Clone>(&self, from: &[T]) -> Option<T> {
        from.get(self.index(from.len())).cloned()
    }

    fn purchase(&self, number: usize, weather: Weather) -> Purchase {
        let paid = match self.below(100) {
            0..70 => Paid::AtOnce,
            70..78 => Paid::Later(self.between(HOUR, 30 * HOUR)),
            78..83 => Paid::Never(self.between(HOUR, 30 * HOUR)),
            83..88 => Paid::Free,
            88..93 => Paid::Unusable,
            _ => Paid::Expired,
        };
        let mut tags = Vec::new();
        let often = if weather == Weather::Fair { 5 } else { 22 };
        for (tag, percent) in
            [("cal-refused", often), ("refund-pending", 10), ("refund-refused", 4), ("share-later", 40)]
        {
            if self.percent(percent) {
                tags.push(tag);
            }
        }
        let ahead = if self.percent(8) { self.between(5 * MINUTE, 3 * HOUR) } else { self.between(3 * HOUR, 2 * DAY) };
        Purchase { number, paid, tags, fee: self.percent(30), ahead }
    }

    /// What people do about a purchase.
    fn consequences(&self, items: &mut Vec<Item>, purchase: &Purchase, at: u64, weather: Weather) {
        let number = purchase.number;
        let mut happen = |after: u64, deed: Deed| items.push(Item { at: at + after, act: Act::Happen(number, deed) });
        if self.percent(12) {
            happen(self.below(10 * MINUTE), Deed::CheckoutCancelled);
        }
        if self.percent(6) {
            let after = self.between(MINUTE, DAY);
            happen(after, Deed::Disputed);
            if self.percent(50) {
                happen(after + self.between(HOUR, DAY), Deed::DisputeWon);
            }
        }
        if self.percent(8) {
            let amount = if self.percent(50) { 5000 } else { 1500 };
            happen(self.between(1000, DAY), Deed::RefundedInDashboard { amount });
        }
        if self.percent(8) {
            happen(self.between(10 * MINUTE, 2 * DAY), Deed::RefundFails);
        } else if purchase.tags.contains(&"refund-pending") {
            happen(self.between(10 * MINUTE, DAY), Deed::RefundSettles);
        }
        if weather != Weather::Fair && self.percent(4) {
            happen(0, Deed::SlotTaken);
        }
        let before = self.between(MINUTE, purchase.ahead);
        match self.below(100) {
            0..8 => happen(before, Deed::MentorCancels),
            8..12 => happen(before, Deed::AttendeeCancels),
            12..16 => happen(before, Deed::MentorDeclines),
            16..22 => happen(before, Deed::Rescheduled),
            22..34 => {
                happen(purchase.ahead, Deed::Begins);
                happen(purchase.ahead + 30 * MINUTE, Deed::Ends);
            }
            34..42 => happen(purchase.ahead + 20 * MINUTE, Deed::HostAbsent),
            _ => {}
        }
        let mut order = |after: u64, command| items.push(Item { at: at + after, act: Act::Order(number, command) });
        if self.percent(22) {
            let after = if self.percent(50) { self.below(2 * MINUTE) } else { self.below(DAY) };
            let command = match self.below(10) {
                0..6 => Command::Refund { cancel_booking: true },
                6..7 => Command::Refund { cancel_booking: false },
                _ => Command::RefundPart { amount: 1500 },
            };
            order(after, command);
            if self.percent(50) {
                order(after + self.below(3000), command);
            }
        }
        for (command, percent) in
            [(Command::Cancel, 7), (Command::Retry, 12), (Command::Resolve, 6), (Command::PauseProvider, 3)]
        {
            if self.percent(percent) {
                let soon = command == Command::Cancel && self.percent(60);
                order(if soon { self.below(MINUTE) } else { self.below(DAY) }, command);
            }
        }
    }

    fn fault(&self, near: u64, calm_at: u64) -> Option<Item> {
        let process = self.index(2);
        let soon = near + self.below(5 * MINUTE);
        let (at, act) = match self.below(100) {
            0..40 => (0, Act::Fault(self.provider_fault()?)),
            40..48 => {
                let (provider, _) = self.pick(&OPERATIONS)?;
                let effect = self.pick(&[
                    Effect::ErrorBefore { status: 503 },
                    Effect::DropBefore,
                    Effect::HangBefore,
                    Effect::RateLimited { retry_after_secs: 30 },
                    Effect::ErrorBefore { status: 401 },
                ])?;
                let most = (calm_at.saturating_sub(near)).clamp(MINUTE, 30 * HOUR);
                (near.saturating_sub(self.below(MINUTE)), Act::Outage(Fault::new(provider, effect), self.below(most)))
            }
            48..66 => {
                let down =
                    if self.percent(80) { self.between(500, 3 * MINUTE) } else { self.between(MINUTE, 5 * HOUR) };
                (0, Act::Blow { process, boundary: self.below(160), blow: Blow::Crash { down } })
            }
            66..78 => {
                let millis = self.between(20_000, 15 * MINUTE);
                (0, Act::Blow { process, boundary: self.below(160), blow: Blow::Freeze { millis } })
            }
            78..84 => (0, Act::Blow { process, boundary: self.below(160), blow: Blow::Commit }),
            84..90 => {
                let by = i64::try_from(self.below(4 * HOUR)).unwrap_or(0) - 2 * 3_600_000;
                (soon.saturating_sub(4 * MINUTE), Act::Skew { process, by, millis: self.between(MINUTE, 6 * HOUR) })
            }
            90..95 => (soon, Act::DiskFull(self.between(500, 20 * MINUTE))),
            _ => (soon, Act::Deploy { process, version: self.index(2) + 1 }),
        };
        Some(Item { at, act })
    }

    fn provider_fault(&self) -> Option<Fault> {
        // What money hangs on more often than the rest.
        let (provider, operation) = if self.percent(50) {
            self.pick(&[
                (Provider::Cal, "bookings.create"),
                (Provider::Cal, "bookings.list"),
                (Provider::Stripe, "refunds.create"),
                (Provider::Stripe, "refunds.list"),
                (Provider::Stripe, "transfers.create"),
            ])?
        } else {
            self.pick(&OPERATIONS)?
        };
        let effect = match self.below(12) {
            0 => Effect::ErrorBefore { status: 500 },
            1 | 2 => Effect::ErrorAfter { status: 500 },
            3 => Effect::ErrorBefore { status: 503 },
            4 => Effect::DropBefore,
            5 => Effect::DropAfter,
            6 => Effect::HangBefore,
            7 => Effect::HangAfter,
            8 => Effect::RateLimited { retry_after_secs: self.below(120) },
            // Long after the caller has stopped waiting.
            9 | 10 => Effect::Slow { millis: self.between(25_000, 2 * HOUR) },
            _ => Effect::Refuse { status: 418, code: "teapot".to_owned(), message: "no".to_owned() },
        };
        let times = if self.percent(60) { 1 } else { 1 + self.index(8) };
        let skip = self.index(3);
        let (times, skip) = (u32::try_from(times).unwrap_or(1), u32::try_from(skip).unwrap_or(0));
        Some(Fault::new(provider, effect).on(operation).times(times).skip(skip))
    }

    fn sweep(&self, weather: Weather) -> Sweep {
        if weather == Weather::Fair {
            return Sweep::default();
        }
        Sweep {
            lease: Duration::from_secs(self.pick(&[60, 60, 20]).unwrap_or(60)),
            settle_after: Duration::from_secs(self.pick(&[300, 300, 60]).unwrap_or(300)),
            settle_for: Duration::from_hours(if self.percent(5) { 48 } else { 4 }),
            dispute_period: Duration::from_hours(self.pick(&[1, 24]).unwrap_or(72)),
            refund_called_off: self.percent(60),
            schedules: self.percent(2),
        }
    }
}
