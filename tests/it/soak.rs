//! Three processes on one file, providers that fail in every way, and processes that are killed and stopped all the time.
//!
//! `DISCUNO_SOAK_KILLS` says how often, `DISCUNO_TEST_SEED` when and whom.

use std::collections::BTreeMap;
use std::time::Duration;

use discuno::entropy::Entropy;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use rustix::process::Signal;

use crate::support::process::{Deployment, Process, checkout};
use crate::support::street::{Street, TAGS};
use crate::support::{money, newest};

/// As often as that while the other tests run too.
const KILLS: u64 = 20;
const PACE: Duration = Duration::from_millis(400);
/// For each life of the process that is paid at.
const PURCHASES: usize = 8;
/// How long the processes may take to mend what the storm has left.
const AFTERWARDS: Duration = Duration::from_secs(300);
/// Two leases and a half: whoever is stopped for as long has lost what it held.
const LONGEST_STOP: Duration = Duration::from_millis(2500);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_by_killing_and_stopping_three_processes_in_a_storm() {
    let seed = number("DISCUNO_TEST_SEED").unwrap_or_else(|| Entropy::from_os().below(u64::MAX));
    let kills = number("DISCUNO_SOAK_KILLS").unwrap_or(KILLS);
    let context = format!("DISCUNO_TEST_SEED={seed} DISCUNO_SOAK_KILLS={kills}");
    println!("{context}");

    let mut deployment = Deployment::new().await;
    deployment.settings.insert("DISCUNO_REFUND_CEILING", "100000".to_owned());
    let street = Street::new(&deployment, PURCHASES);
    let storm = async {
        let mut company = Company::start(&deployment, &street).await;
        let chance = Entropy::seeded(seed);
        let (mut killed, mut stopped, mut struck) = (0, 0, 0);
        while killed < kills {
            struck += strike(&deployment, &chance);
            tokio::time::sleep(chance.up_to(Duration::from_millis(300))).await;
            let victim = usize::try_from(chance.below(3)).unwrap();
            if chance.below(8) == 0 {
                company.stop(victim, chance.up_to(LONGEST_STOP)).await;
                stopped += 1;
            } else {
                company.replace(victim, chance.below(4) > 0).await;
                killed += 1;
            }
        }
        let missed: u32 = deployment.sandbox.faults().iter().filter_map(|fault| fault.times).sum();
        deployment.sandbox.clear_faults();
        street.close();
        // Some were killed before they were there: all are again.
        for member in 0..3 {
            company.replace(member, true).await;
        }
        (company, stopped, struck - missed)
    };
    let ((_company, stopped, faults), ()) = tokio::join!(storm, street.crowd(PACE, seed));
    deployment.settled_in_a_hurry(AFTERWARDS).await;

    let acknowledged = street.acknowledged();
    assert!(!acknowledged.is_empty(), "{context}: nobody ever got an answer");
    deployment.assert_all_is_right(&acknowledged, &context).await;
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for payment in newest(&deployment.store(), money::ALL).await {
        *ends.entry(payment.status.to_string()).or_default() += 1;
    }
    println!(
        "{kills} kills, {stopped} stops, {faults} faults; {} of {} acknowledged, none lost: {ends:?}",
        acknowledged.len(),
        street.begun()
    );
}

/// Purchases of one round, which is some seconds long: so many letters may be sent in it.
const ROUND: usize = 20;
/// Rounds after which nothing is new to the process any more.
const WARM: usize = 2;
/// What the log of the database may come to in between, in bytes.
const LONGEST_WAL: u64 = 64 << 20;
/// What a process that has gone through many rounds may have more of, in KiB, than one half as old.
const GROWTH: u64 = 8 << 10;

/// What a process holds of its machine.
#[derive(Debug)]
struct Held {
    files: usize,
    threads: usize,
    memory: u64,
}

