//! A store that is watched: something may happen before and after each of its verbs.

use std::future::Future;
use std::time::Duration;

use crate::model::account::Account;
use crate::model::act::Act as StoredAct;
use crate::model::alert::{Alert, Finding, Pace};
use crate::model::booking::Booking;
use crate::model::case::Case;
use crate::model::event::{Event as StoredEvent, Source};
use crate::model::id::{ActId, AlertId, CaseId, EventId, MailId, PaymentId, RefundId, RunId, TransferId};
use crate::model::lease::Lease;
use crate::model::mail::Mail;
use crate::model::pause::Pause;
use crate::model::payment::Payment;
use crate::model::refund::Refund;
use crate::model::refusal::RefusedSignatures;
use crate::model::run::{End, Run};
use crate::model::step::Attempt;
use crate::model::takings::Summary;
use crate::model::time::Timestamp;
use crate::model::transfer::Transfer;
use crate::store::alerts::{Alerts, Arrivals, CaseGroup, KeySeen, Refused};
use crate::store::change::{Change, NewRun, Plan, RefundIntent, TransferIntent};
use crate::store::error::Error;
use crate::store::filter::{Filter, PaymentLine, RunLine};
use crate::store::hours::{Counted, Hours};
use crate::store::levels::Levels;
use crate::store::order::{Order, Performed};
use crate::store::status::Status;
use crate::store::{
    Backlog, Claimed, Discrepancy, Inbox, Ingested, Ledger, Lists, Onward, Operations, Pruned, Queue, Shared, Store,
    Story, Subject, Views,
};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::watch::Receiver;

/// A verb that writes.
#[derive(Debug, Clone, Copy)]
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// The right by which it writes, if it needs one.
    pub lease: Option<Lease>,
    /// Whether a run's executor writes, for the run.
    pub by_run: bool,
    /// Whether runs may be due once it is done.
    pub wakes: bool,
}

impl Verb {
    /// Of which run it is.
    pub fn run(&self) -> Option<RunId> {
        self.lease.map(|lease| lease.run)
    }

    /// In words.
    pub fn describe(&self) -> String {
        match self.lease {
            Some(lease) => format!("{} {} with token {}", self.name, lease.run, lease.token),
            None => self.name.to_owned(),
        }
    }
}

/// What happens around verbs. An error before a verb means that it is not carried out; an error after it, that its caller
/// is not told. What never resolves is the end of its caller.
pub trait Watch: Send + Sync + 'static {
    /// Before a write.
    fn before(&self, verb: Verb) -> impl Future<Output = Result<(), Error>> + Send;

    /// After a write that was carried out, or refused.
    fn after(&self, verb: Verb, refused: Option<&Error>) -> impl Future<Output = Result<(), Error>> + Send;

    /// Before and after what only reads.
    fn reading(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// A run was claimed.
    fn claimed(&self, _claimed: &Claimed) {}

    /// Whereby this store's user learns that runs may be due; none for the store's own way.
    fn changes(&self) -> Option<Receiver<u64>> {
        None
    }
}

/// The store.
pub struct Watched<W> {
    inner: Shared,
    watch: W,
}

impl<W: Watch> Watched<W> {
    /// Watches `inner`.
    pub const fn new(inner: Shared, watch: W) -> Self {
        Self { inner, watch }
    }

    /// Who watches.
    pub const fn watch(&self) -> &W {
        &self.watch
    }

    async fn through<T: Send>(
        &self,
        verb: Verb,
        write: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        self.seen(verb, write, |_| {}).await
    }

    async fn seen<T: Send>(
        &self,
        verb: Verb,
        write: impl Future<Output = Result<T, Error>> + Send,
        see: impl FnOnce(&T) + Send,
    ) -> Result<T, Error> {
        self.watch.before(verb).await?;
        let done = write.await;
        if let Ok(done) = &done {
            see(done);
        }
        self.watch.after(verb, done.as_ref().err()).await?;
        done
    }

