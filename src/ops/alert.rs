//! Whether alerts arrive.

use std::time::Duration;

use crate::model::alert::{Condition, Finding, Pace};
use crate::model::id::RunId;
use crate::model::time::Timestamp;
use crate::ops::watch::REST;
use crate::store::Shared;
use crate::store::error::Error;
use crate::store::order::Performed;

/// Has people told that nothing is wrong; the run that does.
pub async fn test(store: &Shared, actor: &str, now: Timestamp) -> Result<RunId, Error> {
    let finding = Finding {
        condition: Condition::Test,
        subject: format!("{actor} {now}"),
        summary: "somebody wanted to know whether alerts arrive; nothing is wrong".to_owned(),
    };
    let pace = Pace { repeat: Duration::from_secs(3600), rest: REST };
    let run = store.report(vec![finding], pace, now).await?;
    run.ok_or_else(|| Error::Backend("the test was not recorded".to_owned()))
}

/// What came of the order to silence an alert, in words.
pub fn silenced(performed: &Performed, now: Timestamp) -> String {
    let until = performed.after["silenced_until"].as_i64().map(Timestamp).filter(|until| *until > now);
    until.map_or_else(|| "is told again".to_owned(), |until| format!("is silent until {until}"))
}
