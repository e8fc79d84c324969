//! What everybody in a world shares, and what sees everything that is committed and brought about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::model::id::RunId;
use crate::model::lease::Lease;
use crate::model::refund::RefundStatus;
use crate::model::time::Timestamp;
use crate::sandbox::Sandbox;
use crate::sandbox::news::{News, Seen};
use crate::sim::coverage::Coverage;
use crate::sim::ends::Ends;
use crate::sim::purchase::{self, Letter, Sender};
use crate::sim::report::Violation;
use crate::sim::script::{Blow, RICHER};
use crate::store::filter::Filter;
use crate::store::{Claimed, Shared};

/// What is shared.
pub(super) struct Hub {
    pub(super) seed: u64,
    /// The right time.
    pub(super) clock: Clock,
    pub(super) origin: Timestamp,
    pub(super) sandbox: Sandbox,
    /// The store itself, for whoever only looks.
    pub(super) store: Shared,
    pub(super) coverage: Mutex<Coverage>,
    /// Events that were answered with 2xx.
    pub(super) acknowledged: Mutex<BTreeSet<(&'static str, String)>>,
    /// Until when nothing can be written.
    pub(super) full_until: AtomicI64,
    /// Until when whose events get lost.
    deaf: Mutex<Vec<(Sender, Timestamp)>>,
    /// Whether everything goes well from now on.
    pub(super) calm: AtomicBool,
    /// What the providers have to tell.
    pub(super) outbox: mpsc::UnboundedSender<Letter>,
    seen: Mutex<Seen>,
    tokens: Mutex<BTreeMap<RunId, i64>>,
    /// What the runs are of that were ever claimed.
    workflows: Mutex<BTreeMap<RunId, String>>,
    pub(super) ends: Mutex<Ends>,
    broken: Mutex<Option<Violation>>,
    waiting: Mutex<Vec<watch::Sender<u64>>>,
    strikes: Mutex<Vec<Strike>>,
    /// When which payments were disputed, and when no longer.
    pub(super) disputes: Mutex<Vec<(String, Timestamp, bool)>>,
    trace: Option<Mutex<String>>,
}

/// What the next process that comes to a place meets with.
struct Strike {
    place: String,
    skip: u32,
    blow: Blow,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(super) fn new(
        seed: u64,
        clock: Clock,
        sandbox: Sandbox,
        store: Shared,
        outbox: mpsc::UnboundedSender<Letter>,
        traced: bool,
    ) -> Self {
        Self {
            seed,
            origin: clock.now(),
            clock,
            sandbox,
            store,
            coverage: Mutex::default(),
            acknowledged: Mutex::default(),
            full_until: AtomicI64::new(0),
            deaf: Mutex::default(),
            calm: AtomicBool::new(false),
            outbox,
            seen: Mutex::default(),
            tokens: Mutex::default(),
            workflows: Mutex::default(),
            ends: Mutex::default(),
            broken: Mutex::default(),
            waiting: Mutex::default(),
            strikes: Mutex::default(),
            disputes: Mutex::default(),
            trace: traced.then(Mutex::default),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A line of the trace, made only if there is one.
    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let millis = self.now().since(self.origin).as_millis();
            let (seconds, millis) = (millis / 1000, millis % 1000);
            let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
            let mut trace = lock(trace);
            let _ = writeln!(trace, "{days}d {hours:02}:{minutes:02}:{:02}.{millis:03} {}", seconds % 60, line());
        }
    }

    pub(super) fn take_trace(&self) -> String {
        self.trace.as_ref().map(|trace| std::mem::take(&mut *lock(trace))).unwrap_or_default()
    }

    pub(super) fn count(&self, what: impl FnOnce() -> String) {
        lock(&self.coverage).count(what());
    }

    /// The first thing that is wrong counts.
    pub(super) fn breaks(&self, rule: &'static str, why: String) {
        self.note(|| format!("BROKEN {rule}: {why}"));
        lock(&self.broken).get_or_insert(Violation { rule, why });
    }

    pub(super) fn broken(&self) -> Option<Violation> {
        lock(&self.broken).clone()
    }

    /// The same answer for the same question and seed, whatever else is left out of the script.
    pub(super) fn decide(&self, question: &str) -> u64 {
        let mut hash = 0xCBF2_9CE4_8422_2325_u64 ^ self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for byte in question.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        hash ^ (hash >> 32)
    }

    /// Whereby a process learns that runs may be due.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        let (sender, receiver) = watch::channel(0);
        let mut waiting = lock(&self.waiting);
        waiting.retain(|sender| !sender.is_closed());
        waiting.push(sender);
        receiver
    }