    async fn read<T: Send>(&self, read: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        self.watch.reading().await;
        let found = read.await;
        self.watch.reading().await;
        found
    }
}

#[async_trait]
impl<W: Watch> Lists for Watched<W> {
    async fn payments(&self, filter: Filter) -> Result<Vec<PaymentLine>, Error> {
        self.read(self.inner.payments(filter)).await
    }
    async fn refunds(&self, filter: Filter) -> Result<Vec<Refund>, Error> {
        self.read(self.inner.refunds(filter)).await
    }
    async fn bookings(&self, filter: Filter) -> Result<Vec<Booking>, Error> {
        self.read(self.inner.bookings(filter)).await
    }
    async fn runs(&self, filter: Filter) -> Result<Vec<RunLine>, Error> {
        self.read(self.inner.runs(filter)).await
    }
    async fn events(&self, filter: Filter) -> Result<Vec<StoredEvent>, Error> {
        self.read(self.inner.events(filter)).await
    }
    async fn cases(&self, filter: Filter) -> Result<Vec<Case>, Error> {
        self.read(self.inner.cases(filter)).await
    }
    async fn acts(&self, filter: Filter) -> Result<Vec<StoredAct>, Error> {
        self.read(self.inner.acts(filter)).await
    }
}

#[async_trait]
impl<W: Watch> Operations for Watched<W> {
    async fn operate(&self, order: Order, now: Timestamp) -> Result<Performed, Error> {
        self.through(Verb { name: "operate", lease: None, by_run: false, wakes: true }, self.inner.operate(order, now))
            .await
    }
    async fn rehearse(&self, order: Order, now: Timestamp) -> Result<Performed, Error> {
        self.through(
            Verb { name: "rehearse", lease: None, by_run: false, wakes: false },
            self.inner.rehearse(order, now),
        )
        .await
    }
    async fn pauses(&self) -> Result<Vec<Pause>, Error> {
        self.read(self.inner.pauses()).await
    }
    async fn broken_act(&self) -> Result<Option<ActId>, Error> {
        self.read(self.inner.broken_act()).await
    }
}

