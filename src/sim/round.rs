//! The round: every second seed, each in its turn, has one fault strike one operation, or one blow one commit, in a story that is sure to
//! come there. What chance would show once in ten thousand histories is so seen in every campaign. The second round, of what was thought of
//! later, is gone through by seeds that the first leaves to chance.

use std::time::Duration;

use crate::sandbox::fault::{Effect, Fault, Provider};
use crate::sim::draw::Chance;
use crate::sim::script::{
    Act, Blow, CROWDED, Command, Deed, HOUR, Item, MINUTE, Paid, Purchase, READ_BACK, SECOND_ROUND, Script, TOGETHER,
    first_operations, refusal,
};

/// Seeds before these are all drawn by chance: those that once broke a rule are to stay what they were.
const FIRST: u64 = 2000;

/// Commits that blows strike.
pub(super) const VERBS: [&str; 10] = [
    "ingest",
    "claim",
    "record",
    "suspend",
    "finish",
    "write",
    "intend_refund",
    "intend_transfer",
    "renew",
    "put_back",
];

/// Calls that move money or sessions, at which processes are gone in the second round.
pub(super) const CALLS: [&str; 4] =
    ["POST /cal/…/bookings", "POST /cal/…/bookings/…/cancel", "POST /stripe/…/refunds", "POST /stripe/…/transfers"];

/// What a fault does to an operation, by name: see [`effect`].
pub(super) const EFFECTS: [&str; 9] = [
    "error_before",
    "error_after",
    "drop_before",
    "drop_after",
    "hang_before",
    "hang_after",
    "slow",
    "rate_limited",
    "refuse",
];

pub(super) const BLOWS: [&str; 3] = ["crash", "freeze", "commit"];
pub(super) const WHEN: [&str; 2] = ["before", "after"];

/// Stories of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Story {
    /// More than a day lies between two tries of a refund: Stripe has forgotten its key.
    RefundKeyForgotten,
    /// The same of a mentor's share.
    ShareKeyForgotten,
    /// Stripe has kept a 500 under a refund's key, and nothing was done.
    RefundErrorKept,
    /// A mentor who is said to have been absent was there, and an operator says so.
    LetStand,
    /// Stripe takes its time for a part that an operator pays back, and carries it out all the same.
    PartIsSlow,
    /// Somebody books a second session for the same payment.
    BookedAgain,
    /// The disk is full when a step is to be tried again.
    DiskFull,
    /// A dispute is lost.
    DisputeLost,
    /// Stripe has accepted a part that an operator pays back, and does not settle it.
    PartIsPending,
}

const STORIES: [Story; 3] = [Story::RefundKeyForgotten, Story::ShareKeyForgotten, Story::RefundErrorKept];

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    Fault { provider: Provider, operation: &'static str, effect: &'static str },
    Blow { when: &'static str, verb: &'static str, blow: &'static str },
    Story(Story),
}

impl Turn {
    /// The turns of this seed, if it is of a round: one, or several that are far from each other.
    pub(super) fn of(seed: u64) -> Vec<Self> {
        let nth = |all: &[Self], nth: u64| all.get(usize::try_from(nth).unwrap_or(0) % all.len()).copied();
        let (of_first, of_second) = match seed {
            ..TOGETHER => (1, 1),
            TOGETHER..CROWDED => (3, 1),
            _ => (5, 2),
        };
        let far = |all: &[Self], from: u64, most: u64| -> Vec<Self> {
            (0..most).filter_map(|further| nth(all, from + further * (all.len() as u64 / most))).collect()
        };
        if seed >= SECOND_ROUND && seed % 6 == 3 {
            return far(&Self::second(seed), seed / 6, of_second);
        }
        let turn = seed.checked_sub(FIRST).filter(|turn| turn.is_multiple_of(2));
        turn.map_or_else(Vec::new, |turn| far(&Self::all(), turn / 2, of_first))
    }

    fn all() -> Vec<Self> {
        let faults = first_operations().iter().flat_map(|&(provider, operation)| {
            EFFECTS.iter().map(move |&effect| Self::Fault { provider, operation, effect })
        });
        let blows = VERBS.iter().flat_map(|&verb| {
            WHEN.iter().flat_map(move |&when| BLOWS.iter().map(move |&blow| Self::Blow { when, verb, blow }))
        });
        faults.chain(blows).chain(STORIES.map(Self::Story)).collect()
    }

