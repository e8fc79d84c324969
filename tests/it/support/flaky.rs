//! A store whose n-th write by a run goes wrong.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use discuno::model::account::Account;
use discuno::model::act::Act as StoredAct;
use discuno::model::alert::{Alert, Finding, Pace};
use discuno::model::booking::Booking;
use discuno::model::case::Case;
use discuno::model::event::{Event as StoredEvent, Source};
use discuno::model::id::{ActId, AlertId, CaseId, EventId, MailId, PaymentId, RefundId, RunId, TransferId};
use discuno::model::lease::Lease;
use discuno::model::mail::Mail;
use discuno::model::pause::Pause;
use discuno::model::payment::Payment;
use discuno::model::refund::Refund;
use discuno::model::run::{End, Run};
use discuno::model::step::Attempt;
use discuno::model::takings::Summary;
use discuno::model::time::Timestamp;
use discuno::model::transfer::Transfer;
use discuno::store::alerts::{Alerts, Arrivals, CaseGroup};
use discuno::store::change::{Change, NewRun, Plan, RefundIntent, TransferIntent};
use discuno::store::error::Error;
use discuno::store::filter::{Filter, PaymentLine, RunLine};
use discuno::store::hours::{Counted, Hours};
use discuno::store::levels::Levels;
use discuno::store::order::{Order, Performed};
use discuno::store::status::Status;
use discuno::store::{
    Backlog, Claimed, Discrepancy, Inbox, Ingested, Ledger, Lists, Onward, Operations, Queue, Shared, Store, Story,
    Subject, Views,
};
use futures_util::future::BoxFuture;

use crate::support::Trip;

pub(crate) struct Flaky {
    inner: Shared,
    left: AtomicI64,
    trip: Trip,
}

impl Flaky {
    /// Fails the write numbered `write`: before it is done, or after, when nobody is told that it is done.
    pub(crate) fn new(inner: Shared, write: i64, trip: Trip) -> Self {
        Self { inner, left: AtomicI64::new(write), trip }
    }

    /// Whether there were as many writes.
    pub(crate) fn tripped(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    async fn through<T: Send>(&self, write: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        if self.left.fetch_sub(1, Ordering::SeqCst) != 0 {
            return write.await;
        }
        match self.trip {
            Trip::Before => Err(Error::Full("the disk is full".to_owned())),
            Trip::After => {
                write.await?;
                Err(Error::CommitUnknown("the disk did not answer".to_owned()))
            }
        }
    }
}

#[async_trait]
impl Lists for Flaky {
    async fn payments(&self, filter: Filter) -> Result<Vec<PaymentLine>, Error> {
        self.inner.payments(filter).await
    }
    async fn refunds(&self, filter: Filter) -> Result<Vec<Refund>, Error> {
        self.inner.refunds(filter).await
    }
    async fn bookings(&self, filter: Filter) -> Result<Vec<Booking>, Error> {
        self.inner.bookings(filter).await
    }
    async fn runs(&self, filter: Filter) -> Result<Vec<RunLine>, Error> {
        self.inner.runs(filter).await
    }
    async fn events(&self, filter: Filter) -> Result<Vec<StoredEvent>, Error> {
        self.inner.events(filter).await
    }
    async fn cases(&self, filter: Filter) -> Result<Vec<Case>, Error> {
        self.inner.cases(filter).await
    }
    async fn acts(&self, filter: Filter) -> Result<Vec<StoredAct>, Error> {
        self.inner.acts(filter).await
    }
}

#[async_trait]
impl Operations for Flaky {
    async fn operate(&self, order: Order, now: Timestamp) -> Result<Performed, Error> {
        self.inner.operate(order, now).await
    }
    async fn rehearse(&self, order: Order, now: Timestamp) -> Result<Performed, Error> {
        self.inner.rehearse(order, now).await
    }
    async fn pauses(&self) -> Result<Vec<Pause>, Error> {
        self.inner.pauses().await
    }
    async fn broken_act(&self) -> Result<Option<ActId>, Error> {
        self.inner.broken_act().await
    }
}

#[async_trait]
impl Queue for Flaky {
    async fn claim(&self, owner: &str, want: usize, now: Timestamp, until: Timestamp) -> Result<Vec<Claimed>, Error> {
        self.inner.claim(owner, want, now, until).await
    }
    async fn claim_run(
        &self,
        owner: &str,
        run: RunId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claimed>, Error> {
        self.inner.claim_run(owner, run, now, until).await
    }
    async fn put_back(&self, lease: Lease, due_at: Timestamp, now: Timestamp) -> Result<(), Error> {
        self.through(self.inner.put_back(lease, due_at, now)).await
    }
    async fn renew(&self, leases: Vec<Lease>, until: Timestamp) -> Result<Vec<Lease>, Error> {
        self.inner.renew(leases, until).await
    }
    async fn record(&self, lease: Lease, tried: Attempt, also: Vec<Change>, now: Timestamp) -> Result<Onward, Error> {
        self.through(self.inner.record(lease, tried, also, now)).await
    }
    async fn write(&self, lease: Lease, changes: Vec<Change>, now: Timestamp) -> Result<(), Error> {
        self.through(self.inner.write(lease, changes, now)).await
    }
    async fn suspend(
        &self,
        lease: Lease,
        tried: Option<Attempt>,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.through(self.inner.suspend(lease, tried, due_at, now)).await
    }
    async fn finish(&self, lease: Lease, end: End, now: Timestamp) -> Result<(), Error> {
        self.through(self.inner.finish(lease, end, now)).await
    }
    async fn cancel(&self, run: RunId, now: Timestamp) -> Result<bool, Error> {
        self.inner.cancel(run, now).await
    }
    async fn ensure(&self, runs: Vec<NewRun>, now: Timestamp) -> Result<(), Error> {
        self.inner.ensure(runs, now).await
    }
    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u32, Error> {
        self.inner.prune(before, limit).await
    }
    async fn prunable(&self, before: Timestamp) -> Result<u32, Error> {
        self.inner.prunable(before).await
    }
    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        self.inner.next_due().await
    }
    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.changes()
    }
}

