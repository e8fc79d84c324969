//! The words of every e-mail. They follow what truly happened, name the currency, and give times in the reader's zone.

use crate::model::booking::{BookingStatus, NewBooking};
use crate::model::case::Case;
use crate::model::checkout::Checkout;
use crate::model::failure::Failure;
use crate::model::mail::NewMail;
use crate::model::money::Money;
use crate::model::notice::Notice;
use crate::model::payment::Payment;
use crate::model::refund::RefundStatus;
use crate::model::takings::Summary;

/// Longer lines are cut.
const LONGEST_LINE: usize = 1000;

/// What is said to be the end of the matter with the money: `Ok(None)` where nothing was paid.
pub type Repayment = Result<Option<RefundStatus>, Failure>;

/// The session is booked: to the attendee, and to the mentor where Cal.com gave an address.
pub fn booking_confirmed(order: &Checkout, booking: &NewBooking) -> Vec<NewMail> {
    let attendee = &order.attendee;
    let minutes = booking.end.since(booking.start).as_secs() / 60;
    let place = booking.meeting_url.as_deref().map(|url| format!("Where: {url}"));
    let pending = booking.status == BookingStatus::Pending;
    let (subject, first) = if pending {
        (
            "Booking Requested - Waiting for Your Mentor",
            "Your session is requested. Your mentor still has to confirm it.",
        )
    } else {
        ("Booking Confirmed - Your Session is Scheduled", "Your session is booked.")
    };
    let mut lines = vec![
        format!("Hello {},", attendee.name),
        first.to_owned(),
        format!("What: {}", booking.title),
        format!("With: {}", order.mentor_username),
        format!("When: {}, {minutes} minutes", booking.start.in_zone(&attendee.time_zone)),
    ];
    lines.extend(place.clone());
    lines.push(if order.payment_intent.is_some() {
        format!("Paid: {}", order.amount)
    } else {
        "Paid: nothing was due".to_owned()
    });
    let mut mails = vec![mail("booking-confirmed", order.reference(), &attendee.email, subject, &lines)];
    if let Some(host) = booking.host_email() {
        let mut lines = vec![
            format!("Hello {},", order.mentor_username),
            format!("{} has booked a session with you.", attendee.name),
            format!("What: {}", booking.title),
            format!("When: {}, {minutes} minutes", booking.start.in_zone("UTC")),
        ];
        lines.extend(place);
        let (subject, last) = if pending {
            (
                "Booking Request - Please Confirm or Decline",
                "It is paid for and waits for you: confirm or decline it in Cal.com before it begins.",
            )
        } else {
            ("New Booking - You have a scheduled session", "Please prepare and check your calendar.")
        };
        lines.push(last.to_owned());
        mails.push(mail("booking-confirmed-mentor", order.reference(), host, subject, &lines));
    }
    mails
}

/// The session could not be booked; what is said of the money follows its real state.
pub fn booking_failed(order: &Checkout, refused: &Failure, repayment: &Repayment) -> NewMail {
    let reason = match refused.code.as_str() {
        "refunded_elsewhere" => "it was refunded before it could be booked",
        "slot_taken" => "the time was taken by somebody else in the meantime",
        "in_the_past" => "the time had already passed when your payment arrived",
        "out_of_bounds" => "the mentor no longer offers this time",
        "event_type_missing" | "not_bookable" => "the mentor no longer offers this session",
        _ => "the calendar did not accept it",
    };
    let money = match repayment {
        Ok(None) => "Nothing was charged.".to_owned(),
        Ok(Some(RefundStatus::Succeeded)) => {
            format!("We have refunded {} in full. It reaches your account within 5-10 business days.", order.amount)
        }
        Ok(Some(_)) => format!(
            "Your refund of {} is being processed. We will see it through; you need not do anything.",
            order.amount
        ),
        Err(_) => format!(
            "Your payment of {} could not be returned automatically yet. Our team has been alerted, will settle it by \
             hand and write to you. You need not do anything.",
            order.amount
        ),
    };
    let lines = [
        format!("Hello {},", order.attendee.name),
        format!(
            "We could not book your session with {} on {}: {reason}.",
            order.mentor_username,
            order.start.in_zone(&order.attendee.time_zone)
        ),
        money,
        "We are sorry for the trouble.".to_owned(),
        "The Discuno Team".to_owned(),
    ];
    mail("booking-failed", order.reference(), &order.attendee.email, "Booking Failed - Action Required", &lines)
}

/// A delayed payment did not arrive.
pub fn payment_failed(order: &Checkout) -> NewMail {
    let lines = [
        format!("Hello {},", order.attendee.name),
        format!(
            "Your bank did not complete the payment of {} for your session with {} on {}.",
            order.amount,
            order.mentor_username,
            order.start.in_zone(&order.attendee.time_zone)
        ),
        "Nothing was taken, and the session is not booked. You are welcome to book it again.".to_owned(),
        "The Discuno Team".to_owned(),
    ];
    mail("payment-failed", &order.session_id, &order.attendee.email, "Payment Failed - Session Not Booked", &lines)
}

/// A refund, as it truly stands; none where nobody knows where to write. `key` is what makes it one letter.
pub fn refund_made(
    payment: &Payment,
    key: &str,
    amount: Money,
    status: RefundStatus,
    why: Option<&str>,
) -> Option<NewMail> {
    let attendee = payment.checkout.as_ref().map(|order| &order.attendee);
    let to = attendee.map(|attendee| attendee.email.as_str()).or(payment.customer_email.as_deref())?;
    let whole = if amount == payment.amount { " in full" } else { "" };
    let (subject, money) = if status == RefundStatus::Succeeded {
        (
            "Refund Processed - Your Payment Has Been Refunded",
            format!("We have refunded {amount}{whole}. It reaches your account within 5-10 business days."),
        )
    } else {
        (
            "Refund On Its Way - Your Payment Is Being Refunded",
            format!(
                "Your refund of {amount}{whole} is being processed. We will see it through; you need not do anything."
            ),
        )
    };
    let mut lines = vec![attendee.map_or_else(|| "Hello,".to_owned(), |attendee| format!("Hello {},", attendee.name))];
    lines.extend(why.map(|why| format!("We are sorry: {why}.")));
    lines.push(money);
    lines.push("The Discuno Team".to_owned());
    Some(mail("refund", key, to, subject, &lines))
}