    /// What was thought of later.
    fn second(seed: u64) -> Vec<Self> {
        let (provider, operation) = READ_BACK;
        let faults = EFFECTS.iter().map(move |&effect| Self::Fault { provider, operation, effect });
        let crashes =
            CALLS.iter().flat_map(|&verb| WHEN.iter().map(move |&when| Self::Blow { when, verb, blow: "crash" }));
        let stories = [
            Story::LetStand,
            Story::PartIsSlow,
            Story::BookedAgain,
            Story::DiskFull,
            Story::DisputeLost,
            Story::PartIsPending,
        ];
        let known = match seed {
            ..TOGETHER => 3,
            TOGETHER..CROWDED => 5,
            _ => stories.len(),
        };
        let stories = &stories[..known];
        faults.chain(crashes).chain(stories.iter().copied().map(Self::Story)).collect()
    }

    /// The script with a story in which this happens.
    pub(super) fn add_to(self, mut script: Script, chance: &Chance) -> Script {
        let number = script.items.iter().filter(|item| matches!(item.act, Act::Buy(_))).count();
        let at = chance.between(MINUTE, script.calm_at / 8);
        let purchase = Purchase { number, paid: Paid::AtOnce, tags: Vec::new(), fee: false, ahead: 3 * HOUR };
        let mut told = Told { at, purchase, items: Vec::new(), script: &mut script };
        match self {
            Self::Fault { provider, operation, effect: name } => {
                told.come_to(operation);
                told.faulty(Fault::new(provider, effect(name, chance)).on(operation).times(1));
            }
            Self::Blow { when, verb, blow: name } => {
                told.come_to(verb);
                let skip = if matches!(verb, "record" | "claim" | "finish") { chance.below(12) } else { 0 };
                let (skip, blow) = (u32::try_from(skip).unwrap_or(0), blow(name, chance));
                told.items.push(Item { at: told.at, act: Act::Strike { when, verb, skip, blow } });
            }
            Self::Story(story) => told.tell(story),
        }
        let Told { at, purchase, items, .. } = told;
        script.items.extend(items);
        script.items.push(Item { at, act: Act::Buy(purchase) });
        script.items.sort_by_key(|item| (item.at, !matches!(item.act, Act::Buy(_))));
        script
    }
}

/// A story under way.
struct Told<'a> {
    /// When it begins.
    at: u64,
    purchase: Purchase,
    items: Vec<Item>,
    script: &'a mut Script,
}

