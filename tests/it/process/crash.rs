//! kill -9 at random moments.

use std::time::Duration;

use discuno::entropy::Entropy;
use discuno::model::run::RunState;
use discuno::store::Subject;

use crate::support::process::{Deployment, PATIENCE, Process};
use crate::support::{money, newest, street::Street};

const KILLS: u64 = 50;
/// Four clients pay on average this often each.
const PACE: Duration = Duration::from_millis(200);
/// Purchases for each life of the process. The provider is asked to take five e-mails a second, and each purchase sends up to two.
const PURCHASES: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_done_twice_when_the_process_is_killed_fifty_times() {
    let seed = std::env::var("DISCUNO_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| Entropy::from_os().below(u64::MAX));
    let context = format!("DISCUNO_TEST_SEED={seed}");
    println!("{context}");

    let deployment = Deployment::new().await;
    let street = Street::new(&deployment, PURCHASES);
    let kills = async {
        let chance = Entropy::seeded(seed);
        for _ in 0..KILLS {
            let mut life = Process::start(deployment.command(&["serve", "--worker"]));
            // Most lives serve for a while; some end while they open the file.
            if chance.below(8) > 0 {
                life.until_logged("serving").await;
                street.open_at(life.address());
            }
            tokio::time::sleep(chance.up_to(Duration::from_millis(300))).await;
            life.kill();
        }
        street.close();
        let last = deployment.serve(&["--worker"]).await;
        street.open_at(last.address());
        last
    };
    let (_last, ()) = tokio::join!(kills, street.crowd(PACE, seed));
    deployment.settled_in_a_hurry(4 * PATIENCE).await;

    let acknowledged = street.acknowledged();
    println!("{} of {} acknowledged", acknowledged.len(), street.begun());
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
