//! The words for the people on call.

use crate::model::alert::Alert;
use crate::model::case::Case;
use crate::model::notice::Notice;
use crate::model::time::Timestamp;

/// How many cases of a group are told one by one.
const MOST_LINES: usize = 20;

/// One case, or those of a kind that were opened together.
pub(super) fn of_cases(cases: &[Case]) -> Notice {
    let Some(first) = cases.first() else {
        return Notice { key: String::new(), heading: String::new(), lines: Vec::new(), next: String::new() };
    };
    if cases.len() == 1 {
        let at_risk = first.at_risk.map_or_else(|| "no money".to_owned(), |money| money.to_string());
        let payment = first.payment.map_or_else(|| "none".to_owned(), |id| id.to_string());
        return Notice {
            key: format!("case/{}", first.cause),
            heading: format!("{} {}", first.id, first.kind),
            lines: vec![first.summary.clone(), format!("At risk: {at_risk} · Payment: {payment}")],
            next: format!("discuno show {}", first.id),
        };
    }
    let mut lines: Vec<String> =
        cases.iter().take(MOST_LINES).map(|case| format!("{}: {}", case.id, case.summary)).collect();
    if cases.len() > MOST_LINES {
        lines.push(format!("and {} more", cases.len() - MOST_LINES));
    }
    Notice {
        key: format!("cases/{}/{}", cases.len(), first.cause),
        heading: format!("{} cases {}", cases.len(), first.kind),
        lines,
        next: format!("discuno cases --kind {}", first.kind),
    }
}

/// What began or goes on, and what is over.
pub(super) fn of_alerts(key: &str, due: &[Alert], over: &[Alert]) -> Notice {
    let heading = match (due, over) {
        ([one], []) => format!("{} {}", one.condition, one.subject),
        ([], [one]) => format!("over: {} {}", one.condition, one.subject),
        ([], _) => format!("{} alerts are over", over.len()),
        (_, []) => format!("{} alerts", due.len()),
        _ => format!("{} alerts, {} over", due.len(), over.len()),
    };
    let began = due.iter().map(|alert| {
        let again = if alert.delivered_at.is_some() { "still " } else { "" };
        format!("{again}{} {}: {} (since {})", alert.condition, alert.subject, alert.summary, alert.first_at)
    });
    let ended = over.iter().map(|alert| {
        let lasted = minutes(alert.first_at, alert.ended_at.unwrap_or(alert.last_at));
        format!("over: {} {}, after {lasted} min", alert.condition, alert.subject)
    });
    Notice { key: key.to_owned(), heading, lines: began.chain(ended).collect(), next: "discuno status".to_owned() }
}

fn minutes(from: Timestamp, until: Timestamp) -> u64 {
    until.since(from).as_secs().div_ceil(60)
}
