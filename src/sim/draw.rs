//! Draws a script from its seed.

use std::time::Duration;

use crate::entropy::Entropy;
use crate::sandbox::fault::Provider;
use crate::sandbox::fault::{Effect, Fault};
use crate::sim::round::Turn;
use crate::sim::script::{
    Act, Blow, Command, DAY, Deed, HOUR, Item, LIVE_NEWS, MINGLED, MINUTE, Paid, Purchase, RICHER, Scope, Script,
    Sweep, TURNS, Weather, first_operations, refusal,
};
use crate::workflow::backfill::FIRST_TIME;

impl Script {
    /// What this seed stands for.
    pub fn draw(seed: u64, scope: &Scope) -> Self {
        let turns = Turn::of(seed);
        if turns.is_empty() || scope.weather != Weather::Heavy || scope.payments == 0 {
            return Self::by_chance(seed, scope);
        }
        let others = Scope { payments: scope.payments / 2, weather: Weather::Light, ..*scope };
        let chance = Chance::of(!seed);
        turns.into_iter().fold(Self::by_chance(seed, &others), |script, turn| turn.add_to(script, &chance))
    }

    fn by_chance(seed: u64, scope: &Scope) -> Self {
        let chance = Chance::of(seed);
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
        if seed >= RICHER {
            items.extend(Chance::of(seed ^ RICHER).second_moves(&items));
        }
        if seed >= TURNS && seed.is_multiple_of(3) {
            items.extend(Chance::of(seed ^ TURNS).turns(&items));
        }
        if seed >= MINGLED {
            items.extend(Chance::of(seed ^ MINGLED).mingled(&items));
        }
        if seed >= LIVE_NEWS && seed.is_multiple_of(5) {
            let bought = items.iter().filter(|item| matches!(item.act, Act::Buy(_)));
            let sold = Act::Happen(0, Deed::SoldLive);
            items.extend(bought.map(|item| item.at + HOUR).min().map(|at| Item { at, act: sold }));
        }
        items.retain(|item| item.at < calm_at || matches!(item.act, Act::Happen(..)));
        // What comes of a purchase at once comes after it.
        items.sort_by_key(|item| (item.at, !matches!(item.act, Act::Buy(_))));
        let mut sweep = chance.sweep(scope.weather);
        // What was lost longer ago than that is not looked for by schedules that begin with the calm.
        sweep.schedules |= Duration::from_hours(scope.hours.into()) > FIRST_TIME;
        Self { seed, calm_at, weather: scope.weather, processes: 2, sweep, items }
    }
}

/// A provider that is stopped for a while.
const PAUSE: Command = Command::PauseProvider { millis: 30 * MINUTE };

/// Draws.
pub(super) struct Chance(Entropy);

impl Chance {
    fn of(seed: u64) -> Self {
        Self(Entropy::seeded(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x00D1_5C0E))
    }

    pub(super) fn below(&self, end: u64) -> u64 {
        self.0.below(end)
    }

    fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    fn percent(&self, of: u64) -> bool {
        self.below(100) < of
    }

