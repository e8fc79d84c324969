//! Over HTTP the same rows come as from the command line.

use serde_json::Value;

use crate::support::http;
use crate::support::process::{Deployment, checkout};

const TOKEN: &str = "0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn the_api_and_the_command_line_tell_the_same() {
    let mut deployment = Deployment::new().await;
    deployment.settings.insert("DISCUNO_ADMIN_TOKEN", TOKEN.to_owned());
    deployment.play(&[checkout(1, ""), checkout(2, "+cal-refused"), checkout(3, "+cal-refused+refund-refused")]).await;
    deployment.ran(&["refund", "pay_1", "--amount", "5", "--yes"]);
    deployment.ran(&["pause", "posthog", "--reason", "maintenance"]);
    let serve = deployment.serve(&[]).await;
    let asked = |path: &str| -> Value {
        let with = [("authorization", format!("Bearer {TOKEN}"))];
        let with: Vec<(&str, &str)> = with.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = http::get_with(serve.address().unwrap(), path, &with).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.json());
        answer.json()
    };
    let same: [(&str, &[&str]); 8] = [
        ("payments", &["payments"]),
        ("refunds", &["refunds"]),
        ("bookings", &["bookings"]),
        ("runs", &["runs"]),
        ("events", &["events"]),
        ("cases?status=open", &["cases"]),
        ("audit", &["audit"]),
        ("show/pay_1", &["show", "pay_1"]),
    ];
    for (path, command) in same {
        let (_, printed, message) = deployment.ran(&[command, &["--json"]].concat());
        let printed: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{message}"));
        let mut answer = asked(&format!("/api/v1/{path}"));
        answer.as_object_mut().unwrap().remove("next");
        assert_eq!(answer, printed, "{path}");
    }
    let (_, printed, _) = deployment.ran(&["status", "--json"]);
    let (answer, printed) = (asked("/api/v1/status"), serde_json::from_str::<Value>(&printed).unwrap());
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&answer), names(&printed));
    let nowhere = http::get(serve.address().unwrap(), "/api/v1/nowhere").unwrap();
    assert_eq!((nowhere.status, nowhere.json()["code"].as_str()), (404, Some("not_found")));
}
