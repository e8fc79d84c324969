//! The way from a process to a server, which is cut at a commit.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::Trip;
use crate::support::cluster::Cluster;

/// As they stand in the protocol.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

/// Which commits are lost, of those that are still to come.
type Cuts = dyn FnMut() -> Option<Trip> + Send;

/// Accepts connections for as long as the test process lives. The server has no TLS for whoever comes this way.
pub(crate) struct Cable {
    port: u16,
    state: Arc<State>,
}

struct State {
    cuts: Mutex<Box<Cuts>>,
    cut: AtomicUsize,
    /// Where it is cut, both ends stay as they are, and nothing more is heard from the server's.
    silent: AtomicBool,
}

impl State {
    fn next(&self) -> Option<Trip> {
        let trip = self.cuts.lock().unwrap()()?;
        self.cut.fetch_add(1, Ordering::SeqCst);
        Some(trip)
    }
}

impl Cable {
    pub(crate) fn to(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            cuts: Mutex::new(Box::new(|| None)),
            cut: AtomicUsize::new(0),
            silent: AtomicBool::new(false),
        });
        let (socket, shared) = (cluster.socket(), Arc::clone(&state));
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                join(near, &socket, &shared);
            }
        });
        Self { port, state }
    }

    /// The address of a database of the server's by this way.
    pub(crate) fn address(&self, direct: &str) -> String {
        format!("postgres://discuno@127.0.0.1:{}/{}", self.port, direct.rsplit('/').next().unwrap())
    }

    /// The next commit is lost: before the server hears of it, or after it has done it and before that is heard.
    pub(crate) fn is_cut_at_the_next_commit(&self, trip: Trip) {
        let mut left = Some(trip);
        *self.state.cuts.lock().unwrap() = Box::new(move || left.take());
    }

    /// The next commit is done, and nobody ever says so.
    pub(crate) fn is_silent_from_the_next_commit(&self) {
        self.state.silent.store(true, Ordering::SeqCst);
        self.is_cut_at_the_next_commit(Trip::After);
    }

    /// Each commit of this number is lost, by turns before and after.
    pub(crate) fn is_cut_at_every(&self, interval: usize) {
        let mut commits = 0;
        *self.state.cuts.lock().unwrap() = Box::new(move || {
            commits += 1;
            let trip = if (commits / interval).is_multiple_of(2) { Trip::Before } else { Trip::After };
            commits.is_multiple_of(interval).then_some(trip)
        });
    }

    /// How often it was cut.
    pub(crate) fn cuts(&self) -> usize {
        self.state.cut.load(Ordering::SeqCst)
    }
}

fn join(near: TcpStream, socket: &Path, state: &Arc<State>) {
    let ends = Arc::new((near, UnixStream::connect(socket).unwrap()));
    let mute = Arc::new(AtomicBool::new(false));
    let (back, muted, shared) = (Arc::clone(&ends), Arc::clone(&mute), Arc::clone(state));
    std::thread::spawn(move || {
        let (near, far) = &*back;
        carry(far, near, |answer| {
            let (muted, silent) = (muted.load(Ordering::SeqCst), shared.silent.load(Ordering::SeqCst));
            // Until the server says that it is done, nobody hears anything.
            if muted { (!silent && holds(answer, COMMITTED)).then_some(Onward::End) } else { Some(Onward::Pass) }
        });
        end(&back);
    });
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        let (near, far) = &*ends;
        carry(near, far, |request| {
            let trip = holds(request, COMMIT).then(|| state.next()).flatten();
            mute.fetch_or(trip.is_some(), Ordering::SeqCst);
            Some(if trip == Some(Trip::Before) { Onward::End } else { Onward::Pass })
        });
        end(&ends);
    });
}

/// What becomes of what has come; none has it vanish.
enum Onward {
    Pass,
    End,
}

fn carry(mut from: impl Read, mut to: impl Write, mut judge: impl FnMut(&[u8]) -> Option<Onward>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let part = &buffer[..length];
        match judge(part) {
            None => {}
            Some(Onward::Pass) if to.write_all(part).is_ok() => {}
            Some(_) => return,
        }
    }
}

fn holds(part: &[u8], message: &[u8]) -> bool {
    part.windows(message.len()).any(|window| window == message)
}

fn end((near, far): &(TcpStream, UnixStream)) {
    let _ = (near.shutdown(Shutdown::Both), far.shutdown(Shutdown::Both));
}
