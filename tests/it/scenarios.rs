//! The eleven scenarios of the brief, on the real code.

use std::time::Duration;

use discuno::model::case::CaseKind;
use discuno::model::failure::FailureKind;
use discuno::model::payment::PaymentStatus;
use discuno::model::refund::RefundStatus;
use discuno::model::run::RunState;
use discuno::model::step::Ending;
use discuno::ops::probe;
use discuno::sandbox::fault::{Effect, Fault, Provider};
use serde_json::{Value, json};

use crate::support::{Event, World};

#[tokio::test(start_paused = true)]
async fn webhook_happy_path() {
    let world = World::new();
    let (status, answer) = world.send(&Event::paid("zoe@example.edu")).await;
    assert_eq!((status, &answer["received"], &answer["duplicate"]), (200, &json!(true), &json!(false)));
    world.settle().await;

    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    world.assert_money_is_right("happy path").await;
    let theirs = world.ledger();
    assert_eq!(theirs.cal.bookings.len(), 1);
    assert_eq!(theirs.posthog.events.len(), 1);
    let subjects: Vec<&str> = theirs.mail.mails.iter().map(|mail| mail.subject.as_str()).collect();
    assert!(subjects.contains(&"Booking Confirmed - Your Session is Scheduled"), "{subjects:?}");
    let letter = theirs.mail.mails.iter().find(|mail| mail.subject.starts_with("Booking Confirmed")).unwrap();
    assert!(
        letter.text.as_deref().unwrap().contains("10:00 EST (America/New_York)"),
        "{}",
        letter.text.as_deref().unwrap()
    );
    assert!(letter.text.as_deref().unwrap().contains("50.00 USD"), "{}", letter.text.as_deref().unwrap());
}

