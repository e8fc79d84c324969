//! A whole deployment in one thread on virtual time, and what happens to it.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::ctx::Surroundings;
use crate::engine::worker::Worker;
use crate::entropy::Entropy;
use crate::model::policy::Policy;
use crate::model::time::Timestamp;
use crate::ops::alert;
use crate::sandbox::Sandbox;
use crate::sandbox::fault::Provider;
use crate::sandbox::ledger::Booking;
use crate::sim::hub::{Hub, lock};
use crate::sim::post::{self, Doors};
use crate::sim::process::{Life, Turn, Vitals, Wire};
use crate::sim::purchase::{self, Order, Sender};
use crate::sim::report::{Report, Violation};
use crate::sim::script::{Act, Deed, Item, Paid, Script};
use crate::sim::watched::Watched;
use crate::sim::{invariant, operator, version};
use crate::store::Shared;
use crate::store::error::Error;
use crate::store::order::{Deed as OperatorDeed, Order as OperatorOrder};
use crate::store::sqlite::Sqlite;
use crate::transport::Transport;
use crate::transport::in_process::InProcess;
use crate::web;
use crate::workflow::checkout::ProcessCheckout;
use crate::workflow::schedule;

/// When every history begins: 2026-11-05, ten o'clock.
pub const BEGINNING: Timestamp = Timestamp(1_793_872_800_000);

/// No wake-up is missed here, and a clock that is set wakes everybody: else nine looks of ten are at nothing.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

thread_local! {
    /// Statements stay prepared from one history to the next.
    static STORE: RefCell<Option<Sqlite>> = const { RefCell::new(None) };
}

/// One process: what it is across its lives, and the life it has.
struct Process {
    vitals: Arc<Vitals>,
    clock: Clock,
    version: usize,
    worker: Option<AbortOnDropHandle<()>>,
}

pub(super) struct World {
    pub(super) hub: Arc<Hub>,
    /// The store itself, for whoever only looks.
    pub(super) store: Shared,
    /// The same, if it is in memory.
    pub(super) database: Option<Sqlite>,
    pub(super) orders: Vec<Order>,
    pub(super) config: Config,
    pub(super) script: Script,
    processes: Vec<Process>,
    operators: Arc<Vitals>,
    doors: Doors,
    /// What goes on at the same time: deliveries, operators at work.
    pub(super) background: JoinSet<()>,
    providers: InProcess,
    letters: mpsc::UnboundedReceiver<purchase::Letter>,
    turns: mpsc::UnboundedReceiver<Turn>,
    turn_to: mpsc::UnboundedSender<Turn>,
    /// Whether another version of the checkout was deployed in the middle of everything.
    pub(super) deployed: bool,
    lives: u64,
    /// The boundaries met before the calm.
    working: Vec<u64>,
}

/// Goes through a script, from its beginning to the end of all that it starts.
pub fn play(script: &Script, traced: bool) -> Report {
    match in_memory() {
        Ok(database) => within(script, traced, Arc::new(database.clone()), Some(database)),
        Err(error) => broken("harness", format!("{error:#}")),
    }
}

/// The same with all of it kept in this store, in which nothing is yet.
pub fn play_on(store: Shared, script: &Script) -> Report {
    within(script, false, store, None)
}

fn within(script: &Script, traced: bool, store: Shared, database: Option<Sqlite>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return broken("harness", format!("no runtime: {error}")),
    };
    runtime.block_on(async {
        match World::new(script.clone(), traced, store, database) {
            Ok(world) => world.play().await,
            Err(error) => broken("harness", format!("{error:#}")),
        }
    })
}

fn broken(rule: &'static str, why: String) -> Report {
    Report { violation: Some(Violation { rule, why }), ..Report::default() }
}

/// An empty store of this thread.
fn in_memory() -> Result<Sqlite, Error> {
    STORE.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Some(Sqlite::in_memory("test")?);
        }
        let Some(store) = kept else { return Err(Error::Closed) };
        store.forget()?;
        Ok(store.clone())
    })
}

