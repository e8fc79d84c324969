//! Refunds, model-checked: every state that one refund can come to with a workflow and two operators at work on it, lost answers, stored
//! errors, keys that are forgotten, executors that lose the run, and refunds that fail late. The transitions and decisions are the
//! shipped ones ([`RefundStatus::learn`], [`RefundStatus::next_move`], [`Key::of`]); Stripe and the network are the model.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use discuno::model::idempotency::Key;
use discuno::model::refund::{Move, RefundFact, RefundStatus};
use discuno::model::time::Timestamp;

/// A workflow and two operators.
const EXECUTORS: usize = 3;
/// More keys than any path takes.
const KEYS: usize = 6;

/// How old the key of the present generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Age {
    Fresh,
    /// Nobody asks under it any more.
    Resting,
    /// An hour later; Stripe still knows it.
    Old,
    /// Stripe has forgotten it.
    Forgotten,
}

/// What Stripe keeps under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stored {
    Nothing,
    Answer,
    Error,
}

/// Where an executor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Executor {
    Idle,
    /// It has read Stripe and found this refund, or none.
    Looked(Option<usize>),
    /// It waits for the answer to the request of this generation.
    Asked(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// Our row; none before anybody wanted it.
    row: Option<(u8, usize, Age)>,
    /// Whose right to move the run it is.
    holder: usize,
    executors: [Executor; EXECUTORS],
    /// Requests that have left and not arrived.
    under_way: Vec<usize>,
    keys: [Stored; KEYS],
    /// Refunds at Stripe with our mark: pending, succeeded, failed.
    refunds: Vec<RefundFactCode>,
    case: bool,
    /// What may still go wrong.
    left: Left,
}

type RefundFactCode = u8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Left {
    losses: u8,
    errors: u8,
    takeovers: u8,
    failures: u8,
    /// How often a key grows old.
    days: u8,
}

fn status(code: u8) -> RefundStatus {
    RefundStatus::ALL[usize::from(code)]
}

fn code(status: RefundStatus) -> u8 {
    u8::try_from(RefundStatus::ALL.iter().position(|&one| one == status).unwrap()).unwrap()
}

fn fact(code: u8) -> RefundFact {
    match status(code) {
        RefundStatus::Succeeded => RefundFact::Succeeded,
        RefundStatus::Failed => RefundFact::Failed,
        _ => RefundFact::Pending,
    }
}

/// The shipped decision, on a key that is so old.
fn key(age: Age) -> Key {
    let hours = match age {
        Age::Fresh => 0,
        Age::Resting => 22,
        Age::Old => 23,
        Age::Forgotten => 25,
    };
    Key::of(Some(Timestamp(0)), Timestamp(0).plus(Duration::from_hours(hours)))
}

impl State {
    fn first() -> Self {
        Self {
            row: None,
            holder: 0,
            executors: [Executor::Idle; EXECUTORS],
            under_way: Vec::new(),
            keys: [Stored::Nothing; KEYS],
            refunds: Vec::new(),
            case: false,
            left: Left { losses: 1, errors: 1, takeovers: 2, failures: 1, days: 1 },
        }
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        change(&mut next);
        next
    }

    /// Takes a fact into the row, as the store does: what contradicts it changes nothing, what fails late opens a case.
    fn learn(&mut self, fact: RefundFact) {
        let Some((known, generation, age)) = self.row else { return };
        if let Ok(next) = status(known).learn(fact) {
            let accepted = matches!(status(known), RefundStatus::Pending | RefundStatus::Succeeded);
            self.case |= !next.holds_money() && (accepted || fact == RefundFact::Failed);
            self.row = Some((code(next), generation, age));
        }
    }

    /// Writes the request down under the lease, and lets it leave in the same moment.
    fn ask(&mut self, who: usize, renew: bool) {
        let Some((known, generation, age)) = self.row else { return };
        let Ok(next) = status(known).learn(RefundFact::Sent) else {
            self.executors[who] = Executor::Idle;
            return;
        };
        let first = status(known) == RefundStatus::Intended;
        let (generation, age) =
            if renew { (generation + 1, Age::Fresh) } else { (generation, if first { Age::Fresh } else { age }) };
        self.row = Some((code(next), generation, age));
        // The same request twice is answered the same: one stands for both.
        if !self.under_way.contains(&generation) {
            self.under_way.push(generation);
        }
        self.executors[who] = Executor::Asked(generation);
    }

