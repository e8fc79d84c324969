//! kill -9 at random moments.

use std::net::SocketAddr;
use std::time::Duration;

use discuno::entropy::Entropy;
use discuno::model::run::RunState;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::Subject;

use crate::support::process::{Deployment, PATIENCE, Process, checkout, session, until};
use crate::support::street::{Street, TAGS};
use crate::support::{money, newest};

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

/// A text that is in every call about a purchase, and in no other.
const FIRST: usize = 7_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_whichever_call_the_process_is_killed_each_purchase_comes_to_its_right_end() {
    let mut deployment = Deployment::new().await;
    // Nobody looks for late bookings meanwhile: how often a provider is asked is the same each time.
    deployment.settings.insert("DISCUNO_SETTLE_AFTER", "1h".to_owned());
    let mut life = deployment.serve(&["--worker"]).await;
    let mut acknowledged = Vec::new();
    let mut pay = async |at: Option<SocketAddr>, number: usize, tags: &str| {
        let answer = deployment.pay(at.unwrap(), &checkout(number, tags)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        acknowledged.push(session(number));
    };
    for (number, tags) in (FIRST..).zip(TAGS) {
        pay(life.address(), number, tags).await;
    }
    deployment.settled().await;
    let ledger = deployment.sandbox.ledger();
    let asked = [
        (Provider::Stripe, ledger.stripe.requests),
        (Provider::Cal, ledger.cal.requests),
        (Provider::Mail, ledger.mail.requests),
        (Provider::Posthog, ledger.posthog.requests),
    ];
    let mut calls = Vec::new();
    for (number, tags) in (FIRST..).zip(TAGS) {
        for (provider, requests) in &asked {
            let names = |text: &str| text.contains(&number.to_string());
            let of_purchase = requests.iter().filter(|request| names(&request.path) || names(&request.body)).count();
            calls.extend((0..of_purchase).map(|skip| (tags, *provider, u32::try_from(skip).unwrap())));
        }
    }
    assert!(calls.len() >= 14, "{calls:?}");

    let mut number = FIRST + TAGS.len();
    for effect in [Effect::HangBefore, Effect::HangAfter] {
        for (tags, provider, skip) in &calls {
            let mut fault = Fault::new(*provider, effect.clone()).times(1);
            (fault.matching, fault.skip) = (Some(number.to_string()), *skip);
            deployment.sandbox.inject(fault);
            pay(life.address(), number, tags).await;
            number += 1;
        }
        until("each purchase waits in its call", PATIENCE, async || deployment.sandbox.faults().is_empty()).await;
        life.kill();
        life = deployment.serve(&["--worker"]).await;
        deployment.settled_in_a_hurry(2 * PATIENCE).await;
    }
    println!("killed in {} calls", 2 * calls.len());
    deployment.assert_all_is_right(&acknowledged, "killed in a call").await;
    assert_nothing_failed(&deployment, "killed in a call").await;
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
