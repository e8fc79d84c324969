//! What happens again and again: summaries, pruning, and catching up on what was never sent.

use std::time::Duration;

use discuno::config::LEAST_RETENTION;
use discuno::model::booking::BookingStatus;
use discuno::model::case::CaseKind;
use discuno::model::event::Source;
use discuno::model::id::EventId;
use discuno::model::payment::PaymentStatus;
use discuno::model::run::RunState;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use discuno::store::Unsettled;
use discuno::store::change::NewRun;
use discuno::store::error::Error;
use discuno::store::order::Deed;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{CalEvent, Event, World};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn scheduled() -> World {
    let world = World::new();
    world.app.begin_schedules().await.unwrap();
    world
}

fn ended(world: &World, workflow: &str) -> i64 {
    in_state(world, workflow, "succeeded")
}

fn in_state(world: &World, workflow: &str, state: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM runs WHERE workflow = '{workflow}' AND state = '{state}'");
    world.books().count(&sql)
}

fn purchase(number: u32, email: &str) -> Event {
    let name = |kind: &str| json!(format!("{kind}_many{number}"));
    let event = Event::paid(email).id(&format!("evt_many{number}"));
    event
        .session("id", name("cs_test"))
        .session("payment_intent", name("pi"))
        .metadata("eventTypeId", json!((1000 + number).to_string()))
}

