//! Runs, from their start to their end.

use std::time::Duration;

use discuno::model::failure::Failure;
use discuno::model::payment::{PaymentFact, PaymentStatus};
use discuno::model::refund::RefundFact;
use discuno::model::run::{End, RunState};
use discuno::model::step::{Attempt, Ending};
use discuno::store::change::{Change, NewRun, PaymentKey};
use discuno::store::order::{Deed, Order};
use discuno::store::{Onward, Subject};

use crate::conformance::ledger::whole;
use crate::conformance::subjects::{USD, done, paid, plan, task};
use crate::conformance::{Bench, LEASE, NOW};
use crate::support::newest;

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn due_runs_are_claimed_the_longest_due_first_and_no_more_than_wanted(bench: Bench) {
    for (name, minutes) in [("later", 3), ("first", 0), ("second", 1), ("third", 2)] {
        let mut start = NewRun::with_input("task", name, serde_json::json!({}));
        start.due_at = Some(NOW.plus(MINUTE * minutes));
        bench.store.ingest(plan(&format!("evt_{name}"), vec![Change::Start(start)]), NOW).await.unwrap();
    }
    let at = NOW.plus(MINUTE * 2);
    let keys = |claimed: Vec<discuno::store::Claimed>| claimed.into_iter().map(|one| one.run.key).collect::<Vec<_>>();
    assert_eq!(keys(bench.claim(2, at).await), ["first", "second"]);
    assert_eq!(bench.store.next_due().await.unwrap(), Some(at), "a running run is due when its lease ends, or later");
    assert_eq!(keys(bench.claim(9, at).await), ["third"]);
    assert!(keys(bench.claim(9, at).await).is_empty());
}

pub(crate) async fn there_is_one_run_for_each_workflow_and_key(bench: Bench) {
    let start = || Change::Start(NewRun::with_input("task", "same", serde_json::json!({})));
    for id in ["evt_1", "evt_2"] {
        bench.store.ingest(plan(id, vec![start(), start()]), NOW).await.unwrap();
    }
    assert_eq!(bench.claim(9, NOW).await.len(), 1);
}

pub(crate) async fn a_run_is_given_what_its_earlier_executors_recorded(bench: Bench) {
    bench.store.ingest(task("1"), NOW).await.unwrap();
    let first = bench.claim_one(NOW).await;
    assert!(first.journal.is_empty());
    bench.store.record(first.lease, done("one", 1, "{\"b\":1}"), vec![], NOW).await.unwrap();
    let failure = Failure::transient("busy", "not now");
    let attempt = Attempt { ending: Ending::Retry { failure }, ..done("two", 1, "0") };
    bench.store.suspend(first.lease, Some(attempt), NOW, NOW).await.unwrap();
    let second = bench.claim_one(NOW).await;
    let known: Vec<(&str, &str)> =
        second.journal.iter().map(|attempt| (attempt.step.as_str(), attempt.ending.as_str())).collect();
    assert_eq!(known, [("one", "done"), ("two", "retry")]);
    let Ending::Done { output } = &second.journal[0].ending else { panic!("{:?}", second.journal) };
    assert_eq!(output.get(), "{\"b\":1}");
}

pub(crate) async fn a_step_is_recorded_once(bench: Bench) {
    bench.store.ingest(task("1"), NOW).await.unwrap();
    let lease = bench.claim_one(NOW).await.lease;
    bench.store.record(lease, done("one", 1, "1"), vec![], NOW).await.unwrap();
    assert!(bench.store.record(lease, done("one", 1, "2"), vec![], NOW).await.is_err());
    bench.store.suspend(lease, None, NOW, NOW).await.unwrap();
    let journal = bench.claim_one(NOW).await.journal;
    assert!(matches!(&journal[..], [Attempt { ending: Ending::Done { output }, .. }] if output.get() == "1"));
}

pub(crate) async fn a_suspended_run_is_due_again_at_its_time(bench: Bench) {
    bench.store.ingest(task("1"), NOW).await.unwrap();
    let lease = bench.claim_one(NOW).await.lease;
    let due = NOW.plus(MINUTE);
    bench.store.suspend(lease, None, due, NOW).await.unwrap();
    assert_eq!(bench.store.next_due().await.unwrap(), Some(due));
    assert!(bench.claim(1, due.minus(Duration::from_millis(1))).await.is_empty());
    assert_eq!(bench.claim_one(due).await.lease.run, lease.run);
}

pub(crate) async fn an_ended_run_is_never_claimed_again(bench: Bench) {
    let ends = [
        (End::Succeeded("as meant".to_owned()), RunState::Succeeded),
        (End::Failed(Failure::permanent("no", "never")), RunState::Failed),
        (End::Cancelled, RunState::Cancelled),
    ];
    for (end, state) in ends {
        bench.store.ingest(task(state.as_str()), NOW).await.unwrap();
        let claimed = bench.claim(9, NOW).await;
        let lease = claimed.iter().find(|one| one.run.workflow == "task").unwrap().lease;
        bench.store.finish(lease, end, NOW).await.unwrap();
        let story = bench.store.story(Subject::Run(lease.run)).await.unwrap();
        assert_eq!((story.runs[0].0.state, story.runs[0].0.due_at), (state, None));
        let much_later = NOW.plus(LEASE * 1000);
        assert!(bench.claim(9, much_later).await.iter().all(|one| one.run.workflow != "task"), "{state}");
    }
}

