//! What every store must do, as properties that know nothing of SQL. Each is held on every way to run a store.

mod alerts;
mod inbox;
mod leases;
mod ledger;
mod many;
mod model;
mod queue;
pub(crate) mod subjects;
mod views;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use discuno::model::time::Timestamp;
use discuno::store::postgres::{self, Postgres};
use discuno::store::sqlite::{Mode, Sqlite};
use discuno::store::{Claimed, Shared};

use crate::support::cluster::standing_for;
use crate::support::scratch;

/// When every property begins.
pub(crate) const NOW: Timestamp = Timestamp(1_793_872_800_000);
/// How long a lease is.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// A store under trial.
pub(crate) struct Bench {
    pub(crate) store: Shared,
    open: fn(&Path) -> Option<Shared>,
    dir: tempfile::TempDir,
}

impl Bench {
    /// None where the store cannot be had.
    fn new(open: fn(&Path) -> Option<Shared>) -> Option<Self> {
        let dir = scratch();
        Some(Self { store: open(&dir.path().join("store"))?, open, dir })
    }

    /// The same data, as another process or the next start sees it.
    pub(crate) fn opened_again(&self) -> Shared {
        (self.open)(&self.dir.path().join("store")).unwrap()
    }

    /// Claims what is due at `now`.
    pub(crate) async fn claim(&self, want: usize, now: Timestamp) -> Vec<Claimed> {
        self.store.claim("bench", want, now, now.plus(LEASE)).await.unwrap()
    }

    /// Claims the one run that is due.
    pub(crate) async fn claim_one(&self, now: Timestamp) -> Claimed {
        let mut claimed = self.claim(2, now).await;
        assert_eq!(claimed.len(), 1, "one run is due");
        claimed.remove(0)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of several ways")]
fn threads(path: &Path) -> Option<Shared> {
    Some(Arc::new(Sqlite::open(path, Mode::Threads, "test").unwrap()))
}

#[expect(clippy::unnecessary_wraps, reason = "one of several ways")]
fn inline(path: &Path) -> Option<Shared> {
    Some(Arc::new(Sqlite::open(path, Mode::Inline, "test").unwrap()))
}

fn server(path: &Path) -> Option<Shared> {
    Some(Arc::new(Postgres::open(&standing_for(path)?, postgres::Mode::USUAL, "test").unwrap()))
}

fn server_inline(path: &Path) -> Option<Shared> {
    Some(Arc::new(Postgres::open(&standing_for(path)?, postgres::Mode::Inline, "test").unwrap()))
}

macro_rules! on_every_store {
    ($($noun:ident: $($property:ident)+;)+) => {
        on_every_store!(@ threads $($noun: $($property)+;)+);
        on_every_store!(@ inline $($noun: $($property)+;)+);
        on_every_store!(@ server $($noun: $($property)+;)+);
        on_every_store!(@ server_inline $($noun: $($property)+;)+);
    };
    (@ $way:ident $($noun:ident: $($property:ident)+;)+) => {
        mod $way {
            $(mod $noun {
                use crate::conformance::{Bench, $noun as properties, $way};
                $(#[tokio::test]
                async fn $property() {
                    if let Some(bench) = Bench::new($way) {
                        properties::$property(bench).await;
                    }
                })+
            })+
        }
    };
}

on_every_store! {
    inbox:
        an_arrival_is_kept_with_all_that_it_starts
        a_repeated_arrival_starts_nothing_twice
        a_known_id_with_another_body_changes_nothing
        the_same_id_from_another_sender_is_another_event
        of_a_plan_that_breaks_a_rule_nothing_is_kept
        what_was_acknowledged_is_there_when_opened_again
        one_of_many_equal_arrivals_at_once_is_new
        what_is_about_an_unknown_payment_is_kept_and_changes_nothing;
    queue:
        due_runs_are_claimed_the_longest_due_first_and_no_more_than_wanted
        there_is_one_run_for_each_workflow_and_key
        a_run_is_given_what_its_earlier_executors_recorded
        a_step_is_recorded_once
        a_suspended_run_is_due_again_at_its_time
        an_ended_run_is_never_claimed_again
        a_failed_run_opens_a_case_and_has_a_person_told
        the_case_of_a_failed_run_says_that_no_session_stands_for_what_was_paid
        a_cancelled_run_with_money_at_stake_opens_a_case
        a_queued_run_is_cancelled_at_once_and_a_running_one_at_its_next_record
        cancelling_what_is_over_changes_nothing
        what_waits_for_its_next_try_is_moved_back_with_the_clock_and_what_waits_for_a_time_is_not
        what_is_old_is_taken_away_a_few_rows_at_a_time
        a_run_about_a_refund_of_stripes_is_retried_whatever_its_id_begins_with
        whoever_waits_for_changes_is_woken_by_an_arrival;
    leases:
        a_claimed_run_is_left_alone_until_its_lease_ends
        a_renewed_lease_lasts_longer_and_a_lost_one_is_named
        nothing_is_written_under_a_lost_lease
        no_two_executors_get_the_same_run
        claims_that_record_nothing_are_counted_until_one_does;
    ledger:
        a_refund_of_the_whole_is_wanted_once
        refunds_never_add_up_to_more_than_was_paid
        a_free_payment_has_nothing_to_pay_back
        automatic_refunds_stop_at_the_ceiling_and_those_of_people_do_not
        the_payment_follows_the_sum_of_its_refunds
        an_old_failure_told_again_takes_nothing_back_from_a_refund_under_way
        a_failure_told_again_settled_when_it_was_first_told
        a_refund_found_at_stripe_is_taken_over_once
        a_new_generation_has_a_key_of_its_own
        a_case_is_opened_once_for_each_cause
        an_e_mail_is_written_once_for_each_key
        what_contradicts_what_is_known_opens_a_case
        a_refund_is_recognised_by_its_mark_before_its_answer_is_known
        a_second_live_booking_of_one_payment_is_left_to_a_person;
    alerts:
        one_cause_is_one_alert_and_is_told_by_one_run
        one_that_is_silenced_is_told_again_when_that_ends_and_never_later_than_it_is_over
        only_what_is_still_found_is_told_again
        what_nobody_finds_any_more_is_over_and_told
        what_was_told_and_what_was_not_is_kept
        a_case_whose_telling_has_failed_is_told_again_after_a_while
        cases_that_follow_each_other_are_told_together_by_one
        a_case_told_by_a_clock_that_was_ahead_holds_up_no_other
        a_refused_key_is_kept_until_a_call_succeeds_after_it
        refused_signatures_of_all_processes_are_added_up_for_an_hour
        a_condition_that_the_table_has_no_word_for_is_read_as_it_was_found
        the_newest_arrival_of_each_sender_and_way_is_told;
    views:
        any_id_leads_to_its_story
        an_ambiguous_or_unknown_id_is_an_error
        the_newest_payments_come_first
        an_act_that_holds_a_nul_leaves_the_trail_whole
        the_backlog_counts_what_stands_where
        the_bytes_of_an_event_are_kept_as_they_came
        what_came_within_the_hour_is_counted_or_said_to_be_more;
    many:
        refunds_wanted_by_two_processes_at_once_stay_within_what_was_paid
        what_waits_for_a_payment_is_found_by_whoever_makes_it_at_the_same_time
        the_audit_trail_of_two_processes_is_one_chain
        what_calendars_say_in_two_processes_at_once_comes_to_the_same;
    model:
        any_sequence_of_verbs_obeys_the_state_machine;
}
