//! What is wrong with the deployment itself.

use std::time::Duration;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::alert::Alert;
use crate::model::id::AlertId;
use crate::store::order::Deed;
use crate::web::admin::Admin;
use crate::web::api::act::{Acted, act, own};
use crate::web::api::answer::{Answer, People};
use crate::web::api::input::{Ask, At, Count, Given, Whole};
use crate::web::auth::Identity;
use crate::web::problem::Problem;

/// So many of the newest are told.
const MOST: u32 = 200;

/// Which are wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// What is over too.
    #[serde(default)]
    all: bool,
}

/// Alerts, the newest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct Alerts {
    alerts: Vec<Alert>,
}

/// `GET /alerts`
pub(super) async fn alerts(
    State(admin): State<Admin>,
    Ask(Wanted { all }): Ask<Wanted>,
) -> Result<Answer<Alerts>, Problem> {
    Answer::new(&Alerts { alerts: admin.store.alerts(all, MOST).await? }, People::Masked)
}

/// How long an alert is not to be told again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Silence {
    /// So many seconds from now, a week at the most; 0 ends a silence.
    seconds: Count,
    /// Why, for the audit trail.
    reason: Option<String>,
    /// Nothing is done.
    #[serde(default)]
    dry_run: bool,
}

/// `POST /alerts/{id}/silence`
pub(super) async fn silence(
    State(admin): State<Admin>,
    identity: Identity,
    At(id): At,
    Given(Silence { seconds: Whole(seconds), reason, dry_run }): Given<Silence>,
) -> Result<Answer<Acted>, Problem> {
    let alert: AlertId = own(&id, "alert")?;
    let until = admin.clock.now().plus(Duration::from_secs(seconds.unsigned_abs()));
    act(&admin, &identity, reason, dry_run, Deed::Silence { alert, until }).await
}
