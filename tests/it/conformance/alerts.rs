//! What is wrong with the deployment, and who tells of it.

use std::time::Duration;

use discuno::model::act::Verb;
use discuno::model::alert::{Condition, Finding, Pace};
use discuno::model::event::{Source, Via};
use discuno::model::failure::Failure;
use discuno::model::id::{AlertId, CaseId, EventId};
use discuno::model::refusal::{RefusedKey, RefusedSignatures};
use discuno::model::run::{End, RunState};
use discuno::model::time::Timestamp;
use discuno::store::alerts::{CaseGroup, KeySeen};
use discuno::store::change::Change;
use discuno::store::filter::Filter;
use discuno::store::order::{Deed, Order};

use crate::conformance::subjects::{case, plan, task};
use crate::conformance::{Bench, NOW};

const MINUTE: Duration = Duration::from_secs(60);
const PACE: Pace = Pace { repeat: Duration::from_secs(3600), rest: Duration::from_secs(180) };

fn down(subject: &str) -> Finding {
    Finding { condition: Condition::BreakerOpen, subject: subject.to_owned(), summary: "it fails".to_owned() }
}

pub(crate) async fn one_cause_is_one_alert_and_is_told_by_one_run(bench: Bench) {
    let store = &bench.store;
    let run = store.report(vec![down("cal"), down("stripe")], PACE, NOW).await.unwrap().expect("a run");
    assert_eq!(store.run(run).await.unwrap().workflow, "tell-alerts");
    assert_eq!(store.report(vec![down("cal")], PACE, NOW.plus(MINUTE)).await.unwrap(), None, "it is silenced");
    let alerts = store.alerts(false, 10).await.unwrap();
    let seen: Vec<_> = alerts.iter().map(|alert| (alert.subject.as_str(), alert.count, alert.first_at)).collect();
    assert_eq!(seen, [("stripe", 1, NOW), ("cal", 2, NOW)]);
    assert_eq!(store.alert(alerts[1].id).await.unwrap(), alerts[1]);
    assert!(store.report(vec![down("cal")], PACE, NOW.plus(60 * MINUTE)).await.unwrap().is_some(), "an hour later");
}

pub(crate) async fn only_what_is_still_found_is_told_again(bench: Bench) {
    let store = &bench.store;
    store.report(vec![down("cal")], PACE, NOW).await.unwrap();
    store.report(vec![down("cal")], PACE, NOW.plus(59 * MINUTE)).await.unwrap();
    let later = NOW.plus(61 * MINUTE);
    assert!(store.report(vec![down("stripe")], PACE, later).await.unwrap().is_some());
    let cal = &store.alerts(false, 10).await.unwrap()[1];
    assert_eq!(cal.silenced_until, Some(NOW.plus(60 * MINUTE)), "nobody has found it for two minutes");
}