#[tokio::test(start_paused = true)]
async fn webhook_idempotency() {
    let world = World::new();
    let event = Event::paid("zoe@example.edu");
    world.send(&event).await;
    world.settle().await;
    let (status, answer) = world.send(&event).await;
    assert_eq!((status, &answer["duplicate"]), (200, &json!(true)));
    let (status, _) = world.send(&event.clone().id("evt_another_id_for_the_same_session")).await;
    assert_eq!(status, 200);
    world.settle().await;

    let story = world.story().await;
    let checkouts = story.runs.iter().filter(|(run, _)| run.workflow == "process-checkout-side-effects").count();
    assert_eq!((checkouts, story.events.len(), story.bookings.len()), (1, 2, 1));
    assert_eq!(world.ledger().cal.bookings.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn metadata_validation_keeps_a_paid_session_and_opens_a_case() {
    let required = [
        "mentorUserId",
        "eventTypeId",
        "startTime",
        "attendeeName",
        "attendeeEmail",
        "attendeeTimeZone",
        "mentorUsername",
        "mentorFee",
        "menteeFee",
        "mentorAmount",
        "mentorStripeAccountId",
    ];
    let missing = required.iter().map(|key| (*key, Value::Null));
    let wrong = [
        ("eventTypeId", json!("x")),
        ("startTime", json!("soon")),
        ("mentorFee", json!("-1")),
        ("mentorAmount", json!(" ")),
    ];
    for (key, value) in missing.chain(wrong) {
        let world = World::new();
        let (status, _) = world.send(&Event::paid("zoe@example.edu").metadata(key, value)).await;
        assert_eq!(status, 200, "{key}");
        world.settle().await;
        let story = world.story().await;
        assert_eq!(story.payment.unwrap().status, PaymentStatus::Attention, "{key}");
        assert!(story.cases.len() == 1 && story.cases[0].alerted_at.is_some(), "{key}");
        assert!(story.cases[0].summary.contains(key), "{}", story.cases[0].summary);
        assert_eq!(world.ledger().alerts.posts.len(), 1, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn payment_intent_validation_opens_a_case_for_a_paid_session_without_one() {
    let world = World::new();
    let (status, _) = world.send(&Event::paid("zoe@example.edu").session("payment_intent", Value::Null)).await;
    assert_eq!(status, 200);
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Attention);
    assert!(world.ledger().cal.bookings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_amount_that_no_one_can_have_paid_is_a_case_and_counts_for_none() {
    let world = World::new();
    for number in 0..3 {
        let event = Event::paid("zoe@example.edu").id(&format!("evt_{number}"));
        let event =
            event.session("id", json!(format!("cs_{number}"))).session("payment_intent", json!(format!("pi_{number}")));
        world.send(&event.session("amount_total", json!(i64::MAX))).await;
    }
    world.settle().await;
    let now = world.app.clock.now();
    assert_eq!(world.app.store.status(now).await.unwrap().backlog.open_cases, 3);
}

#[tokio::test(start_paused = true)]
async fn all_steps_succeed() {
    let world = World::new();
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    let story = world.story().await;
    for (run, attempts) in story.runs.iter().filter(|(run, _)| run.workflow != "transfer-to-mentor") {
        assert_eq!(run.state, RunState::Succeeded, "{}", run.workflow);
        assert!(attempts.iter().all(|attempt| attempt.number == 1), "{}", run.workflow);
    }
    assert_eq!(world.steps().await, ["track-payment-posthog", "create-calcom-booking", "send-confirmation-emails"]);
}

#[tokio::test(start_paused = true)]
async fn posthog_down_continues_and_is_caught_up_later_with_the_original_time() {
    let world = World::new();
    world.sandbox.inject(Fault::new(Provider::Posthog, Effect::ErrorBefore { status: 503 }).times(5));
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
    let events = world.ledger().posthog.events;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event, "payment_succeeded");
}

#[tokio::test(start_paused = true)]
async fn booking_fails_and_the_payment_is_refunded() {
    let world = World::new();
    world.send(&Event::paid("zoe+cal-refused@example.edu")).await;
    world.settle().await;
    world.assert_money_is_right("refused").await;
    let story = world.story().await;
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Refunded);
    assert_eq!(story.refunds[0].status, RefundStatus::Succeeded);
    let request = story.refunds[0].request.clone().unwrap();
    assert!(request.contains("reverse_transfer=true") && !request.contains("refund_application_fee"), "M6: {request}");
    let mail = &world.ledger().mail.mails[0];
    assert_eq!(mail.subject, "Booking Failed - Action Required");
    assert!(
        mail.text.as_deref().unwrap().contains("We have refunded 50.00 USD in full"),
        "{}",
        mail.text.as_deref().unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_of_the_calendar_that_leads_nowhere_refunds_nobody_and_opens_a_case() {
    let wrong = World::with(|config| config.cal.api_url = config.cal.api_url.join("v2/v2").unwrap());
    let refusing = World::new();
    let retired = Effect::Refuse { status: 404, code: "NotFoundException".to_owned(), message: "Not Found".to_owned() };
    refusing.sandbox.inject(Fault::new(Provider::Cal, retired).on("bookings.create"));
    for world in [wrong, refusing] {
        world.send(&Event::paid("zoe@example.edu")).await;
        world.settle().await;
        let (story, theirs) = (world.story().await, world.ledger());
        assert!(theirs.cal.requests.iter().any(|asked| asked.status == Some(404)));
        assert!(theirs.cal.bookings.is_empty());
        assert_eq!((story.refunds.len(), theirs.stripe.refunds.len()), (0, 0));
        let cases: Vec<_> = story.cases.iter().map(|case| case.kind).collect();
        assert_eq!((story.payment.unwrap().status, cases), (PaymentStatus::Attention, vec![CaseKind::BookingUnclear]));
        assert!(story.cases[0].detail.contains("unrecognised_refusal"), "{}", story.cases[0].detail);
        world.assert_money_is_right("nowhere").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_an_address_that_leads_nowhere_fails_and_of_the_right_one_does_not() {
    for (wrong, expected) in [(false, [true; 3]), (true, [false; 3])] {
        let world = World::idle_with(|config| {
            if wrong {
                config.cal.api_url = config.cal.api_url.join("v2/v2").unwrap();
            }
        });
        let means = world.app.means(&world.providers()).unwrap();
        let probes = probe::keys(&means.providers, world.app.clock.now()).await;
        let of_cal: Vec<_> = probes.iter().filter(|probe| probe.what.starts_with("cal ")).collect();
        assert_eq!(of_cal.iter().map(|probe| probe.ok).collect::<Vec<_>>(), expected, "{of_cal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_key_may_do_is_not_known_where_too_much_was_asked() {
    let world = World::idle();
    world.sandbox.inject(Fault::new(Provider::Cal, Effect::RateLimited { retry_after_secs: 60 }).on("bookings.list"));
    let means = world.app.means(&world.providers()).unwrap();
    let probes = probe::keys(&means.providers, world.app.clock.now()).await;
    let asked = probes.iter().find(|probe| probe.what == "cal bookings.list").unwrap();
    assert!(!asked.ok && asked.said.starts_with("not known"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn refund_fails_and_a_person_is_alerted_and_the_customer_told_the_truth() {
    let world = World::new();
    world.send(&Event::paid("zoe+cal-refused+refund-refused@example.edu")).await;
    world.settle().await;
    world.assert_money_is_right("refund refused").await;
    let story = world.story().await;
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Attention);
    assert!(story.cases[0].alerted_at.is_some());
    let theirs = world.ledger();
    assert_eq!(theirs.alerts.posts.len(), 1);
    let to_admin = theirs.mail.mails.iter().find(|mail| mail.subject == "URGENT: Manual Refund Required");
    assert!(to_admin.is_some());
    let to_customer = theirs.mail.mails.iter().find(|mail| mail.subject.starts_with("Booking Failed")).unwrap();
    assert!(
        to_customer.text.as_deref().unwrap().contains("could not be returned automatically"),
        "{}",
        to_customer.text.as_deref().unwrap()
    );
    assert!(
        !to_customer.text.as_deref().unwrap().contains("have refunded"),
        "{}",
        to_customer.text.as_deref().unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn a_share_that_cannot_be_taken_back_from_the_mentor_opens_a_case_and_the_customer_is_refunded() {
    let refusal = Effect::Refuse {
        status: 400,
        code: "balance_insufficient".to_owned(),
        message: "The destination account has insufficient funds to reverse the transfer.".to_owned(),
    };
    for lost in [false, true] {
        let world = World::new();
        let on_refunds = |effect| Fault::new(Provider::Stripe, effect).on("refunds.create");
        world.sandbox.inject(on_refunds(refusal.clone()).matching("reverse_transfer"));
        if lost {
            world.sandbox.inject(on_refunds(Effect::DropAfter).times(1));
        }
        world.send(&Event::paid("zoe+cal-refused@example.edu")).await;
        world.settle().await;
        world.assert_money_is_right("no reversal").await;
        let story = world.story().await;
        assert_eq!(story.payment.unwrap().status, PaymentStatus::Refunded);
        assert_eq!(story.cases.len(), 1);
        let case = &story.cases[0];
        assert_eq!((case.kind, case.at_risk.unwrap().minor), (CaseKind::TransferNotReversed, 4250));
        assert!(case.alerted_at.is_some() && case.summary.contains("42.50 USD"), "{}", case.summary);
    }
}

#[tokio::test(start_paused = true)]
async fn email_fails_and_the_checkout_goes_on() {
    let world = World::new();
    world.sandbox.inject(Fault::new(Provider::Mail, Effect::ErrorBefore { status: 500 }).times(20));
    world.send(&Event::paid("zoe+cal-refused@example.edu")).await;
    world.settle().await;
    let story = world.story().await;
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Refunded);
    assert_eq!(world.ledger().mail.mails.len(), 1, "the e-mail gets through in the end");
}

#[tokio::test(start_paused = true)]
async fn a_failing_attempt_is_kept_and_tried_again_until_it_succeeds() {
    let world = World::new();
    world.sandbox.inject(Fault::new(Provider::Cal, Effect::ErrorBefore { status: 500 }).on("bookings.create").times(2));
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    let story = world.story().await;
    let (_, attempts) = story.runs.iter().find(|(run, _)| run.workflow == "process-checkout-side-effects").unwrap();
    let kinds: Vec<Option<FailureKind>> = attempts
        .iter()
        .filter(|attempt| attempt.step == "create-calcom-booking")
        .map(|attempt| match &attempt.ending {
            Ending::Done { .. } => None,
            Ending::Retry { failure } | Ending::Failed { failure } => Some(failure.kind),
        })
        .collect();
    assert_eq!(kinds, [Some(FailureKind::Unknown), Some(FailureKind::Unknown), None]);
    assert_eq!(story.payment.unwrap().status, PaymentStatus::Booked);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_booking_waits_for_as_long_as_cal_asks_whatever_the_longest_wait_of_its_step() {
    let world = World::new();
    let limited = Effect::RateLimited { retry_after_secs: 90 };
    world.sandbox.inject(Fault::new(Provider::Cal, limited).on("bookings.create").times(2));
    world.send(&Event::paid("zoe@example.edu")).await;
    world.settle().await;
    let asked: Vec<_> = world.ledger().cal.requests.into_iter().filter(|asked| asked.method == "POST").collect();
    let statuses: Vec<_> = asked.iter().map(|asked| asked.status).collect();
    assert_eq!(statuses, [Some(429), Some(429), Some(201)]);
    assert!(asked.iter().zip(&asked[1..]).all(|(one, next)| next.at.since(one.at) >= Duration::from_secs(90)));
    assert_eq!(world.payment().await.status, PaymentStatus::Booked);
}

#[tokio::test(start_paused = true)]
async fn the_steps_come_in_the_order_of_the_story() {
    let world = World::new();
    world.send(&Event::paid("zoe+cal-refused+refund-refused@example.edu")).await;
    world.settle().await;
    assert_eq!(
        world.steps().await,
        [
            "track-payment-posthog",
            "create-calcom-booking",
            "refund-payment",
            "alert-admin",
            "update-payment-status",
            "send-failure-email",
        ]
    );
}