    /// Everything that can happen next.
    fn next(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for who in 0..EXECUTORS {
            self.moves_of(who, &mut all);
            if self.holder != who && self.left.takeovers > 0 {
                all.push(self.with(|next| {
                    next.left.takeovers -= 1;
                    next.holder = who;
                }));
            }
        }
        self.arrivals(&mut all);
        // A key begins to rest in an instant, which may be in the middle of a step; hours pass only between them.
        let resting = self.under_way.is_empty() && self.executors.iter().all(|one| *one == Executor::Idle);
        if let Some((known, generation, age)) = self.row {
            match age {
                Age::Fresh if self.left.days > 0 => all.push(self.with(|next| {
                    next.left.days -= 1;
                    next.row = Some((known, generation, Age::Resting));
                })),
                Age::Resting if resting => all.push(self.with(|next| next.row = Some((known, generation, Age::Old)))),
                Age::Old if resting => all.push(self.with(|next| {
                    next.row = Some((known, generation, Age::Forgotten));
                    next.keys = [Stored::Nothing; KEYS];
                })),
                Age::Fresh | Age::Resting | Age::Old | Age::Forgotten => {}
            }
        }
        for (index, &refund) in self.refunds.iter().enumerate() {
            if status(refund) == RefundStatus::Pending {
                all.push(self.with(|next| {
                    next.refunds[index] = code(RefundStatus::Succeeded);
                    next.learn(RefundFact::Succeeded);
                }));
            }
            if status(refund) != RefundStatus::Failed && self.left.failures > 0 {
                all.push(self.with(|next| {
                    next.left.failures -= 1;
                    next.refunds[index] = code(RefundStatus::Failed);
                    next.learn(RefundFact::Failed);
                }));
            }
        }
        all
    }

    fn moves_of(&self, who: usize, all: &mut Vec<Self>) {
        let holds = self.holder == who;
        match self.executors[who] {
            Executor::Idle if holds => match self.row {
                None => all.push(self.with(|next| next.row = Some((code(RefundStatus::Intended), 1, Age::Fresh)))),
                Some((known, ..)) => match status(known).next_move() {
                    Move::Begin => all.push(self.with(|next| next.ask(who, false))),
                    Move::LookUp => all.push(self.with(|next| {
                        next.executors[who] = Executor::Looked(next.refunds.len().checked_sub(1));
                    })),
                    Move::Done => {}
                    Move::Over => all.push(self.with(|next| next.case = true)),
                },
            },
            Executor::Idle => {}
            // Whoever has lost the run has its commit refused, and sends nothing.
            Executor::Looked(_) if !holds => all.push(self.with(|next| next.executors[who] = Executor::Idle)),
            Executor::Looked(Some(found)) => all.push(self.with(|next| {
                next.learn(fact(next.refunds[found]));
                next.executors[who] = Executor::Idle;
            })),
            Executor::Looked(None) => {
                let Some((_, _, age)) = self.row else { return };
                all.push(self.with(|next| match key(age) {
                    Key::Good => next.ask(who, false),
                    Key::Resting { .. } => next.executors[who] = Executor::Idle,
                    Key::Spent => next.ask(who, true),
                }));
            }
            // It gives up waiting, or is gone; the request goes its way.
            Executor::Asked(_) => all.push(self.with(|next| next.executors[who] = Executor::Idle)),
        }
    }