#[tokio::test(start_paused = true)]
async fn a_day_is_summed_up_once_and_missed_days_are_made_up_for() {
    let mut world = scheduled().await;
    world.send(&Event::paid("zoe@example.edu")).await;
    world.send(&purchase(1, "zoe+cal-refused@example.edu")).await;
    world.settle().await;
    // More processes that begin to work start nothing twice.
    world.app.begin_schedules().await.unwrap();
    world.kill_worker();
    tokio::time::sleep(DAY * 3).await;
    world.app.begin_schedules().await.unwrap();
    world.work_over(world.providers());
    world.pass(HOUR).await;
    let mails = world.ledger().mail.mails;
    let summaries: Vec<_> = mails.iter().filter(|mail| mail.subject.starts_with("Daily Summary")).collect();
    let mut days: Vec<&str> = summaries.iter().map(|mail| mail.subject.as_str()).collect();
    days.sort_unstable();
    assert_eq!(days, ["Daily Summary - 2026-11-05", "Daily Summary - 2026-11-06", "Daily Summary - 2026-11-07"]);
    let first = summaries.iter().find(|mail| mail.subject.ends_with("11-05")).unwrap().text.clone().unwrap();
    assert!(first.contains("100.00 USD paid in 2 sessions, 15.00 USD of it fees; 50.00 USD refunded"), "{first}");
    assert_eq!(world.counted().iter().filter(|event| *event == "daily_summary").count(), 3);
    assert!(ended(&world, "backfill-stripe") < 5, "of three missed days of hours, one run is enough");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_outlives_a_run_that_fails() {
    let world = scheduled().await;
    world.sandbox.inject(Fault::new(Provider::Stripe, Effect::ErrorBefore { status: 404 }).on("events.list").times(1));
    world.pass(HOUR * 3).await;
    assert!(in_state(&world, "backfill-stripe", "failed") == 1 && ended(&world, "backfill-stripe") >= 2);
}

#[tokio::test(start_paused = true)]
async fn with_a_third_of_the_webhooks_lost_the_end_is_the_same() {
    let mut ends = Vec::new();
    for lossy in [false, true] {
        let world = scheduled().await;
        let mut sent = 0_u32;
        let arrives = |sent: &mut u32| {
            *sent += 1;
            !lossy || !sent.is_multiple_of(3)
        };
        for number in 0..30 {
            let email =
                ["zoe@example.edu", "zoe+cal-refused@example.edu", "zoe+refund-pending+cal-refused@example.edu"];
            let event = purchase(number, email[number as usize % 3]);
            if arrives(&mut sent) {
                assert_eq!(world.send(&event).await.0, 200);
            } else {
                world.sandbox.observe(&event.body());
            }
        }
        world.pass(HOUR * 2).await;
        for number in (0..30).step_by(6) {
            let off = CalEvent::sample("BOOKING_CANCELLED").about(&purchase(number, "zoe@example.edu"));
            if arrives(&mut sent) {
                assert_eq!(world.send_cal(&off).await.0, 200);
            } else {
                world.sandbox.observe(&off.body());
            }
        }
        world.pass(HOUR * 2).await;
        world.assert_money_is_right("lossy").await;
        let mut statuses: Vec<(String, PaymentStatus)> =
            world.payments().await.into_iter().map(|payment| (payment.session_id, payment.status)).collect();
        statuses.sort();
        assert_eq!(statuses.len(), 30);
        ends.push(statuses);
        for source in [Source::Stripe, Source::Cal] {
            let complete = world.app.store.complete_until(source).await.unwrap().unwrap();
            let now = world.app.clock.now();
            assert!(now.since(complete) < HOUR + Duration::from_secs(60), "{source}");
            let sources = world.app.store.status(now).await.unwrap().sources;
            let checked = sources.iter().find(|row| row.source == source).and_then(|row| row.checked_at).unwrap();
            assert!(complete <= checked && now.since(checked) < HOUR + Duration::from_secs(60), "{source}");
        }
    }
    assert_eq!(ends[0], ends[1]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_moved_twice_unheard_is_followed_from_one_place_to_the_next() {
    for last_is_heard in [false, true] {
        let world = scheduled().await;
        let purchase = Event::paid("zoe@example.edu");
        world.send(&purchase).await;
        world.settle().await;
        let first = world.ledger().cal.bookings.remove(0).uid;
        let moved = |from: &str, to: &str, number: u64, day: &str| {
            let moved = CalEvent::sample("BOOKING_RESCHEDULED").about(&purchase).set("uid", json!(to));
            let moved = moved.set("rescheduleUid", json!(from)).set("bookingId", json!(number));
            let moved = moved.set("startTime", json!(format!("{day}T10:00:00Z"))).set("metadata", json!({}));
            moved.set("endTime", json!(format!("{day}T11:00:00Z")))
        };
        // Where it was meanwhile is too far ahead to be listed, and what never was there cannot be read.
        world.sandbox.observe(&moved(&first, "uid-far", 91_901, "2027-06-01").body());
        world.sandbox.observe(&moved("uid-gone", "uid-other", 91_902, "2026-11-13").body());
        let last = moved("uid-far", "uid-near", 91_903, "2026-11-12");
        if last_is_heard {
            world.send_cal(&last).await;
        } else {
            world.sandbox.observe(&last.body());
        }
        world.pass(HOUR * 2).await;
        let story = world.story().await;
        let mut known: Vec<_> = story.bookings.iter().map(|one| (one.facts.uid.as_str(), one.facts.status)).collect();
        known.sort_unstable_by_key(|(uid, _)| *uid);
        // Where it was in between is of no account.
        let expected = [("uid-near", BookingStatus::Accepted), (first.as_str(), BookingStatus::Cancelled)];
        assert_eq!(known, expected, "{last_is_heard}");
        assert_eq!((story.payment.unwrap().status, story.cases.len()), (PaymentStatus::Booked, 0));
        assert_eq!(in_state(&world, "backfill-cal", "failed"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_fetched_after_it_was_sent_starts_nothing_twice_and_is_no_forgery() {
    let world = scheduled().await;
    let event = Event::paid("zoe@example.edu");
    // Stripe writes its list differently from its webhooks.
    let mut listed = event.clone();
    listed.0["pending_webhooks"] = json!(7);
    world.sandbox.observe(&listed.body());
    world.send(&event).await;
    world.pass(HOUR * 2).await;
    assert_eq!(world.story().await.events.len(), 1);
    world.assert_money_is_right("fetched").await;
    assert_eq!(world.ledger().mail.mails.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_old_goes_and_what_tells_a_repetition_stays() {
    let world = World::with(|config| config.retention = LEAST_RETENTION);
    world.app.begin_schedules().await.unwrap();
    let event = Event::paid("zoe@example.edu");
    world.send(&event).await;
    world.settle().await;
    let id = world.story().await.events[0].id;
    // It waits for a payment that never comes.
    let expired = event.clone().id("evt_expired").kind("checkout.session.expired").session("id", json!("cs_nobody"));
    world.send(&expired).await;
    let waiting = EventId(id.0 + 1);
    world.pass(LEAST_RETENTION.saturating_sub(DAY)).await;
    assert!(world.app.store.body(id).await.is_ok() && world.app.store.body(waiting).await.is_ok());
    world.pass(DAY * 3).await;
    for id in [id, waiting] {
        assert!(matches!(world.app.store.body(id).await, Err(Error::NotFound(_))), "{id}");
    }
    let story = world.story().await;
    let checkout = story.runs.iter().find(|(run, _)| run.workflow == "process-checkout-side-effects").unwrap();
    assert_eq!((checkout.0.state, checkout.1.len()), (RunState::Succeeded, 0));
    let (_, answer) = world.send(&event).await;
    assert_eq!(answer["duplicate"], true);
    world.settle().await;
    assert_eq!(world.ledger().cal.bookings.len(), 1, "a webhook that comes after so long starts nothing");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_add_up_is_found_and_told_once() {
    let world = scheduled().await;
    for (number, email) in
        ["zoe@example.edu", "zoe@example.edu", "zoe+cal-refused@example.edu", "zoe@example.edu"].iter().enumerate()
    {
        world.send(&purchase(u32::try_from(number).unwrap(), email)).await;
    }
    world.settle().await;
    // As if by a fault that nobody has thought of.
    let books = world.books();
    books.run(
        "UPDATE payments SET status = 'paid' WHERE id = 1;
         DELETE FROM bookings WHERE payment_id = 2;
         INSERT INTO bookings (uid, cal_id, payment_id, status, start_at, end_at, title, attendees, created_at, updated_at)
         VALUES ('ghost', 1, 3, 'accepted', 1896000000000, 1896000000001, '', '[]', 0, 0);",
    )
    .unwrap();
    let found = world.app.store.discrepancies(world.app.clock.now().plus(DAY), 10).await.unwrap();
    let mut kinds: Vec<&str> = found.iter().map(|found| found.what.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["abandoned", "nothing_stands", "still_stands"]);
    world.pass(DAY * 3).await;
    let causes = books.rows("SELECT cause FROM cases ORDER BY payment_id");
    // The lost booking was fetched from Cal.com in the meantime.
    let found = ["abandoned/cs_test_many0", "still_stands/cs_test_many2"];
    assert_eq!(causes, found.map(|cause| format!("unaccounted/{cause}")));
    let posts = world.ledger().alerts.posts;
    assert_eq!(posts.len(), 1, "both at once");
    assert!(posts[0].body["text"].as_str().unwrap().starts_with("2 cases unaccounted"), "{posts:?}");
}

/// A session is paid for and its share moved with the charge: with what Stripe says of the share once so much of it is taken back, and
/// of a refund that somebody makes there.
async fn with_moved_share() -> (World, impl Fn(i64) -> Value, impl Fn(&str, i64) -> Value) {
    let world = scheduled().await;
    let purchase = Event::paid("zoe@example.edu");
    world.send(&purchase).await;
    world.settle().await;
    let moved = world.ledger().stripe.transfers.remove(0);
    let transfer = move |reversed: i64| {
        json!({"id": moved.id, "amount": 4250, "currency": "usd", "amount_reversed": reversed,
            "destination": moved.destination, "transfer_group": moved.transfer_group, "metadata": {}})
    };
    let refund = move |id: &str, amount: i64| {
        json!({"id": id, "amount": amount, "currency": "usd", "status": "succeeded",
            "payment_intent": purchase.0["data"]["object"]["payment_intent"], "metadata": {}})
    };
    (world, transfer, refund)
}

#[tokio::test(start_paused = true)]
async fn a_share_that_stayed_behind_when_somebody_refunded_in_stripe_is_told_of() {
    let (world, transfer, refund) = with_moved_share().await;
    world.send(&Event::told("evt_moved", "transfer.created", 1_793_873_000, transfer(0))).await;
    world.send(&Event::told("evt_hand", "refund.created", 1_793_873_000, refund("re_hand", 2000))).await;
    world.pass(DAY * 3).await;
    let story = world.story().await;
    assert_eq!((story.cases.len(), story.cases[0].kind), (1, CaseKind::TransferNotReversed));
    assert!(story.cases[0].alerted_at.is_some());
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Booked);
    let levels = world.app.store.levels(world.app.clock.now()).await.unwrap();
    assert!(levels.unaccounted.contains(&(Unsettled::ShareLeft, 1)), "{:?}", levels.unaccounted);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_which_only_a_part_came_back_is_told_of() {
    let (world, transfer, refund) = with_moved_share().await;
    world.send(&Event::told("evt_moved", "transfer.created", 1_793_873_000, transfer(0))).await;
    world.send(&Event::told("evt_part", "refund.created", 1_793_873_000, refund("re_part", 1000))).await;
    world.send(&Event::told("evt_back", "transfer.reversed", 1_793_873_000, transfer(850))).await;
    world.pass(DAY * 2).await;
    assert_eq!(world.story().await.cases.len(), 0);
    world.send(&Event::told("evt_more", "refund.created", 1_793_960_000, refund("re_more", 1000))).await;
    world.pass(DAY * 3).await;
    let kinds: Vec<_> = world.story().await.cases.into_iter().map(|case| case.kind).collect();
    assert_eq!(kinds, [CaseKind::TransferNotReversed]);
    // It comes back, and a part of what is paid back after that does not: that is another matter.
    world.send(&Event::told("evt_back_too", "transfer.reversed", 1_793_970_000, transfer(1700))).await;
    world.send(&Event::told("evt_third", "refund.created", 1_794_100_000, refund("re_third", 1500))).await;
    world.pass(DAY * 3).await;
    let cases = world.story().await.cases;
    let open: Vec<_> = cases.iter().filter(|case| case.closed_at.is_none()).map(|case| case.kind).collect();
    assert_eq!((cases.len(), open), (2, vec![CaseKind::TransferNotReversed]));
    world.send(&Event::told("evt_back_last", "transfer.reversed", 1_794_200_000, transfer(2975))).await;
    world.settle().await;
    assert!(world.story().await.cases.iter().all(|case| case.closed_at.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_refund_whose_news_is_lost_is_read_from_stripe() {
    let world = scheduled().await;
    world.send(&Event::paid("zoe+cal-refused+refund-pending@example.edu")).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunding);
    let mut theirs = serde_json::to_value(world.ledger().stripe.refunds.remove(0)).unwrap();
    theirs["status"] = json!("succeeded");
    theirs["created"] = json!(1_793_872_900);
    // Older than what is fetched again.
    let news =
        json!({"id": "evt_lost", "type": "refund.updated", "created": 1_793_872_900, "data": {"object": theirs}});
    world.pass(HOUR * 3).await;
    world.sandbox.observe(&serde_json::to_vec(&news).unwrap());
    world.pass(DAY * 2).await;
    assert_eq!(world.payment().await.status, PaymentStatus::Refunded);
}

#[tokio::test(start_paused = true)]
async fn a_sleeping_run_that_is_woken_too_early_is_not_taken_for_poison() {
    let world = World::new();
    for provider in [Provider::Alert, Provider::Mail] {
        world.sandbox.inject(Fault::new(provider, Effect::ErrorBefore { status: 503 }));
    }
    world.send(&Event::paid("zoe+cal-refused+refund-refused@example.edu")).await;
    let books = world.books();
    let asleep =
        "SELECT count(*) FROM attempts a JOIN runs r ON r.id = a.run_id WHERE r.workflow = 'alert' AND a.step = 'wait'";
    while books.count(asleep) == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for _ in 0..30 {
        books.run("UPDATE runs SET due_at = 0 WHERE workflow = 'alert'").unwrap();
        world.app.store.is_writable().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.sandbox.clear_faults();
    world.pass(HOUR).await;
    world.assert_money_is_right("woken too early").await;
}

#[tokio::test(start_paused = true)]
async fn what_was_called_off_during_a_long_outage_is_fetched_although_its_time_is_over() {
    let mut world = scheduled().await;
    let purchase = Event::paid("zoe@example.edu");
    world.send(&purchase).await;
    world.pass(HOUR * 2).await;
    world.kill_worker();
    tokio::time::sleep(HOUR * 12).await;
    world.sandbox.observe(&CalEvent::sample("BOOKING_CANCELLED").about(&purchase).body());
    tokio::time::sleep(DAY * 4).await;
    world.app.begin_schedules().await.unwrap();
    world.work_over(world.providers());
    world.pass(HOUR * 3).await;
    assert_eq!(world.story().await.bookings[0].facts.status, BookingStatus::Cancelled);
    world.assert_money_is_right("long outage").await;
}

#[tokio::test(start_paused = true)]
async fn a_schedule_whose_next_run_was_cancelled_goes_on_without_a_restart() {
    let world = scheduled().await;
    world.pass(HOUR).await;
    let next = world.run_ids("backfill-stripe").await.pop().unwrap();
    world.operate(Deed::Cancel(next)).await.unwrap();
    let stop = CancellationToken::new();
    let kept = async {
        world.pass(HOUR * 4).await;
        stop.cancel();
    };
    tokio::join!(world.app.keep_schedules(&stop), kept);
    let later = world.run_ids("backfill-stripe").await.into_iter().filter(|run| *run > next).count();
    assert!(later >= 2, "{later}");
    assert_eq!(in_state(&world, "backfill-stripe", "queued"), 1, "never more than one to come");
}

#[tokio::test(start_paused = true)]
async fn a_paid_session_that_does_not_stand_any_more_is_found_unless_somebody_decided_so() {
    let world = scheduled().await;
    for number in 0..4 {
        world.send(&purchase(number, "zoe@example.edu")).await;
    }
    world.settle().await;
    // As if by a fault that nobody has thought of; the second was left by the owner's policy, the third is being settled.
    let run = "INSERT INTO runs (workflow, key, payment_id, state, outcome, finished_at, due_at, created_at)";
    world
        .books()
        .run(&format!(
            "UPDATE bookings SET status = 'cancelled' WHERE payment_id IN (1, 2, 3);
             {run} VALUES ('booking-cancelled', 'a', 2, 'succeeded', 'left_by_policy', 0, NULL, 0);
             {run} VALUES ('booking-cancelled', 'b', 3, 'queued', NULL, NULL, 9000000000000, 0);"
        ))
        .unwrap();
    let found = world.app.store.discrepancies(world.app.clock.now().plus(DAY), 10).await.unwrap();
    let found: Vec<_> = found.iter().map(|found| (found.payment.id.0, found.what)).collect();
    assert_eq!(found, [(1, Unsettled::NothingStands)]);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_a_wrong_clock_has_put_off_for_a_year_goes_on_beside_it() {
    let world = scheduled().await;
    world.settle().await;
    let put_off = "UPDATE runs SET due_at = due_at + 31536000000, key = 'in a year' \
        WHERE workflow = 'backfill-stripe' AND due_at IS NOT NULL";
    world.books().run(put_off).unwrap();
    let before = ended(&world, "backfill-stripe");
    world.app.begin_schedules().await.unwrap();
    world.pass(HOUR * 3).await;
    assert!(ended(&world, "backfill-stripe") > before + 1);
    assert_eq!(in_state(&world, "backfill-stripe", "queued"), 2, "the one that was put off, and one to come");
}

#[tokio::test(start_paused = true)]
async fn a_run_of_a_workflow_that_only_a_newer_program_has_waits_for_it_for_an_hour() {
    let world = World::new();
    let run = NewRun::with_input("a-workflow-of-tomorrow", "1".to_owned(), json!({}));
    world.app.store.ensure(vec![run], world.app.clock.now()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(50 * 60)).await;
    let run = world.app.store.run(world.run_ids("a-workflow-of-tomorrow").await[0]).await.unwrap();
    assert_eq!((run.state, run.failure), (RunState::Queued, None));
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    let run = world.app.store.run(world.run_ids("a-workflow-of-tomorrow").await[0]).await.unwrap();
    assert_eq!(
        (run.state, run.failure.map(|failure| failure.code)),
        (RunState::Failed, Some("unknown_workflow".to_owned()))
    );
}