fn held(process: &Process) -> Held {
    let of = |name: &str| format!("/proc/{}/{name}", process.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(of("status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    Held {
        files: std::fs::read_dir(of("fd")).unwrap().count(),
        threads: std::fs::read_dir(of("task")).unwrap().count(),
        memory: memory.split_whitespace().next().unwrap().parse().unwrap(),
    }
}

/// `DISCUNO_SOAK_ROUNDS` says for how long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_works_on_holds_no_more_than_before() {
    let rounds = number("DISCUNO_SOAK_ROUNDS").map_or(WARM + 2, |rounds| usize::try_from(rounds).unwrap());
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&["--worker"]).await;
    let to = serve.address().unwrap();
    let mut held_after = Vec::new();
    for round in 0..rounds {
        let purchases = (round * ROUND..(round + 1) * ROUND).map(async |number| {
            let answer = deployment.pay(to, &checkout(number, TAGS[number % TAGS.len()])).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.json());
        });
        futures_util::future::join_all(purchases).await;
        deployment.settled().await;
        held_after.push(held(&serve));
        let wal = std::fs::metadata(format!("{}-wal", deployment.db.display())).map_or(0, |file| file.len());
        assert!(wal < LONGEST_WAL, "round {round}: {wal}");
    }
    let (warm, last) = (&held_after[WARM - 1], &held_after[rounds - 1]);
    println!("after {WARM} rounds {warm:?}, after {rounds} {last:?}");
    // Connections that are kept open come and go.
    assert!(last.files <= warm.files + 16 && last.threads <= warm.threads + 4, "{held_after:?}");
    if rounds >= 100 {
        let grown = last.memory.saturating_sub(held_after[rounds / 2].memory);
        assert!(grown < GROWTH, "{grown} KiB more than half as many rounds before: {held_after:?}");
    }
}

/// One `serve` and two `worker`s.
struct Company<'a> {
    deployment: &'a Deployment,
    street: &'a Street<'a>,
    members: [Process; 3],
}

impl<'a> Company<'a> {
    async fn start(deployment: &'a Deployment, street: &'a Street<'a>) -> Self {
        let members = [deployment.serve(&[]).await, deployment.worker().await, deployment.worker().await];
        street.open_at(members[0].address());
        Self { deployment, street, members }
    }

    /// Kills one and starts another in its place; some may be killed before they are ready.
    async fn replace(&mut self, member: usize, wait: bool) {
        self.members[member].kill();
        let command = self.deployment.command(&[if member == 0 { "serve" } else { "worker" }]);
        self.members[member] = Process::start(command);
        if wait {
            self.members[member].ready().await;
        }
        if member == 0 {
            self.street.open_at(self.members[0].address());
        }
    }

    /// Stops one for a while; to the others it seems dead, and then it is there again.
    async fn stop(&self, member: usize, span: Duration) {
        self.members[member].signal(Signal::STOP);
        tokio::time::sleep(span).await;
        self.members[member].signal(Signal::CONT);
    }
}

/// Something goes wrong at a provider, for the next few requests; for how many.
fn strike(deployment: &Deployment, chance: &Entropy) -> u32 {
    // Not whoever tells the people on call: where that fails, nobody is told for a quarter of an hour.
    let providers =
        [Provider::Stripe, Provider::Stripe, Provider::Cal, Provider::Cal, Provider::Mail, Provider::Posthog];
    let effects = [
        Effect::ErrorBefore { status: 503 },
        Effect::ErrorAfter { status: 500 },
        Effect::DropBefore,
        Effect::DropAfter,
        Effect::Slow { millis: 1500 },
        Effect::RateLimited { retry_after_secs: 1 },
    ];
    let provider = providers[usize::try_from(chance.below(6)).unwrap()];
    let effect = effects[usize::try_from(chance.below(6)).unwrap()].clone();
    let times = u32::try_from(1 + chance.below(3)).unwrap();
    deployment.sandbox.inject(Fault::new(provider, effect).times(times));
    times
}