pub(crate) async fn a_failed_run_opens_a_case_and_has_a_person_told(bench: Bench) {
    bench.store.ingest(paid("1"), NOW).await.unwrap();
    let claimed = bench.claim_one(NOW).await;
    bench.store.finish(claimed.lease, End::Failed(Failure::permanent("no", "never")), NOW).await.unwrap();
    let story = bench.store.story(Subject::Payment(claimed.run.payment.unwrap())).await.unwrap();
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Attention);
    assert!(story.cases[0].summary.contains("50.00 USD"), "{}", story.cases[0].summary);
    assert_eq!(bench.claim_one(NOW).await.run.workflow, "alert");
}

pub(crate) async fn the_case_of_a_failed_run_says_that_no_session_stands_for_what_was_paid(bench: Bench) {
    bench.store.ingest(paid("1"), NOW).await.unwrap();
    let claimed = bench.claim_one(NOW).await;
    bench.store.write(claimed.lease, vec![Change::Learn(PaymentFact::Booked)], NOW).await.unwrap();
    bench.store.finish(claimed.lease, End::Failed(Failure::permanent("no", "never")), NOW).await.unwrap();
    let story = bench.store.story(Subject::Payment(claimed.run.payment.unwrap())).await.unwrap();
    assert!(story.cases[0].summary.contains("50.00 USD is taken and no session stands"), "{}", story.cases[0].summary);
    assert_eq!(story.cases[0].at_risk, Some(USD(5000)));
}

pub(crate) async fn a_cancelled_run_with_money_at_stake_opens_a_case(bench: Bench) {
    bench.store.ingest(paid("1"), NOW).await.unwrap();
    bench.store.ingest(task("2"), NOW).await.unwrap();
    for claimed in bench.claim(2, NOW).await {
        bench.store.finish(claimed.lease, End::Cancelled, NOW).await.unwrap();
        let Some(payment) = claimed.run.payment else { continue };
        assert_eq!(bench.store.story(Subject::Payment(payment)).await.unwrap().cases.len(), 1);
    }
    assert_eq!(bench.store.backlog(NOW).await.unwrap().open_cases, 1, "nothing hangs on the other");
}

pub(crate) async fn a_queued_run_is_cancelled_at_once_and_a_running_one_at_its_next_record(bench: Bench) {
    bench.store.ingest(task("1"), NOW).await.unwrap();
    let lease = bench.claim_one(NOW).await.lease;
    assert!(!bench.store.cancel(lease.run, NOW).await.unwrap());
    let onward = bench.store.record(lease, done("one", 1, "1"), vec![], NOW).await.unwrap();
    assert_eq!(onward, Onward::CancelRequested);
    bench.store.suspend(lease, None, NOW.plus(MINUTE), NOW).await.unwrap();
    assert!(bench.claim_one(NOW).await.run.cancel_requested, "it is due at once, so that it ends");

    bench.store.ingest(task("2"), NOW).await.unwrap();
    let lease = bench.claim_one(NOW).await.lease;
    bench.store.suspend(lease, None, NOW.plus(MINUTE), NOW).await.unwrap();
    assert!(bench.store.cancel(lease.run, NOW).await.unwrap());
    let story = bench.store.story(Subject::Run(lease.run)).await.unwrap();
    assert_eq!(story.runs[0].0.state, RunState::Cancelled);
}

pub(crate) async fn cancelling_what_is_over_changes_nothing(bench: Bench) {
    bench.store.ingest(task("1"), NOW).await.unwrap();
    let lease = bench.claim_one(NOW).await.lease;
    bench.store.finish(lease, End::Succeeded("as meant".to_owned()), NOW).await.unwrap();
    assert!(bench.store.cancel(lease.run, NOW).await.unwrap(), "it has ended");
    let story = bench.store.story(Subject::Run(lease.run)).await.unwrap();
    assert_eq!((story.runs[0].0.state, story.runs[0].0.cancel_requested), (RunState::Succeeded, false));
}

pub(crate) async fn what_is_old_is_taken_away_a_few_rows_at_a_time(bench: Bench) {
    for name in ["1", "2", "3", "4", "5"] {
        bench.store.ingest(task(name), NOW).await.unwrap();
        let lease = bench.claim_one(NOW).await.lease;
        bench.store.record(lease, done("one", 1, "1"), vec![], NOW).await.unwrap();
        bench.store.finish(lease, End::Succeeded("done".to_owned()), NOW).await.unwrap();
    }
    let later = NOW.plus(MINUTE);
    bench.store.ingest(task("young"), later).await.unwrap();
    let old = bench.store.prunable(later).await.unwrap();
    let (mut gone, mut next, mut looks) = (0, Some(0), 0);
    while let Some(after) = next {
        let pruned = bench.store.prune(later, after, 2).await.unwrap();
        gone += pruned.gone;
        next = pruned.next;
        looks += 1;
    }
    assert_eq!((gone, old), (10, 10), "the bytes of five events and five tries");
    assert!(looks >= 3, "{looks}");
    assert_eq!(bench.store.prunable(later).await.unwrap(), 0);
    assert!(bench.claim_one(later).await.journal.is_empty());
}