/// A mentor's share was moved to their account.
pub fn share_transferred(order: &Checkout, to: &str, transfer: &str, share: Money) -> NewMail {
    let lines = [
        format!("Hello {},", order.mentor_username),
        format!(
            "We have transferred your earnings of {share} for the session of {} to your Stripe account ({transfer}).",
            order.start.in_zone("UTC")
        ),
        "Stripe pays it out to your bank within 1-3 business days.".to_owned(),
        "The Discuno Team".to_owned(),
    ];
    mail("share-transferred", transfer, to, "Payment Transferred - Your Earnings Are On The Way", &lines)
}

/// A payout has reached the mentor's bank.
pub fn payout_paid(to: &str, payout: &str, amount: Money) -> NewMail {
    let lines = [
        "Hello,".to_owned(),
        format!("Stripe has paid {amount} out to your bank account ({payout})."),
        "The Discuno Team".to_owned(),
    ];
    mail("payout-paid", payout, to, "Payout Completed - Your Earnings Have Arrived", &lines)
}

/// A payout came back.
pub fn payout_failed(to: &str, payout: &str, amount: Money, code: Option<&str>) -> NewMail {
    let why = code.map(|code| format!(": {}", code.replace('_', " "))).unwrap_or_default();
    let lines = [
        "Hello,".to_owned(),
        format!("The payout of {amount} to your bank account did not arrive{why} ({payout})."),
        "The money is safe on your Stripe account. Please check your bank details in Stripe; it then tries again."
            .to_owned(),
        "The Discuno Team".to_owned(),
    ];
    mail("payout-failed", payout, to, "Payout Failed - Please Check Your Bank Details", &lines)
}

/// A day in figures, for the people who run this.
pub fn daily_summary(day: &str, summary: &Summary, to: &str) -> NewMail {
    let mut lines = vec![format!("What came of {day} (UTC):")];
    if summary.takings.is_empty() {
        lines.push("Nothing was paid, and nothing refunded.".to_owned());
    }
    lines.extend(summary.takings.iter().map(|of| {
        format!(
            "{}: {} paid in {} sessions, {} of it fees; {} refunded in {} refunds",
            of.currency.code(),
            of.money(of.paid),
            of.payments,
            of.money(of.fees),
            of.money(of.refunded),
            of.refunds
        )
    }));
    lines.push(format!("Runs that failed: {}", summary.failed_runs));
    lines.push(format!("Open cases: {}", summary.open_cases));
    mail("daily-summary", day, to, &format!("Daily Summary - {day}"), &lines)
}

/// A case, for the people on call.
pub fn case_opened(case: &Case, to: &str) -> NewMail {
    let subject = match case.kind {
        crate::model::case::CaseKind::RefundFailed => "URGENT: Manual Refund Required".to_owned(),
        kind => format!("ALERT: {kind} - {}", case.id),
    };
    let lines = [
        case.summary.clone(),
        format!("At risk: {}", case.at_risk.map_or_else(|| "no money".to_owned(), |money| money.to_string())),
        format!("Payment: {}", case.payment.map_or_else(|| "none".to_owned(), |id| id.to_string())),
        format!("Seen: {}", case.detail),
        format!("Opened: {}", case.opened_at),
        format!("Next: discuno show {}", case.id),
    ];
    mail("case", &case.cause, to, &subject, &lines)
}

/// Whatever the people on call are told besides.
pub fn notice(notice: &Notice, to: &str) -> NewMail {
    let mut lines = notice.lines.clone();
    lines.push(format!("Next: {}", notice.next));
    mail("alert", &notice.key, to, &format!("ALERT: {}", notice.heading), &lines)
}

fn mail(kind: &str, reference: &str, to: &str, subject: &str, lines: &[String]) -> NewMail {
    let lines: Vec<String> = lines.iter().map(|line| flat(line)).collect();
    let html = lines.iter().map(|line| format!("<p>{}</p>", escape(line))).collect::<Vec<_>>().join("\n");
    NewMail {
        key: format!("{kind}/{reference}"),
        kind: kind.replace('-', "_"),
        to: to.to_owned(),
        subject: subject.to_owned(),
        html,
        text: lines.join("\n\n"),
    }
}

/// Names come from strangers: one cannot begin a paragraph of its own in our letter, nor turn the writing around.
fn flat(line: &str) -> String {
    let steers = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    line.chars().take(LONGEST_LINE).map(|c| if steers(c) { ' ' } else { c }).collect()
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_outside_stays_a_word_in_our_letter() {
        let name = "Zoë\r\n\r\nSend your password to\u{202e}<script>alert(1)</script>\u{0}";
        let letter = mail("kind", "ref", "zoe@example.edu", "Subject", &[format!("Hello {name},"), "Bye.".to_owned()]);
        assert_eq!(letter.text.split("\n\n").count(), 2, "{}", letter.text);
        assert!(letter.text.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "{}", letter.text);
        assert_eq!(letter.html.matches("<p>").count(), 2);
        assert!(!letter.html.contains("<script"), "{}", letter.html);
        assert!(mail("k", "r", "t", "s", &["x".repeat(1_000_000)]).text.len() <= LONGEST_LINE);
    }
}
