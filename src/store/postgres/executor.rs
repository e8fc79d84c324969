//! Runs verbs on the server: grouped into commits by a few writing threads, read on a few more.
//!
//! A group is one transaction with a savepoint for each job, as on a file. Only its first job may wait for a lock: the
//! ones after it hold what the first ones locked, and if they too waited, two groups could wait for each other. A job
//! that would have to wait is taken back and leads the next group.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, mpsc};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::observe::metrics::Metrics;
use crate::store::BUSY_TIMEOUT;
use crate::store::error::Error;
use crate::store::postgres::Mode;
use crate::store::postgres::address::Address;
use crate::store::postgres::session::Session;
use crate::store::sql::Connection;
use crate::store::sql::job::{Job, spawn, submit, submit_and_block};

/// At most this many jobs share one commit.
const GROUP: usize = 64;

/// What waits longer behind others is taken back, and leads the next group.
const HASTE: &str = "SET LOCAL lock_timeout = '20ms'; SAVEPOINT job";

/// Other processes are told of runs that have become due at most this often by one thread.
const TELLING: Duration = Duration::from_millis(5);

/// How long to wait before a server that went away is called again.
const AGAIN: Duration = Duration::from_millis(200);

/// How long what comes meanwhile waits for the server's word on an earlier commit.
const HEARING: Duration = Duration::from_secs(1);
const UNHEARD: &str =
    "an earlier commit is not answered yet, as while no synchronous standby is there; nothing was written";

/// What other processes listen for. It need not be kept, so no standby is waited for.
const TELL: &str = "SET LOCAL synchronous_commit = off; NOTIFY discuno_due";

type Queue = mpsc::Sender<Box<dyn Job>>;
type Waiting = mpsc::Receiver<Box<dyn Job>>;
type Jobs = Arc<Mutex<Waiting>>;

/// The connections and who runs them.
#[derive(Clone)]
pub(super) struct Executor {
    writer: Queue,
    /// None where one thread does everything, while the caller's stands still.
    reader: Option<Queue>,
    changes: Arc<watch::Sender<u64>>,
}

impl Executor {
    pub(super) fn open(address: &Address, mode: Mode, metrics: &Metrics) -> Result<Self, Error> {
        let changes = Arc::new(watch::Sender::new(0));
        let (writer, jobs) = mpsc::channel();
        let jobs: Jobs = Arc::new(Mutex::new(jobs));
        let (writers, readers) = match mode {
            Mode::Threads { writers, readers } => (writers, readers),
            Mode::Inline => (1, 0),
        };
        for number in 1..=writers {
            let writer = Writer {
                address: address.clone(),
                session: None,
                witness: None,
                changes: Arc::downgrade(&changes),
                metrics: metrics.clone(),
                told: None,
                owed: false,
            };
            let jobs = Arc::clone(&jobs);
            spawn(&format!("store-writer-{number}"), move || writer.serve(&jobs))?;
        }
        let mut reader = None;
        if readers > 0 {
            let (queue, jobs) = mpsc::channel();
            let jobs: Jobs = Arc::new(Mutex::new(jobs));
            for number in 1..=readers {
                let (address, jobs) = (address.clone(), Arc::clone(&jobs));
                spawn(&format!("store-reader-{number}"), move || read(&address, &jobs))?;
            }
            reader = Some(queue);
        }
        Ok(Self { writer, reader, changes })
    }

    pub(super) fn changes(&self) -> &Arc<watch::Sender<u64>> {
        &self.changes
    }

    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Connection<'_>) -> Result<T, Error> + Send + 'static,
    {
        match &self.reader {
            Some(_) => submit(&self.writer, work).await,
            None => submit_and_block(&self.writer, work),
        }
    }

    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Connection<'_>) -> Result<T, Error> + Send + 'static,
    {
        match &self.reader {
            Some(reader) => submit(reader, work).await,
            None => submit_and_block(&self.writer, work),
        }
    }
}

