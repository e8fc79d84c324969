//! The on-call channel: a webhook in the shape Slack takes.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use url::Url;

use crate::model::notice::Notice;
use crate::observe::metrics::Metrics;
use crate::provider::ProviderName;
use crate::provider::client::Client;
use crate::provider::error::{Call, Error};
use crate::transport::Transport;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where alerts are posted.
#[derive(Clone)]
pub struct AlertHook(Client);

impl AlertHook {
    /// Posts to `url`.
    pub fn new(transport: Arc<dyn Transport>, url: Url) -> Self {
        Self(Client::new(transport, url, TIMEOUT))
    }

    /// The same, with its calls counted and timed.
    #[must_use]
    pub fn metered(self, metrics: Metrics) -> Self {
        Self(self.0.metered(metrics))
    }

    /// Tells of something.
    pub async fn post(&self, notice: &Notice) -> Result<(), Error> {
        let call = Call::change(ProviderName::Alert, "alerts.post");
        self.0.send(self.0.draft(call, Method::POST, &[]).json(&message(notice))).await.map(drop)
    }
}

/// As text for where only that is shown, and in blocks. What Slack would take for a command or refuse for its length is neither.
fn message(notice: &Notice) -> Value {
    let (lines, next) = (escape(&notice.lines.join("\n")), escape(&notice.next));
    let text = format!("{}: {lines}\nNext: {next}", escape(&notice.heading));
    json!({
        "text": cut(&text, 3000),
        "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": cut(&notice.heading, 150) } },
            { "type": "section", "text": { "type": "mrkdwn", "text": cut(&lines, 3000) } },
            { "type": "context", "elements": [{ "type": "mrkdwn", "text": format!("Next: `{next}`") }] },
        ],
    })
}

/// docs.slack.dev/messaging/formatting-message-text: these three, and no others.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// At most so many characters, and never a broken escape.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(most - 1).collect();
    if let Some(open) = kept.rfind('&').filter(|open| !kept[*open..].contains(';')) {
        kept.truncate(open);
    }
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(line: &str) -> Value {
        let lines = vec![line.to_owned()];
        message(&Notice { key: "k".to_owned(), heading: "h".repeat(400), lines, next: "discuno status".to_owned() })
    }

    #[test]
    fn what_strangers_wrote_cannot_ping_a_channel_or_make_a_link() {
        let body = notice("<!channel> & <https://evil.test|click>").to_string();
        assert!(!body.contains("<!channel>") && !body.contains("<https"), "{body}");
        assert!(body.contains("&lt;!channel&gt; &amp; &lt;https"), "{body}");
    }

    #[test]
    fn nothing_is_longer_than_slack_takes_and_no_escape_is_broken() {
        let body = notice(&"<".repeat(2000));
        let section = body["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(section.chars().count() <= 3000 && section.ends_with("&lt;…"), "{}", &section[section.len() - 20..]);
        assert_eq!(body["blocks"][0]["text"]["text"].as_str().unwrap().chars().count(), 150);
    }
}
