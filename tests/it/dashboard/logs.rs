//! The log on the dashboard.

use std::path::PathBuf;

use discuno::model::role::Role;
use http::StatusCode;

use crate::support::desk::Desk;
use crate::support::{World, scratch};

const LINES: &str = concat!(
    r#"{"ts":"2026-11-05T09:00:00.000Z","level":"info","tag":"Run","event":"run_started","runId":"run_7"}"#,
    "\n",
    r#"{"ts":"2026-11-05T09:30:00.000Z","level":"error","tag":"Run","event":"run_failed","runId":"run_7","message":"<script>zoe@example.edu"}"#,
    "\n",
    r#"{"ts":"2026-11-05T09:31:00.000Z","level":"error","tag":"Run","event":"run_failed","runId":"run_8"}"#,
    "\nno <b>JSON\n",
);

fn world(lines: Option<&str>) -> (World, tempfile::TempDir) {
    let dir = scratch();
    let file: Option<PathBuf> = lines.map(|lines| {
        let file = dir.path().join("log");
        std::fs::write(&file, lines).unwrap();
        file
    });
    (World::idle_with(|config| config.log_file = file), dir)
}

#[tokio::test]
async fn the_log_is_asked_in_the_words_of_the_command_and_shows_no_address() {
    let (world, _dir) = world(Some(LINES));
    let viewer = Desk::of(&world, Role::Viewer);
    let page = viewer.get("/logs?q=event%3Drun_failed&level=error%2B&run=run_7").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("run_failed</th>") && page.body.contains("&#60;script&#62;"), "{}", page.body);
    assert!(!page.body.contains("zoe@example.edu") && !page.body.contains("run_8"), "{}", page.body);
    assert!(page.body.contains("discuno logs &#39;event=run_failed&#39; --level &#39;error+&#39; --run run_7"));
    let all = viewer.get("/logs").await.body;
    let (newest, oldest) = (all.find("run_8").unwrap(), all.find("run_started").unwrap());
    assert!(newest < oldest && all.contains("no &#60;b&#62;JSON"), "{all}");
    let since = viewer.get("/logs?since=2026-11-05T09:10:00Z").await.body;
    assert!(!since.contains("run_started") && since.contains("run_failed"));
}

#[tokio::test]
async fn what_cannot_be_searched_for_is_said_and_so_is_that_there_is_no_log() {
    let (world, _dir) = world(Some(LINES));
    let viewer = Desk::of(&world, Role::Viewer);
    for asked in ["level=loud", "since=soon", "q=a~%3D(", "live"] {
        let path = if asked == "live" { "/live?view=/logs".to_owned() } else { format!("/logs?{asked}") };
        assert_eq!(viewer.get(&path).await.status, StatusCode::BAD_REQUEST, "{asked}");
    }
    let (without, _dir) = self::world(None);
    let page = Desk::of(&without, Role::Viewer).get("/logs").await;
    assert!(page.status == StatusCode::OK && page.body.contains("DISCUNO_LOG_FILE"), "{}", page.body);
}