#[async_trait]
impl<W: Watch> Queue for Watched<W> {
    async fn clock_set_back(&self, step: Duration, now: Timestamp, lease_end: Timestamp) -> Result<u64, Error> {
        let verb = Verb { name: "clock_set_back", lease: None, by_run: false, wakes: true };
        self.through(verb, self.inner.clock_set_back(step, now, lease_end)).await
    }
    async fn claim(&self, owner: &str, want: usize, now: Timestamp, until: Timestamp) -> Result<Vec<Claimed>, Error> {
        let see = |claimed: &Vec<Claimed>| claimed.iter().for_each(|claimed| self.watch.claimed(claimed));
        self.seen(
            Verb { name: "claim", lease: None, by_run: false, wakes: false },
            self.inner.claim(owner, want, now, until),
            see,
        )
        .await
    }
    async fn claim_run(
        &self,
        owner: &str,
        run: RunId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claimed>, Error> {
        let see = |claimed: &Option<Claimed>| claimed.iter().for_each(|claimed| self.watch.claimed(claimed));
        self.seen(
            Verb { name: "claim_run", lease: None, by_run: false, wakes: false },
            self.inner.claim_run(owner, run, now, until),
            see,
        )
        .await
    }
    async fn put_back(&self, lease: Lease, due_at: Timestamp, now: Timestamp) -> Result<(), Error> {
        self.through(
            Verb { name: "put_back", lease: Some(lease), by_run: true, wakes: true },
            self.inner.put_back(lease, due_at, now),
        )
        .await
    }
    async fn renew(&self, leases: Vec<Lease>, until: Timestamp) -> Result<Vec<Lease>, Error> {
        self.through(Verb { name: "renew", lease: None, by_run: false, wakes: false }, self.inner.renew(leases, until))
            .await
    }
    async fn record(&self, lease: Lease, tried: Attempt, also: Vec<Change>, now: Timestamp) -> Result<Onward, Error> {
        self.through(
            Verb { name: "record", lease: Some(lease), by_run: true, wakes: !also.is_empty() },
            self.inner.record(lease, tried, also, now),
        )
        .await
    }
    async fn write(&self, lease: Lease, changes: Vec<Change>, now: Timestamp) -> Result<(), Error> {
        self.through(
            Verb { name: "write", lease: Some(lease), by_run: true, wakes: !changes.is_empty() },
            self.inner.write(lease, changes, now),
        )
        .await
    }
    async fn suspend(
        &self,
        lease: Lease,
        tried: Option<Attempt>,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.through(
            Verb { name: "suspend", lease: Some(lease), by_run: true, wakes: true },
            self.inner.suspend(lease, tried, due_at, now),
        )
        .await
    }
    async fn finish(&self, lease: Lease, end: End, now: Timestamp) -> Result<(), Error> {
        self.through(
            Verb { name: "finish", lease: Some(lease), by_run: true, wakes: true },
            self.inner.finish(lease, end, now),
        )
        .await
    }
    async fn cancel(&self, run: RunId, now: Timestamp) -> Result<bool, Error> {
        self.through(Verb { name: "cancel", lease: None, by_run: false, wakes: true }, self.inner.cancel(run, now))
            .await
    }
    async fn ensure(&self, runs: Vec<NewRun>, now: Timestamp) -> Result<(), Error> {
        self.through(Verb { name: "ensure", lease: None, by_run: false, wakes: true }, self.inner.ensure(runs, now))
            .await
    }
    async fn prune(&self, before: Timestamp, after: i64, rows: u32) -> Result<Pruned, Error> {
        let verb = Verb { name: "prune", lease: None, by_run: false, wakes: false };
        self.through(verb, self.inner.prune(before, after, rows)).await
    }
    async fn prunable(&self, before: Timestamp) -> Result<u32, Error> {
        self.read(self.inner.prunable(before)).await
    }
    async fn recorded_ahead(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.read(self.inner.recorded_ahead(now)).await
    }
    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        self.read(self.inner.next_due()).await
    }
    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.watch.changes().unwrap_or_else(|| self.inner.changes())
    }
}

#[async_trait]
impl<W: Watch> Ledger for Watched<W> {
    async fn intend_refund(&self, lease: Option<Lease>, intent: RefundIntent, now: Timestamp) -> Result<Refund, Error> {
        self.through(
            Verb { name: "intend_refund", lease, by_run: true, wakes: false },
            self.inner.intend_refund(lease, intent, now),
        )
        .await
    }
    async fn intend_transfer(&self, lease: Lease, intent: TransferIntent, now: Timestamp) -> Result<Transfer, Error> {
        self.through(
            Verb { name: "intend_transfer", lease: Some(lease), by_run: true, wakes: false },
            self.inner.intend_transfer(lease, intent, now),
        )
        .await
    }
    async fn transfer(&self, id: TransferId) -> Result<Transfer, Error> {
        self.read(self.inner.transfer(id)).await
    }
    async fn booking(&self, uid: &str) -> Result<Option<Booking>, Error> {
        self.read(self.inner.booking(uid)).await
    }
    async fn account(&self, id: &str) -> Result<Option<Account>, Error> {
        self.read(self.inner.account(id)).await
    }
    async fn complete_until(&self, source: Source) -> Result<Option<Timestamp>, Error> {
        self.read(self.inner.complete_until(source)).await
    }
    async fn payment(&self, id: PaymentId) -> Result<Payment, Error> {
        self.read(self.inner.payment(id)).await
    }
    async fn refund(&self, id: RefundId) -> Result<Refund, Error> {
        self.read(self.inner.refund(id)).await
    }
    async fn run(&self, id: RunId) -> Result<Run, Error> {
        self.read(self.inner.run(id)).await
    }
    async fn event(&self, id: EventId) -> Result<StoredEvent, Error> {
        self.read(self.inner.event(id)).await
    }
    async fn case(&self, id: CaseId) -> Result<Case, Error> {
        self.read(self.inner.case(id)).await
    }
    async fn mail(&self, id: MailId) -> Result<Mail, Error> {
        self.read(self.inner.mail(id)).await
    }
}