pub(crate) async fn one_that_is_silenced_is_told_again_when_that_ends_and_never_later_than_it_is_over(bench: Bench) {
    let store = &bench.store;
    let silence = |alert: AlertId, until: Timestamp| Order {
        actor: "ada".to_owned(),
        reason: Some("they know".to_owned()),
        deed: Deed::Silence { alert, until },
    };
    store.report(vec![down("cal")], PACE, NOW).await.unwrap();
    let id = store.alerts(false, 10).await.unwrap()[0].id;
    let act = store.operate(silence(id, NOW.plus(240 * MINUTE)), NOW).await.unwrap().act.expect("an act");
    let acts = store.acts(Filter::newest(9)).await.unwrap();
    assert_eq!((acts[0].id, acts[0].verb, acts[0].subject.as_str()), (act, Verb::Silence, "alert_1"));
    assert_eq!(store.report(vec![down("cal")], PACE, NOW.plus(239 * MINUTE)).await.unwrap(), None);
    assert!(store.report(vec![down("cal")], PACE, NOW.plus(240 * MINUTE)).await.unwrap().is_some(), "it goes on");
    // It was told a moment ago and is silent for an hour by itself: that is not made shorter.
    let shorter = store.operate(silence(id, NOW.plus(250 * MINUTE)), NOW.plus(240 * MINUTE)).await.unwrap();
    assert_eq!(shorter.act, None);
    assert_eq!(store.alert(id).await.unwrap().silenced_until, Some(NOW.plus(300 * MINUTE)));
    let week = NOW.plus(8 * 24 * 60 * MINUTE);
    assert!(store.operate(silence(id, week), NOW).await.unwrap_err().to_string().contains("7 days at the most"));
    store.operate(silence(id, NOW.plus(600 * MINUTE)), NOW.plus(241 * MINUTE)).await.unwrap();
    assert!(store.report(Vec::new(), PACE, NOW.plus(244 * MINUTE)).await.unwrap().is_some(), "that it is over is told");
    let refused = store.operate(silence(id, week), NOW.plus(245 * MINUTE)).await.unwrap_err().to_string();
    assert!(refused.contains("is over since"), "{refused}");
    assert!(store.operate(silence(AlertId(9), NOW), NOW).await.is_err());
}

pub(crate) async fn what_nobody_finds_any_more_is_over_and_told(bench: Bench) {
    let store = &bench.store;
    store.report(vec![down("cal")], PACE, NOW).await.unwrap();
    assert_eq!(store.report(Vec::new(), PACE, NOW.plus(2 * MINUTE)).await.unwrap(), None);
    assert!(store.report(Vec::new(), PACE, NOW.plus(3 * MINUTE)).await.unwrap().is_some());
    assert_eq!(store.report(Vec::new(), PACE, NOW.plus(4 * MINUTE)).await.unwrap(), None, "once");
    let over = store.alerts(true, 10).await.unwrap().remove(0);
    assert_eq!(over.ended_at, Some(NOW.plus(3 * MINUTE)));
    store.report(vec![down("cal")], PACE, NOW.plus(5 * MINUTE)).await.unwrap();
    assert_eq!(store.alerts(true, 10).await.unwrap().len(), 2, "another time is another alert");
}

pub(crate) async fn what_was_told_and_what_was_not_is_kept(bench: Bench) {
    let store = &bench.store;
    store.report(vec![down("cal")], PACE, NOW).await.unwrap();
    let run = bench.claim_one(NOW).await;
    let id = store.alerts(false, 10).await.unwrap()[0].id;
    let untold = Change::AlertsUntold { alerts: vec![id], failure: "no way".to_owned() };
    store.write(run.lease, vec![untold], NOW).await.unwrap();
    assert_eq!(store.alert(id).await.unwrap().failure.as_deref(), Some("no way"));
    assert_eq!(store.levels(NOW).await.unwrap().untold_alerts, 1);
    store.write(run.lease, vec![Change::AlertsTold(vec![id])], NOW).await.unwrap();
    let told = store.alert(id).await.unwrap();
    assert_eq!((told.delivered_at, told.failure), (Some(NOW), None));
    assert_eq!(store.levels(NOW).await.unwrap().untold_alerts, 0);
}

pub(crate) async fn a_case_whose_telling_has_failed_is_told_again_after_a_while(bench: Bench) {
    let store = &bench.store;
    store.ingest(plan("evt_a", vec![case("a")]), NOW).await.unwrap();
    let claimed = bench.claim_one(NOW).await;
    assert_eq!(claimed.run.workflow, "alert");
    let poison = Failure::unknown("poison", "20 executors took the run and recorded nothing");
    store.finish(claimed.lease, End::Failed(poison), NOW).await.unwrap();
    assert_eq!(store.levels(NOW).await.unwrap().untold_cases, 1);
    assert_eq!(store.report(Vec::new(), PACE, NOW.plus(59 * MINUTE)).await.unwrap(), None);
    assert_eq!(store.run(claimed.run.id).await.unwrap().state, RunState::Failed, "not at once");
    store.report(Vec::new(), PACE, NOW.plus(60 * MINUTE)).await.unwrap();
    let again = bench.claim_one(NOW.plus(60 * MINUTE)).await;
    assert_eq!((again.run.id, again.run.stalls), (claimed.run.id, 1), "as if nobody had taken it before");
    store.write(again.lease, vec![Change::CaseAlerted(CaseId(1))], NOW).await.unwrap();
    store.finish(again.lease, End::Cancelled, NOW.plus(60 * MINUTE)).await.unwrap();
    store.report(Vec::new(), PACE, NOW.plus(180 * MINUTE)).await.unwrap();
    assert_eq!(store.run(again.run.id).await.unwrap().state, RunState::Cancelled, "somebody was told");
}