/// The settings of every world.
fn config(script: &Script) -> anyhow::Result<Config> {
    thread_local! {
        static CONFIG: RefCell<Option<Config>> = const { RefCell::new(None) };
    }
    let known = CONFIG.with_borrow(Clone::clone);
    let mut config = if let Some(config) = known {
        config
    } else {
        let base = "http://sandbox.sim".parse()?;
        let config = Config::sandbox(&base, PathBuf::from(":memory:"), "127.0.0.1:0".parse()?)?;
        CONFIG.with_borrow_mut(|kept| *kept = Some(config.clone()));
        config
    };
    let sweep = script.sweep;
    config.concurrency = 8;
    (config.lease, config.settle_after, config.settle_for) = (sweep.lease, sweep.settle_after, sweep.settle_for);
    config.dispute_period = sweep.dispute_period;
    if sweep.refund_called_off {
        config.policies.mentor_cancels = Policy::Refund;
        config.policies.host_no_show = Policy::Refund;
    }
    Ok(config)
}

impl World {
    fn new(script: Script, traced: bool, store: Shared, database: Option<Sqlite>) -> anyhow::Result<Self> {
        let clock = Clock::starting_at(BEGINNING);
        let sandbox = Sandbox::new(clock.clone(), Entropy::seeded(script.seed ^ 0x5A5A));
        let providers = InProcess::new(sandbox.router());
        let (outbox, letters) = mpsc::unbounded_channel();
        let (turn_to, turns) = mpsc::unbounded_channel();
        let hub = Arc::new(Hub::new(script.seed, clock.clone(), sandbox, Arc::clone(&store), outbox, traced));
        let processes: Vec<Process> = (0..script.processes)
            .map(|number| Process {
                vitals: Arc::new(Vitals::new(number, turn_to.clone())),
                clock: clock.of_its_own(),
                version: 0,
                worker: None,
            })
            .collect();
        let operators = Arc::new(Vitals::new(script.processes, turn_to.clone()));
        Ok(Self {
            store,
            database,
            orders: Vec::new(),
            config: config(&script)?,
            doors: Arc::new(std::sync::Mutex::new(vec![None; script.processes])),
            background: JoinSet::new(),
            script,
            processes,
            operators,
            providers,
            letters,
            turns,
            turn_to,
            deployed: false,
            hub,
            lives: 0,
            working: Vec::new(),
        })
    }

    async fn play(mut self) -> Report {
        if let Err(error) = self.begin().await {
            return broken("harness", format!("{error:#}"));
        }
        let items = self.script.items.clone();
        for item in &items {
            if let Act::Blow { process, boundary, blow } = item.act
                && let Some(process) = self.processes.get(process)
            {
                process.vitals.strike_at(boundary, blow);
            }
        }
        let (mut calm, calm_at) = (false, self.script.calm_at);
        for item in items {
            if !calm && item.at >= calm_at {
                self.pass_until(calm_at).await;
                self.calm_down().await;
                calm = true;
            }
            self.pass_until(item.at).await;
            if self.hub.broken().is_some() {
                break;
            }
            self.act(item).await;
        }
        if !calm {
            self.pass_until(calm_at).await;
            self.calm_down().await;
        }
        if self.hub.broken().is_none() {
            self.settle().await;
            invariant::check(&self).await;
        }
        let coverage = std::mem::take(&mut *lock(&self.hub.coverage));
        Report {
            violation: self.hub.broken(),
            coverage,
            trace: self.hub.take_trace(),
            boundaries: self.boundaries(),
            working: self.working,
        }
    }

    fn boundaries(&self) -> Vec<u64> {
        self.processes.iter().map(|process| process.vitals.boundaries()).collect()
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        for number in 0..self.processes.len() {
            self.start(number)?;
        }
        if self.script.sweep.schedules {
            self.begin_schedules().await?;
        }
        Ok(())
    }

    /// What happens by itself again and again, as from the beginning: what was missed is made up for.
    async fn begin_schedules(&self) -> Result<(), Error> {
        self.store.ensure(schedule::first_runs(BEGINNING), self.hub.now()).await
    }

    /// Starts a process: its worker and its entrance.
    fn start(&mut self, number: usize) -> anyhow::Result<()> {
        self.lives += 1;
        let Some(process) = self.processes.get(number) else { return Ok(()) };
        let life = Life::begin(&self.hub, &process.vitals);
        let (app, transport) = self.install(life, process.clock.clone());
        let shipped = app.registry(&transport)?;
        let checkout = ProcessCheckout(Arc::new(app.means(&transport)?));
        let registry = version::of(process.version, shipped, checkout);
        let surroundings = Surroundings { longest_wait: LONGEST_WAIT, ..app.surroundings() };
        let worker = Worker::new(surroundings, Arc::new(registry), app.config.concurrency);
        let running = tokio::spawn(worker.run(CancellationToken::new()));
        if let Some(door) = lock(&self.doors).get_mut(number) {
            *door = Some(InProcess::new(web::router(app.web())));
        }
        let version = process.version;
        self.hub.note(|| format!("process {number} starts with version {version}"));
        if let Some(process) = self.processes.get_mut(number) {
            process.worker = Some(AbortOnDropHandle::new(running));
        }
        Ok(())
    }