#[async_trait]
impl<W: Watch> Alerts for Watched<W> {
    async fn report(&self, found: Vec<Finding>, pace: Pace, now: Timestamp) -> Result<Option<RunId>, Error> {
        let verb = Verb { name: "report", lease: None, by_run: false, wakes: true };
        self.through(verb, self.inner.report(found, pace, now)).await
    }
    async fn alert(&self, id: AlertId) -> Result<Alert, Error> {
        self.read(self.inner.alert(id)).await
    }
    async fn alerts(&self, all: bool, limit: u32) -> Result<Vec<Alert>, Error> {
        self.read(self.inner.alerts(all, limit)).await
    }
    async fn arrivals(&self, after: EventId) -> Result<Arrivals, Error> {
        self.read(self.inner.arrivals(after)).await
    }
    async fn note_refused(
        &self,
        keys: Vec<KeySeen>,
        signatures: Vec<(Source, RefusedSignatures)>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let verb = Verb { name: "note_refused", lease: None, by_run: false, wakes: false };
        self.through(verb, self.inner.note_refused(keys, signatures, now)).await
    }
    async fn refused(&self, now: Timestamp) -> Result<Refused, Error> {
        self.read(self.inner.refused(now)).await
    }
    async fn case_group(&self, case: CaseId, span: Duration, now: Timestamp) -> Result<CaseGroup, Error> {
        self.read(self.inner.case_group(case, span, now)).await
    }
}

#[async_trait]
impl<W: Watch> Inbox for Watched<W> {
    async fn ingest(&self, plan: Plan, now: Timestamp) -> Result<Ingested, Error> {
        self.through(Verb { name: "ingest", lease: None, by_run: false, wakes: true }, self.inner.ingest(plan, now))
            .await
    }
}

#[async_trait]
impl<W: Watch> Views for Watched<W> {
    async fn resolve_whole(&self, id: &str) -> Result<Subject, Error> {
        self.read(self.inner.resolve_whole(id)).await
    }
    async fn resolve(&self, id: &str) -> Result<Subject, Error> {
        self.read(self.inner.resolve(id)).await
    }
    async fn story(&self, subject: Subject) -> Result<Story, Error> {
        self.read(self.inner.story(subject)).await
    }
    async fn body(&self, event: EventId) -> Result<Vec<u8>, Error> {
        self.read(self.inner.body(event)).await
    }
    async fn discrepancies(&self, since: Timestamp, limit: u32) -> Result<Vec<Discrepancy>, Error> {
        self.read(self.inner.discrepancies(since, limit)).await
    }
    async fn summary(&self, from: Timestamp, until: Timestamp) -> Result<Summary, Error> {
        self.read(self.inner.summary(from, until)).await
    }
    async fn status(&self, now: Timestamp) -> Result<Status, Error> {
        self.read(self.inner.status(now)).await
    }
    async fn levels(&self, now: Timestamp) -> Result<Levels, Error> {
        self.read(self.inner.levels(now)).await
    }
    async fn hours(&self, counted: Counted, now: Timestamp) -> Result<Hours, Error> {
        self.read(self.inner.hours(counted, now)).await
    }
    async fn backlog(&self, now: Timestamp) -> Result<Backlog, Error> {
        self.read(self.inner.backlog(now)).await
    }
}

impl<W: Watch> Store for Watched<W> {
    fn is_writable(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.is_writable()
    }
}
