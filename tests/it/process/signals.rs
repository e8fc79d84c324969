//! SIGTERM, and a process that was stopped for too long.

use std::time::Duration;

use discuno::model::payment::PaymentStatus;
use discuno::model::step::Ending;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::Subject;
use rustix::process::Signal;

use crate::support::http::Exchange;
use crate::support::money;
use crate::support::newest;
use crate::support::process::{Deployment, PATIENCE, Process, checkout, session, signature, until};

const BOOKING: &str = "create-calcom-booking";

impl Deployment {
    /// The next booking takes so long.
    fn slow_booking(&self, millis: u64) {
        self.sandbox.inject(Fault::new(Provider::Cal, Effect::Slow { millis }).on("bookings.create").times(1));
    }

    /// Waits until that booking is asked for: from then on the call is in flight.
    async fn until_asked(&self) {
        until("the booking is asked for", PATIENCE, || std::future::ready(self.sandbox.faults().is_empty())).await;
    }

    /// The tries of a step for the first payment.
    async fn endings(&self, step: &str) -> Vec<Ending> {
        let store = self.store();
        let payment = newest(&store, money::ALL).await.pop().unwrap();
        let story = store.story(Subject::Payment(payment.id)).await.unwrap();
        let attempts = story.runs.into_iter().flat_map(|(_, attempts)| attempts);
        attempts.filter(|attempt| attempt.step == step).map(|attempt| attempt.ending).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_answers_the_request_in_flight_and_records_the_step_in_flight() {
    let deployment = Deployment::new().await;
    let mut serve = deployment.serve(&["--worker"]).await;
    let to = serve.address().unwrap();
    deployment.slow_booking(1500);
    assert_eq!(deployment.pay(to, &checkout(0, "")).await.unwrap().status, 200);
    deployment.until_asked().await;
    // A request whose body is still to come: `100 Continue` says that it is being read.
    let body = checkout(1, "").body();
    deployment.sandbox.observe(&body);
    let mut exchange = Exchange::open(to).unwrap();
    let headers = [("stripe-signature", signature(&body)), ("expect", "100-continue".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    exchange.head("/webhooks/stripe", &headers, body.len()).unwrap();
    assert_eq!(exchange.answer().unwrap().status, 100);

    serve.signal(Signal::TERM);
    serve.until_logged("stopping").await;
    exchange.send(&body).unwrap();
    assert_eq!(exchange.answer().unwrap().status, 200);
    assert_eq!(serve.exits_within(Duration::from_secs(15)).await.code(), Some(0));
    serve.until_logged("stopped").await;

    let endings = deployment.endings(BOOKING).await;
    assert!(matches!(endings.as_slice(), [Ending::Done { .. }]), "{endings:?}");
    let _worker = deployment.worker().await;
    deployment.settled().await;
    deployment.assert_all_is_right(&[session(0), session(1)], "after SIGTERM").await;
    assert_eq!(deployment.sandbox.ledger().cal.bookings.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sigterm_ends_the_process_at_once_and_nothing_is_lost() {
    let deployment = Deployment::new().await;
    let mut serve = deployment.serve(&["--worker"]).await;
    deployment.slow_booking(15_000);
    assert_eq!(deployment.pay(serve.address().unwrap(), &checkout(0, "")).await.unwrap().status, 200);
    deployment.until_asked().await;
    serve.signal(Signal::TERM);
    serve.until_logged("stopping").await;
    serve.signal(Signal::TERM);
    assert_eq!(serve.exits_within(Duration::from_secs(5)).await.code(), Some(143));
    let _worker = deployment.worker().await;
    deployment.settled().await;
    deployment.assert_all_is_right(&[session(0)], "after two").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_slept_through_its_lease_records_nothing() {
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    let zombie = deployment.worker().await;
    deployment.slow_booking(3000);
    assert_eq!(deployment.pay(serve.address().unwrap(), &checkout(0, "")).await.unwrap().status, 200);
    deployment.until_asked().await;
    zombie.signal(Signal::STOP);

    let _heir = deployment.worker().await;
    let store = deployment.store();
    until("the heir has booked", PATIENCE, || async {
        newest(&store, money::ALL).await.iter().all(|payment| payment.status == PaymentStatus::Booked)
    })
    .await;
    let answered = || {
        let requests = deployment.sandbox.ledger().cal.requests;
        requests.iter().any(|request| matches!(request.effect, Some(Effect::Slow { .. })))
    };
    until("the zombie's call is answered", PATIENCE, || std::future::ready(answered())).await;
    deployment.settled().await;
    let before = format!("{:?}", store.story(Subject::Payment(newest(&store, 1).await[0].id)).await.unwrap());

    zombie.signal(Signal::CONT);
    zombie.until_logged("lease_lost").await;
    let after = format!("{:?}", store.story(Subject::Payment(newest(&store, 1).await[0].id)).await.unwrap());
    assert_eq!(before, after, "the zombie changed the story");
    assert!(zombie.logged("run_finished").is_empty());
    let endings = deployment.endings(BOOKING).await;
    assert!(matches!(endings.as_slice(), [Ending::Done { .. }]), "{endings:?}");
    let live = deployment.sandbox.ledger().cal.bookings.iter().filter(|booking| booking.status == "accepted").count();
    assert_eq!(live, 1);
    deployment.assert_all_is_right(&[session(0)], "after SIGCONT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let deployment = Deployment::new().await;
        let temporary = tempfile::tempdir().unwrap();
        let inside = || std::fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path()).next();
        let mut command = deployment.command(&["demo"]);
        command.env("TMPDIR", temporary.path());
        let mut demo = Process::start(command);
        until("its database is there", PATIENCE, async || inside().is_some_and(|dir| dir.join("demo.db").exists()))
            .await;
        demo.signal(signal);
        assert_eq!(demo.exits_within(PATIENCE).await.code(), Some(130), "{}", demo.everything_logged());
        assert_eq!(inside(), None, "{signal:?}");
    }
}