    pub(super) fn between(&self, from: u64, to: u64) -> u64 {
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
                _ => Command::RefundPart { amount: 1500, cancel_booking: false },
            };
            order(after, command);
            if self.percent(50) {
                order(after + self.below(3000), command);
            }
        }
        for (command, percent) in [(Command::Cancel, 7), (Command::Retry, 12), (Command::Resolve, 6), (PAUSE, 3)] {
            if self.percent(percent) {
                let soon = command == Command::Cancel && self.percent(60);
                order(if soon { self.below(MINUTE) } else { self.below(DAY) }, command);
            }
        }
    }

    fn second_moves(&self, items: &[Item]) -> Vec<Item> {
        let moves = items.iter().filter(|item| matches!(item.act, Act::Happen(_, Deed::Rescheduled)));
        let again = moves.filter(|_| self.percent(40));
        again.map(|item| Item { at: item.at + self.between(MINUTE, DAY), act: item.act.clone() }).collect()
    }

    /// What comes on top of what people do, and what they do besides.
    fn turns(&self, items: &[Item]) -> Vec<Item> {
        let mut turns = Vec::new();
        let mut add = |at: u64, act: Act| turns.push(Item { at, act });
        for item in items {
            match &item.act {
                Act::Happen(number, Deed::RefundedInDashboard { amount: 1500 }) if self.percent(40) => {
                    let amount = self.pick(&[100, 1500, 2500]).unwrap_or(100);
                    add(item.at + self.below(HOUR), Act::Happen(*number, Deed::RefundedInDashboard { amount }));
                }
                Act::Happen(number, Deed::Disputed) if self.percent(30) => {
                    add(item.at + self.between(HOUR, DAY), Act::Happen(*number, Deed::DisputeLost));
                }
                Act::Order(number, Command::RefundPart { .. }) if self.percent(30) => {
                    let part = Command::RefundPart { amount: 1000, cancel_booking: true };
                    add(item.at + self.below(HOUR), Act::Order(*number, part));
                }
                Act::Buy(purchase) => {
                    if self.percent(10) {
                        let at = item.at + self.between(MINUTE, 2 * DAY);
                        add(at, Act::Order(purchase.number, Command::LetStand));
                    }
                    if self.percent(10) {
                        let behind = Effect::Behind { millis: self.below(MINUTE) };
                        let fault = Fault::new(Provider::Cal, behind).on("bookings.list").times(4);
                        add(item.at, Act::Fault(fault));
                    }
                }
                _ => {}
            }
        }
        turns
    }

    /// What comes together of one purchase, and is heard of late.
    fn mingled(&self, items: &[Item]) -> Vec<Item> {
        let refund = |cancel_booking| Command::Refund { cancel_booking };
        let part = |cancel_booking| Command::RefundPart { amount: 1500, cancel_booking };
        let mut mingled = Vec::new();
        for item in items {
            let Act::Buy(purchase) = &item.act else { continue };
            if !self.percent(40) {
                continue;
            }
            let happen = |deed| Act::Happen(purchase.number, deed);
            let order = |command| Act::Order(purchase.number, command);
            let begins = item.at + purchase.ahead;
            let mut at = item.at + self.between(MINUTE, purchase.ahead);
            for _ in 0..self.between(2, 5) {
                let act = match self.between(if at < begins { 0 } else { 48 }, 100) {
                    0..26 => happen(Deed::Rescheduled),
                    26..34 => happen(Deed::MentorCancels),
                    34..40 => happen(Deed::AttendeeCancels),
                    40..44 => happen(Deed::MentorDeclines),
                    44..48 => happen(Deed::BookedAgain),
                    48..54 => happen(Deed::RefundedInDashboard { amount: 5000 }),
                    54..60 => happen(Deed::RefundedInDashboard { amount: 1500 }),
                    60..63 => happen(Deed::Disputed),
                    63..65 => happen(Deed::DisputeWon),
                    65..70 => happen(Deed::RefundFails),
                    70..75 => order(refund(true)),
                    75..78 => order(refund(false)),
                    78..81 => order(part(true)),
                    81..83 => order(part(false)),
                    83..87 => order(Command::Cancel),
                    87..91 => order(Command::Retry),
                    91..95 => order(Command::Resolve),
                    _ => order(Command::LetStand),
                };
                mingled.push(Item { at, act });
                at += if self.percent(50) { self.below(2 * MINUTE) } else { self.below(DAY) };
            }
            if self.percent(30) {
                // However often it was moved by an hour.
                mingled.push(Item { at: begins + self.between(4 * HOUR, 6 * HOUR), act: happen(Deed::HostAbsent) });
            }
            if self.percent(30) {
                let deaf = Act::Deaf(Provider::Cal, self.between(HOUR, 30 * HOUR));
                mingled.push(Item { at: item.at + self.below(purchase.ahead), act: deaf });
            }
        }
        mingled
    }

    fn fault(&self, near: u64, calm_at: u64) -> Option<Item> {
        let process = self.index(2);
        let soon = near + self.below(5 * MINUTE);
        let (at, act) = match self.below(100) {
            0..40 => (0, Act::Fault(self.provider_fault()?)),
            40..48 => {
                let (provider, _) = self.pick(first_operations())?;
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
            self.pick(first_operations())?
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
            _ => refusal(),
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
