//! Questions of people.

use std::time::Duration;

use discuno::model::case::CaseKind;
use discuno::model::failure::Failure;
use discuno::model::run::End;
use discuno::store::Subject;
use discuno::store::error::Error;
use discuno::store::levels::Standing;
use discuno::store::order::{Deed, Order};
use discuno::store::status::SourceStatus;
use futures_util::future::join_all;
use serde_json::json;

use crate::conformance::subjects::{case, done, paid, plan, task};
use crate::conformance::{Bench, NOW};
use crate::support::newest;

pub(crate) async fn any_id_leads_to_its_story(bench: Bench) {
    bench.store.ingest(paid("abcdef"), NOW).await.unwrap();
    let id = newest(&bench.store, 1).await[0].id;
    let run = bench.claim_one(NOW).await;
    bench.store.record(run.lease, done("one", 1, "1"), vec![case("unclear")], NOW).await.unwrap();
    let refund = bench.store.intend_refund(None, crate::conformance::ledger::whole(id), NOW).await.unwrap();
    let known = bench.store.story(Subject::Payment(id)).await.unwrap();
    for name in [
        id.to_string(),
        run.run.id.to_string(),
        refund.id.to_string(),
        known.events[0].id.to_string(),
        known.cases[0].id.to_string(),
        "cs_abcdef".to_owned(),
        "pi_abcdef".to_owned(),
        "evt_abcdef".to_owned(),
        "pi_abc".to_owned(),
    ] {
        assert_eq!(bench.store.resolve(&name).await.unwrap(), Subject::Payment(id), "{name}");
    }
    assert_eq!((known.runs[0].1.len(), known.events.len(), known.refunds.len()), (1, 1, 1));
    bench.store.ingest(plan("evt_alone", vec![]), NOW).await.unwrap();
    let alone = bench.store.resolve("evt_alone").await.unwrap();
    assert_eq!(bench.store.story(alone).await.unwrap().events[0].external_id, "evt_alone");
}

pub(crate) async fn an_ambiguous_or_unknown_id_is_an_error(bench: Bench) {
    bench.store.ingest(paid("ab1"), NOW).await.unwrap();
    bench.store.ingest(paid("ab2"), NOW).await.unwrap();
    assert!(matches!(bench.store.resolve("pi_ab").await, Err(Error::Illegal(_))));
    for unknown in ["pi_abx", "pay_99", "run_99", "case_99", "", "p", "pi_%", "'; --"] {
        let answer = bench.store.resolve(unknown).await;
        assert!(matches!(answer, Err(Error::NotFound(_))), "{unknown}: {answer:?}");
    }
}

pub(crate) async fn an_act_that_holds_a_nul_leaves_the_trail_whole(bench: Bench) {
    for text in ["a\0b", "a\\u0000b", "a\\\\u0000b"] {
        let shown = json!({ "search": [text], "plain": 1 });
        let deed = Deed::Reveal { subject: text.to_owned(), payment: None, shown };
        let order = Order { actor: text.to_owned(), reason: Some(text.to_owned()), deed };
        bench.store.operate(order, NOW).await.unwrap();
    }
    assert_eq!(bench.store.broken_act().await.unwrap(), None);
}

pub(crate) async fn the_newest_payments_come_first(bench: Bench) {
    for name in ["1", "2", "3"] {
        bench.store.ingest(paid(name), NOW).await.unwrap();
    }
    let sessions: Vec<String> = newest(&bench.store, 2).await.into_iter().map(|payment| payment.session_id).collect();
    assert_eq!(sessions, ["cs_3", "cs_2"]);
}

pub(crate) async fn the_backlog_counts_what_stands_where(bench: Bench) {
    for name in ["1", "2", "3", "4"] {
        bench.store.ingest(task(name), NOW).await.unwrap();
    }
    let claimed = bench.claim(3, NOW).await;
    bench.store.suspend(claimed[0].lease, None, NOW.plus(Duration::from_secs(60)), NOW).await.unwrap();
    bench.store.finish(claimed[1].lease, End::Failed(Failure::permanent("no", "never")), NOW).await.unwrap();
    let backlog = bench.store.backlog(NOW).await.unwrap();
    // One task and the alert about the failed one are due.
    assert_eq!((backlog.due, backlog.waiting, backlog.running), (2, 1, 1), "{backlog:?}");
    assert_eq!((backlog.failed, backlog.open_cases), (1, 1), "{backlog:?}");

    let levels = bench.store.levels(NOW.plus(Duration::from_secs(5))).await.unwrap();
    let mut runs: Vec<_> =
        levels.runs.iter().map(|(name, standing, count)| (name.as_str(), *standing, *count)).collect();
    runs.sort_unstable();
    let workflow = claimed[0].run.workflow.as_str();
    assert_eq!(
        runs,
        [
            ("alert", Standing::Due, 1),
            (workflow, Standing::Due, 1),
            (workflow, Standing::Waiting, 1),
            (workflow, Standing::Running, 1),
            (workflow, Standing::Failed, 1),
        ]
    );
    assert_eq!((levels.oldest_due, levels.untold_cases), (Some(NOW), 1));
    assert_eq!(levels.cases, [(CaseKind::RunFailed, 1)]);
    assert!(levels.database_bytes > 0 && levels.refunds.is_empty());
}

pub(crate) async fn the_bytes_of_an_event_are_kept_as_they_came(bench: Bench) {
    let mut odd = plan("evt_odd", vec![]);
    odd.event.body = bytes::Bytes::from_static(b"{\"a\": 1.0,\r\n  \"\xc3\xab\":\"\\u0000\"}\n");
    let sent = odd.event.body.clone();
    bench.store.ingest(odd, NOW).await.unwrap();
    let Subject::Event(event) = bench.store.resolve("evt_odd").await.unwrap() else { panic!("no event") };
    assert_eq!(bench.store.body(event).await.unwrap(), sent);
}

pub(crate) async fn what_came_within_the_hour_is_counted_or_said_to_be_more(bench: Bench) {
    let store = &bench.store;
    let send = |from: usize, to: usize| {
        let all = (from..to).map(|number| store.ingest(plan(&format!("evt_{number}"), Vec::new()), NOW));
        async move { assert!(join_all(all).await.iter().all(Result::is_ok)) }
    };
    let told = || async {
        let now = NOW.plus(Duration::from_secs(60));
        store.status(now).await.unwrap().sources.iter().map(SourceStatus::within_the_hour).collect::<Vec<_>>()
    };
    send(0, 3999).await;
    assert_eq!(told().await[0], "3999");
    send(3999, 4001).await;
    assert_eq!(told().await[0], "4000+");
}