fn read(address: &Address, jobs: &Mutex<Waiting>) {
    let mut session = None;
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(address.pace().clock);
        let mut job = match job {
            Ok(job) => job,
            // The server's clock is gone by also where the store is asked nothing.
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if connected(address, &mut session).is_err() {
                    session = None;
                }
                continue;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        let deadline = Instant::now() + BUSY_TIMEOUT;
        loop {
            let outcome = look(address, &mut session, &mut job);
            let lost = matches!(job.error().or(outcome.as_ref().err()), Some(Error::Unreachable(_)));
            if lost {
                session = None;
                if Instant::now() < deadline {
                    std::thread::sleep(AGAIN);
                    continue;
                }
            }
            job.answer(outcome);
            break;
        }
        if let Some(session) = &session {
            // Its snapshot keeps the server from tidying up.
            let _ = session.batch("ROLLBACK");
        }
    }
}

fn look(address: &Address, session: &mut Option<Session>, job: &mut Box<dyn Job>) -> Result<(), Error> {
    let session = connected(address, session)?;
    session.begin(false);
    session.send_ahead("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    job.run(&Connection::Postgres(session));
    Ok(())
}

fn connected<'a>(address: &Address, session: &'a mut Option<Session>) -> Result<&'a Session, Error> {
    if session.is_none() {
        // The store is open, so we were let in before: it is the server that is not to be had, and not what is asked.
        let opened = Session::open(address).map_err(|error| match error {
            Error::Illegal(said) => Error::Unreachable(said),
            other => other,
        });
        *session = Some(opened?);
    }
    let session = session.as_ref().ok_or(Error::Closed)?;
    session.keep_time()?;
    Ok(session)
}

/// A writing thread: takes what waits, gives each its savepoint, commits once, then answers everyone.
struct Writer {
    address: Address,
    session: Option<Session>,
    /// By which the server is asked of a commit that it does not answer.
    witness: Option<Session>,
    changes: std::sync::Weak<watch::Sender<u64>>,
    metrics: Metrics,
    /// When other processes were last told of a change.
    told: Option<Instant>,
    owed: bool,
}

impl Writer {
    fn serve(mut self, jobs: &Mutex<Waiting>) {
        let mut postponed: VecDeque<Box<dyn Job>> = VecDeque::new();
        loop {
            let mut group: Vec<Box<dyn Job>> = postponed.pop_front().into_iter().collect();
            if group.is_empty() {
                let waiting = self.stand_in_line(jobs);
                let first = if self.owed { waiting.recv_timeout(TELLING) } else { waiting.recv().map_err(Into::into) };
                match first {
                    Ok(first) => {
                        group.push(first);
                        group.extend(waiting.try_iter().take(GROUP - 1));
                    }
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
            }
            if let Err(error) = self.settle() {
                for job in group.into_iter().chain(postponed.drain(..)) {
                    job.answer(Err(error.clone()));
                }
            } else if group.is_empty() {
                self.tell();
            } else {
                self.carry_out(group, &mut postponed);
            }
        }
    }

    /// The queue, once no other thread waits for what comes next. That may take long: whoever is owed a word has it before.
    fn stand_in_line<'a>(&mut self, jobs: &'a Mutex<Waiting>) -> MutexGuard<'a, Waiting> {
        if self.owed && matches!(jobs.try_lock(), Err(TryLockError::WouldBlock)) {
            std::thread::sleep(TELLING);
            if self.settle().is_ok() {
                self.tell();
            }
        }
        jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// While the server owes its word on a commit, nothing is asked of it by this thread: the next one would wait as
    /// well, and a session that is left behind stays at the server for as long as its commit waits.
    fn settle(&mut self) -> Result<(), Error> {
        let Some(session) = self.session.as_ref().filter(|session| session.is_in_doubt()) else { return Ok(()) };
        self.owed = false;
        match session.hear(HEARING) {
            Ok(true) => {}
            Err(_) => self.session = None,
            Ok(false) => match connected(&self.address, &mut self.witness).and_then(|it| it.sees_at_work(session)) {
                Ok(true) => return Err(Error::Unreachable(UNHEARD.to_owned())),
                // Its word was lost on the way.
                Ok(false) => self.session = None,
                Err(error) => {
                    self.witness = None;
                    return Err(error);
                }
            },
        }
        self.witness = None;
        // It may have been kept, and nobody was told.
        self.owed = true;
        self.wake();
        Ok(())
    }

