//! Units of work on their way to the thread that holds a connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use tokio::sync::oneshot;

use crate::store::error::Error;
use crate::store::sql::Connection;

/// A unit of work that has its own savepoint in a group, and answers only once the group is committed.
pub(in crate::store) trait Job: Send {
    /// Does it, as often as it takes; whether it went well.
    fn run(&mut self, conn: &Connection<'_>) -> bool;
    /// What went wrong the last time.
    fn error(&self) -> Option<&Error>;
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

struct Closure<T, F, R> {
    work: F,
    result: Option<Result<T, Error>>,
    reply: R,
}

impl<T, F, R> Job for Closure<T, F, R>
where
    T: Send,
    F: Fn(&Connection<'_>) -> Result<T, Error> + Send,
    R: FnOnce(Result<T, Error>) + Send,
{
    fn run(&mut self, conn: &Connection<'_>) -> bool {
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(conn)))
            .unwrap_or_else(|_| Err(Error::Backend("a store verb panicked".to_owned())));
        let good = result.is_ok();
        self.result = Some(result);
        good
    }

    fn error(&self) -> Option<&Error> {
        self.result.as_ref().and_then(|result| result.as_ref().err())
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        (self.reply)(match (self.result, committed) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(Error::Closed),
        });
    }
}

/// Has `work` done by the thread at the other end.
pub(in crate::store) async fn submit<T, F>(queue: &mpsc::Sender<Box<dyn Job>>, work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: Fn(&Connection<'_>) -> Result<T, Error> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    // The caller may have gone; the work is done all the same.
    let reply = move |result| drop(reply.send(result));
    queue.send(Box::new(Closure { work, result: None, reply })).map_err(|_| Error::Closed)?;
    answer.await.unwrap_or(Err(Error::Closed))
}

/// The same while the caller's thread stands still: a paused clock must not run ahead meanwhile.
pub(in crate::store) fn submit_and_block<T, F>(queue: &mpsc::Sender<Box<dyn Job>>, work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: Fn(&Connection<'_>) -> Result<T, Error> + Send + 'static,
{
    let (reply, answer) = mpsc::sync_channel(1);
    let reply = move |result| drop(reply.send(result));
    queue.send(Box::new(Closure { work, result: None, reply })).map_err(|_| Error::Closed)?;
    answer.recv().unwrap_or(Err(Error::Closed))
}

/// Starts a thread of the store.
pub(in crate::store) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
        .map_err(|error| Error::Backend(format!("could not start {name}: {error}")))
}