    /// A deployment for one life of a process.
    fn install(&self, life: Life, clock: Clock) -> (App, Arc<dyn Transport>) {
        let store: Shared = Arc::new(Watched::new(Arc::clone(&self.store), life.clone()));
        let entropy = Entropy::seeded(self.script.seed.wrapping_mul(31).wrapping_add(self.lives));
        let latency = Entropy::seeded(self.script.seed.wrapping_mul(37).wrapping_add(self.lives));
        let app = App::on(store, self.config.clone(), clock, entropy);
        (app, Arc::new(Wire::new(life, self.providers.clone(), latency, self.config.concurrency)))
    }

    /// The process of an operator's command.
    pub(super) fn command_line(&mut self) -> anyhow::Result<Worker> {
        self.lives += 1;
        let life = Life::begin(&self.hub, &self.operators);
        let (app, transport) = self.install(life, self.hub.clock.clone());
        app.worker_over(&transport)
    }

    fn stop(&mut self, number: usize) {
        if let Some(process) = self.processes.get_mut(number) {
            process.vitals.end_life();
            process.worker = None;
        }
        if let Some(door) = lock(&self.doors).get_mut(number) {
            *door = None;
        }
    }

    /// Lets time pass, and everything happen that comes of itself.
    pub(super) async fn pass_until(&mut self, at: u64) {
        let until = BEGINNING.plus(Duration::from_millis(at));
        loop {
            let left = until.since(self.hub.now());
            tokio::select! {
                biased;
                Some(turn) = self.turns.recv() => self.turn(turn),
                Some(letter) = self.letters.recv() => self.send(&letter),
                Some(_) = self.background.join_next() => {}
                () = tokio::time::sleep(left) => return,
            }
            if self.hub.broken().is_some() {
                return;
            }
        }
    }