    /// Tells every process, always in the same order.
    pub(super) fn wake(&self) {
        for sender in lock(&self.waiting).iter() {
            sender.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn strike_at(&self, place: String, skip: u32, blow: Blow) {
        lock(&self.strikes).push(Strike { place, skip, blow });
    }

    /// What strikes whoever is at this place, and is used up by it.
    pub(super) fn struck_at(&self, place: impl Fn() -> String) -> Option<Blow> {
        let mut strikes = lock(&self.strikes);
        if strikes.is_empty() {
            return None;
        }
        let place = place();
        let index = strikes.iter().position(|strike| strike.place == place)?;
        let strike = strikes.get_mut(index)?;
        if strike.skip > 0 {
            strike.skip -= 1;
            return None;
        }
        Some(strikes.remove(index).blow)
    }

    pub(super) fn disputed(&self, intent: &str, open: bool) {
        lock(&self.disputes).push((intent.to_owned(), self.now(), open));
    }

    /// Whether the charge is disputed, or ever was.
    pub(super) fn is_disputed(&self, intent: &str) -> bool {
        lock(&self.disputes).iter().any(|(disputed, ..)| disputed == intent)
    }

    pub(super) fn spare(&self) {
        lock(&self.strikes).clear();
    }

    pub(super) fn is_full(&self) -> bool {
        self.now().0 < self.full_until.load(Ordering::Relaxed)
    }

    pub(super) fn deafen(&self, to: Sender, until: Timestamp) {
        lock(&self.deaf).push((to, until));
    }

    pub(super) fn is_deaf_to(&self, sender: Sender) -> bool {
        lock(&self.deaf).iter().any(|(to, until)| *to == sender && self.now() < *until)
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// I8: tokens of a run only grow. I20: what has ended moves again only if a person has it retried.
    pub(super) fn claimed(&self, claimed: &Claimed) {
        let lease = claimed.lease;
        if lock(&self.ends).is_revived(lease.run, claimed.run.retries) {
            self.breaks("I20", format!("{} had ended, and was claimed again", lease.run));
        }
        lock(&self.workflows).entry(lease.run).or_insert_with(|| claimed.run.workflow.clone());
        let before = lock(&self.tokens).insert(lease.run, lease.token);
        if before.is_some_and(|before| before >= lease.token) {
            self.breaks("I8", format!("{} was claimed with token {} again", lease.run, lease.token));
        }
    }

    /// What a run is of that somebody has claimed.
    pub(super) fn workflow_of(&self, run: RunId) -> Option<String> {
        lock(&self.workflows).get(&run).cloned()
    }

    /// I8: nothing is written by whoever has lost the run.
    pub(super) fn committed(&self, verb: &'static str, lease: Option<Lease>) {
        let Some(lease) = lease else { return };
        if verb == "finish" {
            lock(&self.ends).end(lease.run);
        }
        let newest = lock(&self.tokens).get(&lease.run).copied().unwrap_or(0);
        if lease.token < newest {
            self.breaks("I8", format!("{verb} of {} with token {} when {newest} was out", lease.run, lease.token));
        }
    }

    /// Looks at what requests have brought about at the providers, who tell of it.
    pub(super) async fn look(&self) {
        let news = self.sandbox.news(&mut lock(&self.seen));
        for one in news {
            let now = self.now();
            match one {
                News::Refunded(refund, intent) => {
                    if intent.amount_refunded > intent.amount {
                        self.breaks("M3", format!("{} of {} is paid back", intent.amount_refunded, intent.id));
                    }
                    let Some(mark) = refund.metadata.get("discunoRefund") else { continue };
                    if !self.is_recorded(mark).await {
                        self.breaks("M4", format!("{mark} was asked for before it was recorded"));
                    }
                    self.note(|| format!("stripe refunds {} of {}: {}", refund.amount, intent.id, refund.status));
                    self.tell(purchase::about_refund("refund.created", &refund, &refund.status, now));
                    self.tell(purchase::about_charge(&intent, now));
                }
                News::Transferred(transfer) => {
                    if self.seed >= RICHER {
                        self.tell(purchase::about_transfer(&transfer, now));
                    }
                }
                News::Booked(booking) => {
                    let reference = booking.metadata.get("paymentId").map_or("", String::as_str);
                    self.note(|| format!("cal.com books {} for {reference}", booking.uid));
                    if reference.starts_with("pi_") && !self.sandbox.is_paid(reference) {
                        self.breaks("I5", format!("{} is booked and {reference} was never paid", booking.uid));
                    }
                    self.tell(purchase::about_booking("BOOKING_CREATED", &booking, now, &[]));
                }
                News::Cancelled(booking) => {
                    self.note(|| format!("cal.com cancels {}", booking.uid));
                    self.tell(purchase::about_booking("BOOKING_CANCELLED", &booking, now, &[]));
                }
            }
        }
    }

    /// M4: whether the request of this refund was written down before it left.
    async fn is_recorded(&self, mark: &str) -> bool {
        let known = self.store.refunds(Filter::newest(1000)).await.unwrap_or_default();
        if let Some(moved) = lock(&self.ends).moved_back(&known) {
            self.breaks("I20", moved);
        }
        known.iter().any(|refund| refund.reference == mark && refund.status != RefundStatus::Intended)
    }

    /// Something has happened: its provider knows of it, and tells.
    pub(super) fn happen(&self, letter: Letter) {
        self.note(|| format!("it happens: {}", letter.id));
        if letter.sender != Sender::App {
            self.sandbox.observe(&letter.bytes());
        }
        self.tell(letter);
    }

    /// Something reaches us that this account's provider knows nothing of.
    pub(super) fn stray(&self, letter: Letter) {
        self.note(|| format!("it strays: {}", letter.id));
        let _ = self.outbox.send(letter);
    }

    fn tell(&self, letter: Letter) {
        if letter.sender == Sender::Stripe {
            // Stripe lists whatever it sends.
            self.sandbox.observe(&letter.bytes());
        }
        let _ = self.outbox.send(letter);
    }
}