pub(crate) async fn a_run_about_a_refund_of_stripes_is_retried_whatever_its_id_begins_with(bench: Bench) {
    bench.store.ingest(paid("1"), NOW).await.unwrap();
    let id = newest(&bench.store, 1).await[0].id;
    let ours = bench.store.intend_refund(None, whole(id), NOW).await.unwrap();
    let failed =
        Change::RefundLearned { refund: ours.id, fact: RefundFact::Failed, stripe_refund_id: None, failure: None };
    let theirs = format!("re_{}Qx", ours.id.0);
    let start = NewRun::with_input("tell-of-refund", &theirs, serde_json::json!({ "refund": theirs }));
    let about = Change::About(PaymentKey::Session("cs_1".to_owned()));
    bench.store.ingest(plan("evt_refund", vec![failed, about, Change::Start(start)]), NOW).await.unwrap();
    let story = bench.store.story(Subject::Payment(id)).await.unwrap();
    let run = story.runs.iter().map(|(run, _)| run).find(|run| run.workflow == "tell-of-refund").unwrap().id;
    assert!(bench.store.cancel(run, NOW).await.unwrap());
    let order = Order { actor: "mia".to_owned(), reason: None, deed: Deed::Retry { run, from: None } };
    bench.store.operate(order, NOW).await.unwrap();
}

pub(crate) async fn whoever_waits_for_changes_is_woken_by_an_arrival(bench: Bench) {
    let mut changes = bench.store.changes();
    changes.mark_unchanged();
    bench.store.ingest(task("1"), NOW).await.unwrap();
    tokio::time::timeout(LEASE, changes.changed()).await.expect("woken").unwrap();
}

pub(crate) async fn what_waits_for_its_next_try_is_moved_back_with_the_clock_and_what_waits_for_a_time_is_not(
    bench: Bench,
) {
    let (hour, ahead) = (MINUTE * 60, NOW.plus(MINUTE * 60));
    let store = &bench.store;
    let due = async |name: &str| {
        let lines = store.runs(discuno::store::filter::Filter::newest(9)).await.unwrap();
        lines.into_iter().find(|line| line.run.key == name).unwrap().run.due_at.unwrap()
    };
    // By a clock that is an hour ahead.
    for name in ["retried", "held-back", "at-work", "at-once"] {
        let start = NewRun::with_input("task", name, serde_json::json!({}));
        store.ingest(plan(&format!("evt_{name}"), vec![Change::Start(start)]), ahead).await.unwrap();
        if name == "at-once" {
            continue;
        }
        let lease = bench.claim_one(ahead).await.lease;
        let failure = Failure::transient("busy", "not now");
        let retry =
            Attempt { started_at: ahead, ended_at: ahead, ending: Ending::Retry { failure }, ..done("one", 1, "0") };
        match name {
            "retried" => store.suspend(lease, Some(retry), ahead.plus(MINUTE * 5), ahead).await.unwrap(),
            "held-back" => store.put_back(lease, ahead.plus(MINUTE / 3), ahead).await.unwrap(),
            _ => {}
        }
    }
    let mut slot = NewRun::with_input("task", "slot", serde_json::json!({}));
    slot.due_at = Some(ahead.plus(MINUTE * 10));
    store.ensure(vec![slot], NOW).await.unwrap();
    let mut slot = NewRun::with_input("summary", "slot", serde_json::json!({}));
    slot.due_at = Some(ahead.plus(MINUTE * 10));
    store.ensure(vec![slot], NOW).await.unwrap();

    // Two processes see it. What was only held back has tried nothing, and may be looked at too early.
    for (moved, held_back) in [(3, NOW.plus(MINUTE / 3)), (1, NOW)] {
        assert_eq!(store.clock_set_back(hour, NOW, NOW.plus(LEASE)).await.unwrap(), moved);
        assert_eq!(due("retried").await, NOW.plus(MINUTE * 5));
        assert_eq!(due("held-back").await, held_back);
        assert_eq!(due("at-once").await, NOW);
        assert_eq!(due("at-work").await, NOW.plus(LEASE), "whoever held it may be gone");
        assert_eq!(due("slot").await, ahead.plus(MINUTE * 10));
    }
    let mut claimed: Vec<String> = bench.claim(9, NOW).await.into_iter().map(|claimed| claimed.run.key).collect();
    claimed.sort_unstable();
    assert_eq!(claimed, ["at-once", "held-back"]);
}