    /// A request arrives, or gets lost.
    fn arrivals(&self, all: &mut Vec<Self>) {
        for (index, &generation) in self.under_way.iter().enumerate() {
            let arrived = self.with(|next| {
                next.under_way.remove(index);
            });
            if self.left.losses > 0 {
                all.push(arrived.with(|next| next.left.losses -= 1));
            }
            match self.keys[generation] {
                Stored::Answer => arrived.answer(generation, all),
                Stored::Error => arrived.refuse_for_now(generation, all),
                Stored::Nothing => {
                    for made in [RefundStatus::Succeeded, RefundStatus::Pending] {
                        let done = arrived.with(|next| {
                            next.refunds.push(code(made));
                            next.keys[generation] = Stored::Answer;
                        });
                        done.answer(generation, all);
                    }
                    if self.left.errors > 0 {
                        for made in [None, Some(RefundStatus::Succeeded)] {
                            let failed = arrived.with(|next| {
                                next.left.errors -= 1;
                                next.refunds.extend(made.map(code));
                                next.keys[generation] = Stored::Error;
                            });
                            failed.refuse_for_now(generation, all);
                        }
                    }
                }
            }
        }
    }

    /// The answer reaches whoever waits for it, or nobody.
    fn answer(&self, generation: usize, all: &mut Vec<Self>) {
        all.push(self.clone());
        for who in (0..EXECUTORS).filter(|&who| self.executors[who] == Executor::Asked(generation)) {
            all.push(self.with(|next| {
                next.executors[who] = Executor::Idle;
                if next.holder == who {
                    let newest = next.refunds.last().copied().unwrap_or_default();
                    next.learn(fact(newest));
                }
            }));
        }
    }

    /// A stored error: Stripe is read, and a new key taken only if there is nothing.
    fn refuse_for_now(&self, generation: usize, all: &mut Vec<Self>) {
        all.push(self.clone());
        for who in (0..EXECUTORS).filter(|&who| self.executors[who] == Executor::Asked(generation)) {
            all.push(self.with(|next| {
                next.executors[who] = Executor::Idle;
                let Some((known, at, _)) = next.row.filter(|_| next.holder == who) else { return };
                match next.refunds.last().copied() {
                    Some(found) => next.learn(fact(found)),
                    None if at == generation && status(known) == RefundStatus::Sent => {
                        next.row = Some((known, at + 1, Age::Fresh));
                    }
                    None => {}
                }
            }));
        }
    }

    fn paid_back(&self) -> usize {
        self.refunds.iter().filter(|&&refund| status(refund).holds_money()).count()
    }

    /// The books and Stripe agree, or a person was told.
    fn is_settled(&self) -> bool {
        let ours = self.row.is_some_and(|(known, ..)| {
            matches!(status(known), RefundStatus::Pending | RefundStatus::Succeeded) && self.paid_back() == 1
        });
        ours || self.case
    }
}

#[test]
fn no_course_of_events_pays_a_refund_twice_and_every_one_can_come_to_its_end() {
    let first = State::first();
    let mut known = HashMap::from([(first.clone(), 0_usize)]);
    let (mut states, mut before, mut queue) = (vec![first], vec![Vec::new()], VecDeque::from([0]));
    let mut steps = 0_usize;
    while let Some(at) = queue.pop_front() {
        for next in states[at].next() {
            steps += 1;
            let number = *known.entry(next.clone()).or_insert_with(|| {
                assert!(next.refunds.len() <= 1 + usize::from(next.case), "paid back twice: {next:#?}");
                assert!(next.paid_back() <= 1, "{next:#?}");
                let late = next.refunds.iter().any(|&refund| status(refund) == RefundStatus::Failed);
                let heard = next.row.is_some_and(|(known, ..)| status(known) == RefundStatus::Failed);
                assert!(!(late && heard) || next.case, "a refund failed and no case is open: {next:#?}");
                states.push(next);
                before.push(Vec::new());
                queue.push_back(states.len() - 1);
                states.len() - 1
            });
            before[number].push(at);
        }
    }
    // Liveness: from every state there is a way to an end.
    let mut ends: VecDeque<usize> = (0..states.len()).filter(|&state| states[state].is_settled()).collect();
    let mut can_end: Vec<bool> = states.iter().map(State::is_settled).collect();
    while let Some(state) = ends.pop_front() {
        for &earlier in &before[state] {
            if !std::mem::replace(&mut can_end[earlier], true) {
                ends.push_back(earlier);
            }
        }
    }
    let stuck = can_end.iter().position(|can| !can);
    assert!(stuck.is_none(), "no way to an end from {:#?}", states[stuck.unwrap()]);
    println!("{} states, {steps} steps", states.len());
    assert!(states.len() > 1000, "{} states", states.len());
}
