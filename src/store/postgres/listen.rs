//! Wakes whoever waits for runs: when another process says so, and now and then in any case.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::watch;
use tokio_postgres::AsyncMessage;

use crate::store::error::Error;
use crate::store::postgres::address::Address;
use crate::store::postgres::session::fault;
use crate::store::sql::job::spawn;

/// What the writing threads tell each other by.
const LISTEN: &str = "LISTEN discuno_due";

/// A look without being told: what a process that died was waiting for is found so.
const LOOK: Duration = Duration::from_secs(5);

/// Between two calls at a server that does not answer.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) fn start(address: &Address, changes: &Arc<watch::Sender<u64>>) {
    let (address, changes) = (address.clone(), Arc::downgrade(changes));
    if let Err(error) = spawn("store-listener", move || listen(&address, &changes)) {
        tracing::warn!(tag = "Store", event = "store_listen_failed", error = %error);
    }
}

fn listen(address: &Address, changes: &Weak<watch::Sender<u64>>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let mut lost = false;
    while changes.strong_count() > 0 {
        if let Err(error) = runtime.block_on(hear(address, changes))
            && !lost
        {
            tracing::warn!(tag = "Store", event = "store_listen_lost", error = %error);
            lost = true;
        } else {
            lost = false;
        }
        wake(changes);
        std::thread::sleep(AGAIN);
    }
}

fn wake(changes: &Weak<watch::Sender<u64>>) {
    if let Some(changes) = changes.upgrade() {
        changes.send_modify(|count| *count += 1);
    }
}

/// Until the connection is lost, or nobody waits any more.
async fn hear(address: &Address, changes: &Weak<watch::Sender<u64>>) -> Result<(), Error> {
    let (client, mut connection) = address.connect().await?;
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let listen = client.batch_execute(LISTEN);
    tokio::pin!(listen);
    let mut listening = false;
    while changes.strong_count() > 0 {
        tokio::select! {
            outcome = &mut listen, if !listening => {
                outcome.map_err(|error| fault(&error))?;
                listening = true;
                // What was said before anybody listened.
                wake(changes);
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(_))) => wake(changes),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(fault(&error)),
                None => return Err(Error::Unreachable("the server closed the connection".to_owned())),
            },
            () = tokio::time::sleep(LOOK) => wake(changes),
        }
    }
    Ok(())
}