#[async_trait]
impl Ledger for Flaky {
    async fn intend_refund(&self, lease: Option<Lease>, intent: RefundIntent, now: Timestamp) -> Result<Refund, Error> {
        self.through(self.inner.intend_refund(lease, intent, now)).await
    }
    async fn intend_transfer(&self, lease: Lease, intent: TransferIntent, now: Timestamp) -> Result<Transfer, Error> {
        self.through(self.inner.intend_transfer(lease, intent, now)).await
    }
    async fn transfer(&self, id: TransferId) -> Result<Transfer, Error> {
        self.inner.transfer(id).await
    }
    async fn booking(&self, uid: &str) -> Result<Option<Booking>, Error> {
        self.inner.booking(uid).await
    }
    async fn account(&self, id: &str) -> Result<Option<Account>, Error> {
        self.inner.account(id).await
    }
    async fn complete_until(&self, source: Source) -> Result<Option<Timestamp>, Error> {
        self.inner.complete_until(source).await
    }
    async fn payment(&self, id: PaymentId) -> Result<Payment, Error> {
        self.inner.payment(id).await
    }
    async fn refund(&self, id: RefundId) -> Result<Refund, Error> {
        self.inner.refund(id).await
    }
    async fn run(&self, id: RunId) -> Result<Run, Error> {
        self.inner.run(id).await
    }
    async fn case(&self, id: CaseId) -> Result<Case, Error> {
        self.inner.case(id).await
    }
    async fn mail(&self, id: MailId) -> Result<Mail, Error> {
        self.inner.mail(id).await
    }
}

#[async_trait]
impl Alerts for Flaky {
    async fn report(&self, found: Vec<Finding>, pace: Pace, now: Timestamp) -> Result<Option<RunId>, Error> {
        self.inner.report(found, pace, now).await
    }
    async fn alert(&self, id: AlertId) -> Result<Alert, Error> {
        self.inner.alert(id).await
    }
    async fn alerts(&self, all: bool, limit: u32) -> Result<Vec<Alert>, Error> {
        self.inner.alerts(all, limit).await
    }
    async fn arrivals(&self, after: EventId) -> Result<Arrivals, Error> {
        self.inner.arrivals(after).await
    }
    async fn case_group(&self, case: CaseId, span: Duration, now: Timestamp) -> Result<CaseGroup, Error> {
        self.inner.case_group(case, span, now).await
    }
}

#[async_trait]
impl Inbox for Flaky {
    async fn ingest(&self, plan: Plan, now: Timestamp) -> Result<Ingested, Error> {
        self.inner.ingest(plan, now).await
    }
}

#[async_trait]
impl Views for Flaky {
    async fn resolve_whole(&self, id: &str) -> Result<Subject, Error> {
        self.inner.resolve_whole(id).await
    }
    async fn resolve(&self, id: &str) -> Result<Subject, Error> {
        self.inner.resolve(id).await
    }
    async fn story(&self, subject: Subject) -> Result<Story, Error> {
        self.inner.story(subject).await
    }
    async fn body(&self, event: EventId) -> Result<Vec<u8>, Error> {
        self.inner.body(event).await
    }
    async fn discrepancies(&self, since: Timestamp, limit: u32) -> Result<Vec<Discrepancy>, Error> {
        self.inner.discrepancies(since, limit).await
    }
    async fn summary(&self, from: Timestamp, until: Timestamp) -> Result<Summary, Error> {
        self.inner.summary(from, until).await
    }
    async fn status(&self, now: Timestamp) -> Result<Status, Error> {
        self.inner.status(now).await
    }
    async fn levels(&self, now: Timestamp) -> Result<Levels, Error> {
        self.inner.levels(now).await
    }
    async fn hours(&self, counted: Counted, now: Timestamp) -> Result<Hours, Error> {
        self.inner.hours(counted, now).await
    }
    async fn backlog(&self, now: Timestamp) -> Result<Backlog, Error> {
        self.inner.backlog(now).await
    }
}

impl Store for Flaky {
    fn is_writable(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.is_writable()
    }
}
