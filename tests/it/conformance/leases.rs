//! Leases and their fencing tokens.

use std::collections::BTreeSet;
use std::time::Duration;

use discuno::model::run::End;
use discuno::store::Subject;
use discuno::store::error::Error;

use crate::conformance::subjects::{case, done, paid, task};
use crate::conformance::{Bench, LEASE, NOW};

pub(crate) async fn a_claimed_run_is_left_alone_until_its_lease_ends(bench: Bench) {
    bench.store.ingest(task("1"), NOW).await.unwrap();
    let first = bench.claim_one(NOW).await.lease;
    assert!(bench.claim(1, NOW.plus(LEASE).minus(Duration::from_millis(1))).await.is_empty());
    let second = bench.claim_one(NOW.plus(LEASE)).await.lease;
    assert_eq!((second.run, second.token), (first.run, first.token + 1));
}

pub(crate) async fn a_renewed_lease_lasts_longer_and_a_lost_one_is_named(bench: Bench) {
    bench.store.ingest(task("1"), NOW).await.unwrap();
    let first = bench.claim_one(NOW).await.lease;
    assert!(bench.store.renew(vec![first], NOW.plus(LEASE * 2)).await.unwrap().is_empty());
    assert!(bench.claim(1, NOW.plus(LEASE)).await.is_empty());
    let second = bench.claim_one(NOW.plus(LEASE * 2)).await.lease;
    let lost = bench.store.renew(vec![first, second], NOW.plus(LEASE * 4)).await.unwrap();
    assert_eq!(lost, [first]);
    assert!(bench.claim(1, NOW.plus(LEASE * 3)).await.is_empty(), "the second was renewed");
}

pub(crate) async fn nothing_is_written_under_a_lost_lease(bench: Bench) {
    bench.store.ingest(paid("1"), NOW).await.unwrap();
    let old = bench.claim_one(NOW).await;
    let later = NOW.plus(LEASE);
    let new = bench.claim_one(later).await.lease;
    let intent = crate::conformance::ledger::whole(old.run.payment.unwrap());
    let store = &bench.store;
    let refused = [
        store.record(old.lease, done("one", 1, "1"), vec![case("a")], later).await.map(drop),
        store.write(old.lease, vec![case("b")], later).await,
        store.suspend(old.lease, Some(done("two", 1, "1")), later, later).await,
        store.finish(old.lease, End::Cancelled, later).await,
        store.intend_refund(Some(old.lease), intent, later).await.map(drop),
    ];
    for answer in refused {
        assert!(matches!(answer, Err(Error::LeaseLost)), "{answer:?}");
    }
    let story = store.story(Subject::Payment(old.run.payment.unwrap())).await.unwrap();
    assert_eq!((story.cases.len(), story.refunds.len(), story.runs[0].1.len()), (0, 0, 0));
    store.record(new, done("one", 1, "1"), vec![], later).await.unwrap();
}

pub(crate) async fn no_two_executors_get_the_same_run(bench: Bench) {
    for number in 0..40 {
        bench.store.ingest(task(&number.to_string()), NOW).await.unwrap();
    }
    let claims = (0..20).map(|_| bench.claim(3, NOW));
    let claimed = futures_util::future::join_all(claims).await;
    let keys: Vec<&str> = claimed.iter().flatten().map(|one| one.run.key.as_str()).collect();
    assert_eq!((keys.len(), keys.iter().collect::<BTreeSet<_>>().len()), (40, 40));
}

pub(crate) async fn claims_that_record_nothing_are_counted_until_one_does(bench: Bench) {
    bench.store.ingest(task("1"), NOW).await.unwrap();
    for claim in 1..=3_u32 {
        let now = NOW.plus(LEASE * claim);
        assert_eq!(bench.claim_one(now).await.run.stalls, claim);
    }
    let now = NOW.plus(LEASE * 4);
    let claimed = bench.claim_one(now).await;
    bench.store.record(claimed.lease, done("one", 1, "1"), vec![], now).await.unwrap();
    assert_eq!(bench.claim_one(now.plus(LEASE)).await.run.stalls, 1);
}