pub(crate) async fn cases_that_follow_each_other_are_told_together_by_one(bench: Bench) {
    let store = &bench.store;
    for name in ["a", "b", "c"] {
        store.ingest(plan(&format!("evt_{name}"), vec![case(name)]), NOW).await.unwrap();
    }
    let group = async |id: i64, now| store.case_group(CaseId(id), 5 * MINUTE, now).await.unwrap();
    assert_eq!(group(1, NOW).await, CaseGroup::Tell(vec![CaseId(1), CaseId(2), CaseId(3)]));
    assert_eq!(group(2, NOW).await, CaseGroup::Wait(NOW.plus(5 * MINUTE)), "the first one tells");
    assert_eq!(store.case_group(CaseId(2), Duration::ZERO, NOW).await.unwrap(), CaseGroup::Tell(vec![CaseId(2)]));

    let run = bench.claim(1, NOW).await.remove(0);
    let told = [1, 2].map(|id| Change::CaseAlerted(CaseId(id))).into();
    store.write(run.lease, told, NOW.plus(MINUTE)).await.unwrap();
    assert_eq!(group(2, NOW.plus(MINUTE)).await, CaseGroup::Told);
    assert_eq!(group(3, NOW.plus(MINUTE)).await, CaseGroup::Wait(NOW.plus(6 * MINUTE)), "some were told just now");
    assert_eq!(group(3, NOW.plus(6 * MINUTE)).await, CaseGroup::Tell(vec![CaseId(3)]));
}

pub(crate) async fn the_newest_arrival_of_each_sender_and_way_is_told(bench: Bench) {
    let store = &bench.store;
    store.ingest(task("1"), NOW).await.unwrap();
    let mut fetched = task("2");
    fetched.event.via = Via::Backfill;
    store.ingest(fetched, NOW.plus(MINUTE)).await.unwrap();
    let mut arrivals = store.arrivals(EventId(0)).await.unwrap();
    arrivals.last.sort_unstable();
    assert_eq!(arrivals.last, [(Source::Stripe, Via::Webhook, NOW), (Source::Stripe, Via::Backfill, NOW.plus(MINUTE))]);
    let more = store.arrivals(arrivals.newest).await.unwrap();
    assert!(more.last.is_empty() && more.newest == arrivals.newest);
}

pub(crate) async fn a_case_told_by_a_clock_that_was_ahead_holds_up_no_other(bench: Bench) {
    let store = &bench.store;
    for name in ["a", "b"] {
        store.ingest(plan(&format!("evt_{name}"), vec![case(name)]), NOW).await.unwrap();
    }
    let run = bench.claim(1, NOW).await.remove(0);
    store.write(run.lease, vec![Change::CaseAlerted(CaseId(1))], NOW.plus(60 * MINUTE)).await.unwrap();
    store.finish(run.lease, End::Succeeded("alerted".to_owned()), NOW).await.unwrap();
    assert_eq!(store.case_group(CaseId(2), 5 * MINUTE, NOW).await.unwrap(), CaseGroup::Tell(vec![CaseId(2)]));
}