    /// A process is gone, and somebody starts it again after a while.
    fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Gone(number, down) => {
                self.stop(number);
                let back = self.turn_to.clone();
                self.background.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(down)).await;
                    let _ = back.send(Turn::Back(number));
                });
            }
            Turn::Back(number) if self.processes.get(number).is_some_and(|process| process.worker.is_none()) => {
                if let Err(error) = self.start(number) {
                    self.hub.breaks("harness", format!("{error:#}"));
                }
            }
            Turn::Back(_) => {}
        }
    }

    fn send(&mut self, letter: &purchase::Letter) {
        for after in post::arrivals(&self.hub, letter, self.script.weather) {
            let (hub, doors) = (Arc::clone(&self.hub), Arc::clone(&self.doors));
            self.background.spawn(post::deliver(hub, doors, letter.clone(), after));
        }
    }

    async fn act(&mut self, item: Item) {
        match item.act {
            Act::Buy(purchase) => {
                let order = Order::new(&purchase, self.script.seed, self.hub.now());
                self.buy(&order);
                self.orders.push(order);
            }
            Act::Happen(number, deed) => self.happen(number, deed),
            Act::Order(number, command) => operator::act(self, number, command).await,
            Act::Fault(fault) => self.hub.sandbox.inject(fault),
            Act::Outage(fault, millis) => {
                self.hub.note(|| format!("outage of {:?} for {millis} ms: {:?}", fault.provider, fault.effect));
                self.hub.count(|| format!("outage/{:?}", fault.provider));
                self.hub.sandbox.inject(fault.clone());
                let sandbox = self.hub.sandbox.clone();
                self.background.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    sandbox.lift(&fault);
                });
            }
            // Set up before anything happens.
            Act::Blow { .. } => {}
            Act::Strike { when, verb, skip, blow } => self.hub.strike_at(format!("{when} {verb}"), skip, blow),
            Act::Skew { process, by, millis } => {
                let Some(clock) = self.processes.get(process).map(|process| process.clock.clone()) else { return };
                self.hub.note(|| format!("the clock of process {process} is wrong by {by} ms"));
                self.hub.count(|| format!("clock/{}", if by < 0 { "behind" } else { "ahead" }));
                clock.set_ahead(by);
                self.hub.wake();
                let hub = Arc::clone(&self.hub);
                self.background.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    clock.set_ahead(0);
                    hub.wake();
                });
            }
            Act::DiskFull(millis) => {
                self.hub.note(|| format!("the disk is full for {millis} ms"));
                let until = self.hub.now().plus(Duration::from_millis(millis));
                self.hub.full_until.store(until.0, Ordering::Relaxed);
            }
            Act::Deaf(provider, millis) => {
                self.hub.note(|| format!("what {provider:?} sends is lost for {millis} ms"));
                let sender = if provider == Provider::Cal { Sender::Cal } else { Sender::Stripe };
                self.hub.deafen(sender, self.hub.now().plus(Duration::from_millis(millis)));
            }
            Act::TestAlert => {
                if let Err(error) = alert::test(&self.store, "mia", self.hub.now()).await {
                    self.hub.breaks("harness", format!("no alert can be tested: {error}"));
                }
                self.hub.wake();
            }
            Act::Deploy { process, version } => {
                self.hub.count(|| format!("deploy/{version}"));
                self.deployed = true;
                self.stop(process);
                if let Some(process) = self.processes.get_mut(process) {
                    process.version = version;
                }
                if let Err(error) = self.start(process) {
                    self.hub.breaks("harness", format!("{error:#}"));
                }
            }
        }
    }

    fn buy(&mut self, order: &Order) {
        let now = self.hub.now();
        if let Some(letter) = order.fee(now) {
            self.hub.sandbox.observe(&letter.bytes());
        }
        let (first, second) = match order.purchase.paid {
            Paid::AtOnce | Paid::Unusable => (("completed", "paid"), None),
            Paid::Free => (("completed", "no_payment_required"), None),
            Paid::Later(after) => (("completed", "unpaid"), Some((after, "async_payment_succeeded", "paid"))),
            Paid::Never(after) => (("completed", "unpaid"), Some((after, "async_payment_failed", "unpaid"))),
            Paid::Expired => (("expired", "unpaid"), None),
        };
        self.hub.happen(order.session(first.0, first.1, now));
        if let Some((after, what, status)) = second {
            let (hub, order) = (Arc::clone(&self.hub), order.clone());
            self.background.spawn(async move {
                tokio::time::sleep(Duration::from_millis(after)).await;
                hub.happen(order.session(what, status, hub.now()));
            });
        }
    }

    fn happen(&mut self, number: usize, deed: Deed) {
        let Some(order) = self.orders.iter().find(|order| order.purchase.number == number) else { return };
        let (hub, now) = (&self.hub, self.hub.now());
        let paid = order.purchase.paid != Paid::Free && hub.sandbox.is_paid(&order.intent);
        let refunds = hub.sandbox.refunds_of(&order.intent);
        let standing = hub.sandbox.standing(order.reference()).into_iter().next();
        let back: i64 = refunds.iter().filter(|refund| refund.counts()).map(|refund| refund.amount).sum();
        let newest = |status: &str| refunds.iter().rev().find(|refund| refund.status == status);
        let letter = match deed {
            Deed::CheckoutCancelled => Some(order.cancelled_by_application(now)),
            // A dispute that is decided does not open again.
            Deed::Disputed => {
                (paid && !hub.is_disputed(&order.intent)).then(|| order.dispute("created", "needs_response", now))
            }
            Deed::DisputeWon => paid.then(|| order.dispute("closed", "won", now)),
            Deed::DisputeLost => paid.then(|| order.dispute("closed", "lost", now)),
            Deed::RefundedInDashboard { amount } => {
                (paid && back + amount <= purchase::PRICE).then(|| order.refunded_in_dashboard(amount, now))
            }
            Deed::RefundFails => newest("pending")
                .or_else(|| newest("succeeded"))
                .map(|refund| purchase::about_refund("refund.failed", refund, "failed", now)),
            Deed::RefundSettles => {
                newest("pending").map(|refund| purchase::about_refund("refund.updated", refund, "succeeded", now))
            }
            Deed::SlotTaken => Some(order.slot_taken(now)),
            Deed::AccountTold => Some(order.account(now)),
            Deed::PaidOut => Some(order.payout("paid", now)),
            Deed::PayoutFails => Some(order.payout("failed", now)),
            Deed::BookedAgain => standing.map(|booking| {
                // For what was sold, wherever the first was moved to.
                let again = Booking { start: order.start, ..booking };
                let more = [("uid", format!("{}-again", again.uid).into()), ("bookingId", (again.id + 7000).into())];
                purchase::about_booking("BOOKING_CREATED", &again, now, &more)
            }),
            Deed::SignedUp => Some(order.signed_up(now)),
            Deed::SoldLive => {
                hub.stray(order.sold_live(now));
                None
            }
            Deed::MentorCancels | Deed::AttendeeCancels => standing.map(|booking| {
                let by = if deed == Deed::MentorCancels { "jane@example.com" } else { &booking.attendee_email };
                purchase::about_booking("BOOKING_CANCELLED", &booking, now, &[("cancelledBy", by.into())])
            }),
            Deed::MentorDeclines => {
                standing.map(|booking| purchase::about_booking("BOOKING_REJECTED", &booking, now, &[]))
            }
            Deed::Rescheduled => standing.filter(|booking| booking.start > now).map(|booking| {
                let start = booking.start.plus(Duration::from_hours(1));
                let end = start.plus(Duration::from_mins(30));
                let more = [
                    ("uid", format!("{}-moved", booking.uid).into()),
                    ("bookingId", (booking.id + 5000).into()),
                    ("rescheduleUid", booking.uid.clone().into()),
                    ("rescheduleStartTime", booking.start.to_string().into()),
                    ("startTime", start.to_string().into()),
                    ("endTime", end.to_string().into()),
                ];
                purchase::about_booking("BOOKING_RESCHEDULED", &booking, now, &more)
            }),
            Deed::Begins => standing.map(|booking| purchase::about_booking("MEETING_STARTED", &booking, now, &[])),
            Deed::Ends => standing.map(|booking| purchase::about_booking("MEETING_ENDED", &booking, now, &[])),
            Deed::HostAbsent => standing
                .filter(|booking| booking.start <= now)
                .map(|booking| purchase::about_booking("AFTER_HOSTS_CAL_VIDEO_NO_SHOW", &booking, now, &[])),
        };
        if let Some(letter) = letter {
            match deed {
                Deed::Disputed | Deed::DisputeLost => self.hub.disputed(&order.intent, true),
                Deed::DisputeWon => self.hub.disputed(&order.intent, false),
                _ => {}
            }
            self.hub.count(|| format!("deed/{deed:?}").split(['{', ' ']).next().unwrap_or_default().to_owned());
            self.hub.happen(letter);
        }
    }

    /// What an operator does to the file directly.
    pub(super) async fn order(&self, deed: OperatorDeed) {
        let order = OperatorOrder { actor: "mia".to_owned(), reason: Some("asked for".to_owned()), deed };
        let outcome = self.store.operate(order, self.hub.now()).await;
        self.hub.note(|| match &outcome {
            Ok(done) => format!("an operator orders: {}", done.after),
            Err(error) => format!("an operator orders: refused: {error}"),
        });
        self.hub.wake();
    }

    /// From now on nothing goes wrong: what was broken is mended, and what was lost is fetched.
    async fn calm_down(&mut self) {
        self.hub.note(|| "calm".to_owned());
        self.working = self.boundaries();
        self.hub.calm.store(true, Ordering::Relaxed);
        self.hub.full_until.store(0, Ordering::Relaxed);
        self.hub.sandbox.clear_faults();
        self.hub.spare();
        for number in 0..self.processes.len() {
            let Some(process) = self.processes.get_mut(number) else { continue };
            process.clock.set_ahead(0);
            process.vitals.spare();
            let up = process.worker.is_some();
            if !up && let Err(error) = self.start(number) {
                self.hub.breaks("harness", format!("{error:#}"));
            }
        }
        for pause in self.store.pauses().await.unwrap_or_default() {
            self.order(OperatorDeed::Resume(pause.what)).await;
        }
        if !self.script.sweep.schedules
            && let Err(error) = self.begin_schedules().await
        {
            self.hub.breaks("harness", format!("the schedules cannot begin: {error}"));
        }
        self.hub.wake();
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.hub.now().since(BEGINNING)
    }
}