    /// Wakes those who wait in this process.
    fn wake(&self) {
        if let Some(changes) = self.changes.upgrade() {
            changes.send_modify(|count| *count += 1);
        }
    }

    /// Another session takes the place of this one, unless the server still owes its word on a commit.
    fn let_go(&mut self) {
        self.session.take_if(|session| !session.is_in_doubt());
    }

    /// Tells other processes, which the caller need not wait for.
    fn tell(&mut self) {
        if let Some(session) = &self.session
            && session.batch(TELL).is_err()
        {
            self.session = None;
        }
        (self.told, self.owed) = (Some(Instant::now()), false);
    }

    /// Does it until it is done, is certain to have failed, or may have been done: only what cannot have been kept is
    /// done again.
    fn carry_out(&mut self, mut group: Vec<Box<dyn Job>>, postponed: &mut VecDeque<Box<dyn Job>>) {
        let deadline = Instant::now() + BUSY_TIMEOUT;
        loop {
            let start = Instant::now();
            let outcome = self.transact(&mut group);
            self.metrics.committed(u32::try_from(group.len()).unwrap_or(u32::MAX), start.elapsed());
            match outcome {
                Ok(late) => {
                    for (job, late) in group.into_iter().zip(late) {
                        if late {
                            postponed.push_back(job);
                        } else {
                            job.answer(Ok(()));
                        }
                    }
                    return;
                }
                Err(Error::Busy | Error::Unreachable(_)) if Instant::now() < deadline => {
                    if matches!(outcome, Err(Error::Unreachable(_))) {
                        self.let_go();
                        std::thread::sleep(AGAIN);
                    }
                }
                Err(error) => {
                    if !matches!(error, Error::Busy | Error::Backend(_)) {
                        self.let_go();
                    }
                    for job in group {
                        job.answer(Err(error.clone()));
                    }
                    return;
                }
            }
        }
    }

    /// One transaction; which jobs were taken back, to be done later.
    fn transact(&mut self, group: &mut [Box<dyn Job>]) -> Result<Vec<bool>, Error> {
        let session = connected(&self.address, &mut self.session)?;
        let conn = Connection::Postgres(session);
        let mut late = vec![false; group.len()];
        let alone = group.len() == 1;
        session.begin(true);
        session.send_ahead("BEGIN");
        let mut kept = false;
        for (number, job) in group.iter_mut().enumerate() {
            match number {
                _ if alone => {}
                1 => session.send_ahead(HASTE),
                _ => session.send_ahead("SAVEPOINT job"),
            }
            let good = job.run(&conn) && !session.has_failed();
            match job.error() {
                None if good => {}
                Some(Error::Unreachable(said)) => return Err(Error::Unreachable(said.clone())),
                Some(Error::Busy) if alone => {
                    session.forgive();
                    session.batch("ROLLBACK")?;
                    return Err(Error::Busy);
                }
                Some(Error::Busy) => late[number] = true,
                Some(_) => {}
                // It went on after the server had refused something.
                None => {
                    session.batch("ROLLBACK")?;
                    return Err(Error::Backend("a statement failed and its verb went on".to_owned()));
                }
            }
            kept |= good;
            if good && !alone {
                session.send_ahead("RELEASE job");
            } else if !good && !alone {
                session.forgive();
                session.send_ahead("ROLLBACK TO job; RELEASE job");
            }
        }
        if !kept {
            session.forgive();
            session.batch("ROLLBACK")?;
            return Ok(late);
        }
        let woke = session.woke();
        let telling = woke && self.told.is_none_or(|told| told.elapsed() >= TELLING);
        session.commit(telling.then_some(TELL))?;
        if telling {
            (self.told, self.owed) = (Some(Instant::now()), false);
        } else {
            self.owed |= woke;
        }
        if woke {
            self.wake();
        }
        Ok(late)
    }
}
