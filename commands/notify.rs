//! Tells systemd that the process is ready, still turns, and stops (sd_notify(3)). Nothing where nobody asked.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Tells it until `stop`.
pub(crate) async fn keep_told(stop: CancellationToken) {
    let Some(socket) = socket() else { return };
    // Whoever does not listen any more is not missed.
    let say = |word: &str| drop(socket.send(word.as_bytes()));
    say("READY=1");
    match watchdog() {
        None => stop.cancelled().await,
        Some(every) => {
            while tokio::time::timeout(every, stop.cancelled()).await.is_err() {
                say("WATCHDOG=1");
            }
        }
    }
    say("STOPPING=1");
}

fn socket() -> Option<UnixDatagram> {
    let name = std::env::var_os("NOTIFY_SOCKET")?;
    let socket = UnixDatagram::unbound().ok()?;
    match name.as_bytes().strip_prefix(b"@") {
        None => socket.connect(&name).ok()?,
        Some(name) => connect_abstract(&socket, name)?,
    }
    Some(socket)
}

#[cfg(target_os = "linux")]
fn connect_abstract(socket: &UnixDatagram, name: &[u8]) -> Option<()> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name).ok()?;
    socket.connect_addr(&address).ok()
}

#[cfg(not(target_os = "linux"))]
fn connect_abstract(_: &UnixDatagram, _: &[u8]) -> Option<()> {
    None
}

/// Twice as often as it is waited for.
fn watchdog() -> Option<Duration> {
    let micros: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some(Duration::from_micros(micros / 2)).filter(|every| !every.is_zero())
}
