//! Counts by hour as bars, drawn by the server.

use std::collections::BTreeMap;

use askama::Template;
use askama::filters::HtmlSafe;

use crate::model::time::Timestamp;
use crate::store::hours::Hours;
use crate::web::shown;

/// Each hour's place, and the height of the highest bar.
const STEP: u32 = 30;
const HEIGHT: u32 = 90;

#[derive(Template)]
#[template(path = "_chart.html")]
pub(in crate::web) struct Chart {
    title: String,
    bars: Vec<Bar>,
    most: u32,
    total: u32,
    from: shown::Time,
    /// Since when nothing is left out, where that is later.
    whole_since: Option<shown::Time>,
    width: u32,
}

/// One hour.
struct Bar {
    told: String,
    href: Option<String>,
    parts: Vec<Part>,
}

struct Part {
    word: String,
    x: u32,
    y: u32,
    height: u32,
}

impl Chart {
    /// `href` leads to the list of one hour's rows, where there is one.
    pub(in crate::web) fn new(
        title: &str,
        hours: &Hours,
        href: impl Fn(Timestamp, Timestamp) -> Option<String>,
    ) -> Self {
        let sums = hours.counts.iter().map(|counts| counts.values().sum::<u32>());
        let (most, total) = (sums.clone().max().unwrap_or(0), sums.sum());
        let bar = |(hour, counts): (usize, &BTreeMap<String, u32>)| {
            let (from, until) = (hours.beginning(hour), hours.beginning(hour + 1));
            let x = u32::try_from(hour).unwrap_or_default() * STEP;
            let (mut y, mut parts) = (HEIGHT, Vec::new());
            for (word, count) in counts.iter().rev() {
                // What there is shows, however little it is.
                let height = (count * HEIGHT / most.max(1)).max(3).min(y);
                y -= height;
                parts.push(Part { word: word.clone(), x, y, height });
            }
            let counted: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
            let hour = from.to_string();
            let told = format!("{} UTC: {}", hour.get(..16).unwrap_or(&hour).replace('T', " "), counted.join(", "));
            Bar { told, href: if parts.is_empty() { None } else { href(from, until) }, parts }
        };
        Self {
            title: title.to_owned(),
            bars: hours.counts.iter().enumerate().map(bar).collect(),
            most,
            total,
            from: shown::time(hours.from),
            whole_since: Some(hours.whole_since).filter(|whole| *whole > hours.from).map(shown::time),
            width: u32::try_from(hours.counts.len()).unwrap_or_default() * STEP,
        }
    }
}

/// Its template escapes what it shows.
impl HtmlSafe for Chart {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_shows_each_word_in_proportion_and_leads_to_its_rows() {
        let mut hours = Hours::until(Timestamp::from_secs(1_793_872_800));
        hours.add(23, "failed", 1);
        hours.add(23, "succeeded", 199);
        hours.add(22, "<b>", 100);
        let chart = Chart::new("Runs", &hours, |from, _| Some(format!("/runs?since={from}"))).to_string();
        assert!(chart.contains("200 in an hour at most") && chart.contains("300 in all"), "{chart}");
        assert!(chart.contains("1 failed, 199 succeeded") && chart.contains("height=\"89\""), "{chart}");
        assert_eq!(chart.matches("<a href=\"/runs?since=").count(), 2, "empty hours lead nowhere");
        assert!(!chart.contains("<b>"));
    }
}