pub(crate) async fn a_refused_key_is_kept_until_a_call_succeeds_after_it(bench: Bench) {
    let (store, provider) = (&bench.store, "stripe".to_owned());
    let refused = |since: u32, last: u32| {
        let (since, last) = (NOW.plus(MINUTE * since), NOW.plus(MINUTE * last));
        RefusedKey { provider: "stripe".to_owned(), since, last }
    };
    let note = async |seen: KeySeen| store.note_refused(vec![seen], Vec::new(), NOW.plus(MINUTE * 30)).await.unwrap();
    let known = async |after: Duration| bench.opened_again().refused(NOW.plus(after)).await.unwrap().keys;
    note(KeySeen::Refused(refused(1, 1))).await;
    note(KeySeen::Refused(refused(2, 9))).await;
    assert_eq!(known(MINUTE * 30).await, [refused(1, 9)], "since the first of them, whichever process it was");
    assert_eq!(store.status(NOW.plus(MINUTE * 30)).await.unwrap().refused_keys, [refused(1, 9)]);
    note(KeySeen::Taken { provider: provider.clone(), at: NOW.plus(MINUTE * 5) }).await;
    assert_eq!(known(MINUTE * 30).await, [refused(1, 9)], "it succeeded before the last refusal");
    assert_eq!(known(MINUTE * 60 * 27).await, [], "nobody has asked it for more than a day");
    note(KeySeen::Taken { provider, at: NOW.plus(MINUTE * 10) }).await;
    assert_eq!(known(MINUTE * 30).await, []);
}

pub(crate) async fn refused_signatures_of_all_processes_are_added_up_for_an_hour(bench: Bench) {
    let store = &bench.store;
    for (source, minute) in [(Source::Stripe, 0), (Source::Stripe, 1), (Source::Cal, 1), (Source::Stripe, 40)] {
        let at = NOW.plus(MINUTE * minute);
        let mut refused = RefusedSignatures::default();
        (0..7).for_each(|_| refused.count(at));
        store.note_refused(Vec::new(), vec![(source, refused)], at).await.unwrap();
    }
    let seen = async |minute: u32| {
        let refused = bench.opened_again().refused(NOW.plus(MINUTE * minute)).await.unwrap().signatures;
        refused.iter().map(|(source, refused)| (*source, refused.sum())).collect::<Vec<_>>()
    };
    assert_eq!(seen(41).await, [(Source::Stripe, 21), (Source::Cal, 7)]);
    assert_eq!(seen(70).await, [(Source::Stripe, 7)]);
    assert_eq!(seen(101).await, []);
    let sources = store.status(NOW.plus(MINUTE * 41)).await.unwrap().sources;
    let shown: Vec<_> = sources.iter().map(|source| (source.source, source.refused)).collect();
    assert!(shown.contains(&(Source::Stripe, 21)) && shown.contains(&(Source::App, 0)), "{shown:?}");
}

pub(crate) async fn a_condition_that_the_table_has_no_word_for_is_read_as_it_was_found(bench: Bench) {
    let store = &bench.store;
    let all = [
        (Condition::SourceSilent, "stripe"),
        (Condition::BreakerOpen, "stripe"),
        (Condition::KeyRefused, "stripe"),
        (Condition::SignaturesRefused, "stripe"),
    ];
    let finding = |(condition, subject): (Condition, &str)| Finding {
        condition,
        subject: subject.to_owned(),
        summary: "it is wrong".to_owned(),
    };
    for minute in 0..2 {
        store.report(all.map(finding).to_vec(), PACE, NOW.plus(MINUTE * minute)).await.unwrap();
    }
    let mut alerts = store.alerts(false, 10).await.unwrap();
    alerts.reverse();
    let seen: Vec<_> = alerts.iter().map(|alert| (alert.condition, alert.subject.as_str(), alert.count)).collect();
    assert_eq!(seen, all.map(|(condition, subject)| (condition, subject, 2)));
    assert_eq!(store.levels(NOW).await.unwrap().alerts, all.map(|(condition, _)| (condition, 1)));
}