impl Told<'_> {
    fn faulty(&mut self, fault: Fault) {
        self.items.push(Item { at: self.at, act: Act::Fault(fault) });
    }

    fn lost(&mut self, provider: Provider, operation: &str) {
        self.faulty(Fault::new(provider, Effect::DropBefore).on(operation).times(1));
    }

    fn order(&mut self, after: u64, command: Command) {
        self.items.push(Item { at: self.at + after, act: Act::Order(self.purchase.number, command) });
    }

    /// The share moves two hours after the session is over, if it is ours to move.
    fn share(&mut self) {
        self.purchase.tags.push("share-later");
        self.purchase.ahead = 2 * HOUR;
        self.script.sweep.dispute_period = Duration::from_hours(1);
    }

    /// Makes sure that this operation is asked for, or this commit made.
    fn come_to(&mut self, what: &str) {
        match what {
            "bookings.list" => self.lost(Provider::Cal, "bookings.create"),
            "bookings.cancel" | "POST /cal/…/bookings/…/cancel" => {
                self.order(10 * MINUTE, Command::Refund { cancel_booking: true });
            }
            "bookings.get" => {
                self.order(10 * MINUTE, Command::Refund { cancel_booking: true });
                // It has called the session off, and says so when it is asked again.
                self.faulty(Fault::new(Provider::Cal, Effect::DropAfter).on("bookings.cancel").times(1));
            }
            "bookings.mark_absent" => {
                let absent = Act::Happen(self.purchase.number, Deed::HostAbsent);
                self.items.push(Item { at: self.at + self.purchase.ahead + 20 * MINUTE, act: absent });
            }
            "payment_intents.get" | "refunds.create" | "write" | "intend_refund" | "POST /stripe/…/refunds" => {
                self.purchase.tags.push("cal-refused");
            }
            "refunds.list" => {
                self.purchase.tags.push("cal-refused");
                self.lost(Provider::Stripe, "refunds.create");
            }
            "events.list" => self.script.sweep.schedules = true,
            "transfers.create" | "intend_transfer" | "POST /stripe/…/transfers" => self.share(),
            "transfers.list" => {
                self.share();
                self.lost(Provider::Stripe, "transfers.create");
            }
            "alerts.post" => self.purchase.paid = Paid::Unusable,
            "suspend" => self.lost(Provider::Cal, "bookings.create"),
            "put_back" => {
                self.purchase.tags.push("cal-refused");
                self.order(0, Command::PauseProvider { millis: 2 * MINUTE });
            }
            "renew" => {
                self.script.sweep.lease = Duration::from_secs(20);
                self.faulty(Fault::new(Provider::Cal, Effect::HangBefore).on("bookings.create").times(1));
            }
            _ => {}
        }
    }

    fn tell(&mut self, story: Story) {
        let silent = |operation| Fault::new(Provider::Stripe, Effect::HangAfter).on(operation).times(1);
        let pause = |name| Command::PauseWorkflow { name, millis: 25 * HOUR };
        match story {
            Story::RefundKeyForgotten => {
                self.faulty(silent("refunds.create"));
                self.order(10 * MINUTE, Command::RefundPart { amount: 1500, cancel_booking: false });
                // Else Stripe's own word of it would come first.
                self.items.push(Item { at: self.at + 10 * MINUTE, act: Act::Deaf(Provider::Stripe, 26 * HOUR) });
                self.order(10 * MINUTE + 10_000, pause("refund-payment"));
            }
            Story::ShareKeyForgotten => {
                self.share();
                self.faulty(silent("transfers.create"));
                // The session lasts half an hour.
                self.order(self.purchase.ahead + 90 * MINUTE + 10_000, pause("transfer-to-mentor"));
            }
            Story::RefundErrorKept => {
                self.purchase.tags.push("cal-refused");
                let kept = Effect::Refuse { status: 500, code: String::new(), message: "an error".to_owned() };
                self.faulty(Fault::new(Provider::Stripe, kept).on("refunds.create").times(1));
            }
            Story::PartIsSlow => {
                let slow = Effect::Slow { millis: 20 * MINUTE };
                self.faulty(Fault::new(Provider::Stripe, slow).on("refunds.create").times(1));
                self.order(10 * MINUTE, Command::RefundPart { amount: 1500, cancel_booking: false });
            }
            Story::PartIsPending => {
                self.purchase.tags.push("refund-pending");
                self.order(10 * MINUTE, Command::RefundPart { amount: 1500, cancel_booking: false });
            }
            Story::BookedAgain => {
                let again = Act::Happen(self.purchase.number, Deed::BookedAgain);
                self.items.push(Item { at: self.at + HOUR, act: again });
            }
            Story::DiskFull => {
                self.faulty(Fault::new(Provider::Cal, Effect::HangBefore).on("bookings.create").times(1));
                self.items.push(Item { at: self.at + 5000, act: Act::DiskFull(MINUTE) });
            }
            Story::DisputeLost => {
                for (after, deed) in [(10 * MINUTE, Deed::Disputed), (HOUR, Deed::DisputeLost)] {
                    self.items.push(Item { at: self.at + after, act: Act::Happen(self.purchase.number, deed) });
                }
            }
            Story::LetStand => {
                self.script.sweep.refund_called_off = false;
                let absent = Act::Happen(self.purchase.number, Deed::HostAbsent);
                self.items.push(Item { at: self.at + self.purchase.ahead + 20 * MINUTE, act: absent });
                self.order(self.purchase.ahead + HOUR, Command::LetStand);
            }
        }
    }
}

fn effect(name: &str, chance: &Chance) -> Effect {
    match name {
        "error_before" => Effect::ErrorBefore { status: 503 },
        "error_after" => Effect::ErrorAfter { status: 500 },
        "drop_before" => Effect::DropBefore,
        "drop_after" => Effect::DropAfter,
        "hang_before" => Effect::HangBefore,
        "hang_after" => Effect::HangAfter,
        "slow" => Effect::Slow { millis: chance.between(25_000, 2 * HOUR) },
        "rate_limited" => Effect::RateLimited { retry_after_secs: chance.below(120) },
        _ => refusal(),
    }
}

fn blow(name: &str, chance: &Chance) -> Blow {
    match name {
        "crash" => Blow::Crash { down: chance.between(500, 3 * MINUTE) },
        "freeze" => Blow::Freeze { millis: chance.between(20_000, 15 * MINUTE) },
        _ => Blow::Commit,
    }
}
