//! Random sequences of verbs against the pure state machine.

use std::time::Duration;

use discuno::model::failure::Failure;
use discuno::model::id::RunId;
use discuno::model::lease::Lease;
use discuno::model::run::{End, Run, RunChange, RunState};
use discuno::model::time::Timestamp;
use discuno::store::Subject;
use discuno::store::error::Error;
use proptest::prelude::{Just, Strategy, prop, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::conformance::subjects::{done, task};
use crate::conformance::{Bench, LEASE, NOW};

const SEQUENCES: usize = 150;

#[derive(Debug, Clone, Copy)]
enum Verb {
    Wait(u32),
    Claim,
    Record { stale: bool },
    Suspend { stale: bool, secs: u32 },
    Succeed { stale: bool },
    Fail { stale: bool },
    EndCancelled { stale: bool },
    Cancel,
}

fn verb() -> impl Strategy<Value = Verb> {
    let stale = prop::bool::weighted(0.25);
    prop_oneof![
        3 => (1_u32..40).prop_map(Verb::Wait),
        5 => Just(Verb::Claim),
        3 => stale.prop_map(|stale| Verb::Record { stale }),
        3 => (stale, 0_u32..60).prop_map(|(stale, secs)| Verb::Suspend { stale, secs }),
        1 => stale.prop_map(|stale| Verb::Succeed { stale }),
        1 => stale.prop_map(|stale| Verb::Fail { stale }),
        1 => stale.prop_map(|stale| Verb::EndCancelled { stale }),
        1 => Just(Verb::Cancel),
    ]
}

/// What the run should be.
struct Expected {
    state: RunState,
    due_at: Option<Timestamp>,
    token: i64,
    cancel_requested: bool,
    recorded: u32,
}

impl Expected {
    fn change(&mut self, change: RunChange, due_at: Option<Timestamp>) {
        self.state = self.state.next(change).unwrap();
        self.due_at = due_at;
    }

    fn holds(&self, lease: Option<Lease>) -> bool {
        self.state == RunState::Running && lease.is_some_and(|lease| lease.token == self.token)
    }
}

struct Trial<'a> {
    bench: &'a Bench,
    run: RunId,
    now: Timestamp,
    leases: Vec<Lease>,
    expected: Expected,
}

pub(crate) async fn any_sequence_of_verbs_obeys_the_state_machine(bench: Bench) {
    // The same sequences on every machine: a failure names the one that shows it.
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let sequences = prop::collection::vec(verb(), 1..40);
    let mut now = NOW;
    for number in 0..SEQUENCES {
        let verbs = sequences.new_tree(&mut runner).unwrap().current();
        bench.store.ingest(task(&number.to_string()), now).await.unwrap();
        let Subject::Event(event) = bench.store.resolve(&format!("evt_{number}")).await.unwrap() else {
            panic!("an event without a payment");
        };
        let started = bench.claim(500, now).await.into_iter().find(|one| one.run.event == Some(event)).unwrap();
        let expected = Expected {
            state: RunState::Running,
            due_at: Some(now.plus(LEASE)),
            token: 1,
            cancel_requested: false,
            recorded: 0,
        };
        let (run, leases) = (started.run.id, vec![started.lease]);
        let mut trial = Trial { bench: &bench, run, now, leases, expected };
        for (place, verb) in verbs.iter().enumerate() {
            trial.apply(*verb).await;
            trial.check(&format!("sequence {number}, after {:?}", &verbs[..=place])).await;
        }
        // Nothing of this sequence is due in the next.
        now = trial.now.plus(Duration::from_secs(1));
        bench.store.cancel(run, now).await.unwrap();
    }
}

impl Trial<'_> {
    async fn apply(&mut self, verb: Verb) {
        let (store, now) = (&self.bench.store, self.now);
        match verb {
            Verb::Wait(secs) => self.now = now.plus(Duration::from_secs(secs.into())),
            Verb::Claim => {
                let claimed = self.bench.claim(500, now).await.into_iter().find(|one| one.run.id == self.run);
                let due = self.expected.due_at.is_some_and(|due| due <= now);
                assert_eq!(claimed.is_some(), due, "claimed exactly if due");
                if let Some(claimed) = claimed {
                    self.expected.change(RunChange::Claim, Some(now.plus(LEASE)));
                    self.expected.token += 1;
                    assert_eq!(claimed.journal.len(), self.expected.recorded as usize);
                    self.leases.push(claimed.lease);
                }
            }
            Verb::Record { stale } => {
                let lease = self.lease(stale);
                let number = self.expected.recorded + 1;
                let answer = store.record(lease, done("step", number, "1"), vec![], now).await;
                if self.fenced(lease, answer.map(drop)) {
                    self.expected.recorded += 1;
                }
            }
            Verb::Suspend { stale, secs } => {
                let lease = self.lease(stale);
                let due = now.plus(Duration::from_secs(secs.into()));
                let answer = store.suspend(lease, None, due, now).await;
                if self.fenced(lease, answer) {
                    let due = if self.expected.cancel_requested { now } else { due };
                    self.expected.change(RunChange::Suspend, Some(due));
                }
            }
            Verb::Succeed { stale } => {
                self.end(stale, End::Succeeded("as meant".to_owned()), RunChange::Succeed).await;
            }
            Verb::Fail { stale } => {
                self.end(stale, End::Failed(Failure::permanent("no", "never")), RunChange::Fail).await;
            }
            Verb::EndCancelled { stale } => self.end(stale, End::Cancelled, RunChange::Cancel).await,
            Verb::Cancel => {
                let ended = store.cancel(self.run, now).await.unwrap();
                assert_eq!(ended, self.expected.state != RunState::Running);
                self.expected.cancel_requested |= !self.expected.state.is_terminal();
                if self.expected.state == RunState::Queued {
                    self.expected.change(RunChange::Cancel, None);
                }
            }
        }
    }

    async fn end(&mut self, stale: bool, end: End, change: RunChange) {
        let lease = self.lease(stale);
        let answer = self.bench.store.finish(lease, end, self.now).await;
        if self.fenced(lease, answer) {
            self.expected.change(change, None);
        }
    }

    /// The newest lease, or the oldest.
    fn lease(&self, stale: bool) -> Lease {
        if stale { self.leases[0] } else { self.leases[self.leases.len() - 1] }
    }

    /// Whether the verb was done: if and only if the lease still holds.
    fn fenced(&self, lease: Lease, answer: Result<(), Error>) -> bool {
        let holds = self.expected.holds(Some(lease));
        match answer {
            Ok(()) => assert!(holds, "done under a lost lease"),
            Err(Error::LeaseLost) => assert!(!holds, "refused under a lease that holds"),
            Err(error) => panic!("{error}"),
        }
        holds
    }

    async fn check(&self, context: &str) {
        let story = self.bench.store.story(Subject::Run(self.run)).await.unwrap();
        let run: &Run = &story.runs[0].0;
        let expected = &self.expected;
        assert_eq!(
            (run.state, run.due_at, run.token, run.cancel_requested, story.runs[0].1.len()),
            (expected.state, expected.due_at, expected.token, expected.cancel_requested, expected.recorded as usize),
            "{context}"
        );
    }
}
