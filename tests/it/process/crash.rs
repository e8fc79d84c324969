//! kill -9 at random moments.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use discuno::entropy::Entropy;
use discuno::model::run::RunState;
use discuno::store::Subject;
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::process::TAGS;
use crate::support::money;
use crate::support::newest;
use crate::support::process::{Deployment, Process, checkout, session};

const KILLS: u64 = 50;
/// Four clients pay on average this often each, which is about as many e-mails as the provider is asked to take.
const PACE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_done_twice_when_the_process_is_killed_fifty_times() {
    let seed = std::env::var("DISCUNO_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| Entropy::from_os().below(u64::MAX));
    let context = format!("DISCUNO_TEST_SEED={seed}");
    println!("{context}");

    let deployment = Deployment::new().await;
    let street = Street {
        deployment: &deployment,
        next: AtomicUsize::new(0),
        closed: AtomicBool::new(false),
        acknowledged: Mutex::default(),
    };
    let (door, at) = watch::channel(None);
    let kills = async {
        let chance = Entropy::seeded(seed);
        for _ in 0..KILLS {
            let mut life = Process::start(deployment.command(&["serve", "--worker"]));
            // Most lives serve for a while; some end while they open the file.
            if chance.below(8) > 0 {
                life.until_logged("serving").await;
                door.send_replace(life.address());
            }
            tokio::time::sleep(chance.up_to(Duration::from_millis(300))).await;
            life.kill();
        }
        street.closed.store(true, Ordering::SeqCst);
        let last = deployment.serve(&["--worker"]).await;
        door.send_replace(last.address());
        last
    };
    let clients = join_all((1..=4).map(|number| street.walk(&at, seed ^ number)));
    let (_last, _) = tokio::join!(kills, clients);
    deployment.settled().await;

    let acknowledged = street.acknowledged.into_inner().unwrap();
    println!("{} of {} acknowledged", acknowledged.len(), street.next.into_inner());
    assert!(!acknowledged.is_empty(), "{context}: nobody ever got an answer");
    deployment.assert_all_is_right(&acknowledged, &context).await;
    assert_nothing_failed(&deployment, &context).await;
}

async fn assert_nothing_failed(deployment: &Deployment, context: &str) {
    let store = deployment.store();
    for payment in newest(&store, money::ALL).await {
        let story = store.story(Subject::Payment(payment.id)).await.unwrap();
        for (run, _) in story.runs {
            assert_ne!(run.state, RunState::Failed, "{context}: {} {:?}", run.id, run.failure);
        }
    }
}

/// Where people pay, whatever happens behind the door.
struct Street<'a> {
    deployment: &'a Deployment,
    next: AtomicUsize,
    closed: AtomicBool,
    acknowledged: Mutex<Vec<String>>,
}

impl Street<'_> {
    /// Pays again and again. An event without an answer is sent again as Stripe would, or given up.
    async fn walk(&self, at: &watch::Receiver<Option<SocketAddr>>, seed: u64) {
        let chance = Entropy::seeded(seed);
        let mut at = at.clone();
        while !self.closed.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let event = checkout(number, TAGS[number % TAGS.len()]);
            loop {
                let door = *at.wait_for(Option::is_some).await.unwrap();
                let answer = self.deployment.pay(door.unwrap(), &event).await;
                if let Some(answer) = answer {
                    assert_eq!(answer.status, 200, "{}", answer.json());
                    self.acknowledged.lock().unwrap().push(session(number));
                    break;
                }
                if chance.below(4) == 0 {
                    break;
                }
                tokio::time::sleep(chance.up_to(PACE / 4)).await;
            }
            tokio::time::sleep(chance.up_to(PACE * 2)).await;
        }
    }
}
