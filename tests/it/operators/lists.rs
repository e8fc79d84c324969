//! Lists and stories, as tables, lines and documents.

use rusqlite::Connection;
use serde_json::Value;

use crate::support::process::{Deployment, PATIENCE, checkout, until};
use crate::support::pty::Terminal;

const LISTS: [&str; 6] = ["payments", "refunds", "bookings", "runs", "events", "cases"];

async fn lively() -> Deployment {
    let deployment = Deployment::new().await;
    deployment
        .play(&[
            checkout(1, ""),
            checkout(2, "+cal-refused"),
            checkout(3, "+cal-refused+refund-refused"),
            checkout(4, ""),
        ])
        .await;
    deployment
}

fn rows(deployment: &Deployment, args: &[&str]) -> Vec<Vec<String>> {
    let (status, table, message) = deployment.ran(args);
    assert_eq!(status, Some(0), "{args:?}: {message}");
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect();
    table.lines().skip(1).map(cells).collect()
}

fn ids(deployment: &Deployment, args: &[&str]) -> Vec<String> {
    rows(deployment, args).into_iter().map(|row| row[0].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_is_a_table_in_a_pipe_and_the_same_rows_as_a_document() {
    let deployment = lively().await;
    for list in LISTS {
        let table = rows(&deployment, &[list]);
        assert!(!table.is_empty(), "{list}");
        let (_, document, _) = deployment.ran(&[list, "--json"]);
        let document: Value = serde_json::from_str(&document).unwrap();
        let in_document: Vec<&str> =
            document[list].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(table.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), in_document, "{list}");
        let (_, lines, _) = deployment.ran(&[list, "--ndjson"]);
        assert_eq!(lines.lines().count(), table.len(), "{list}");
        for line in lines.lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_hold_together_and_pages_follow_each_other() {
    let deployment = lively().await;
    assert_eq!(ids(&deployment, &["payments"]), ["pay_4", "pay_3", "pay_2", "pay_1"]);
    assert_eq!(ids(&deployment, &["payments", "--status", "booked"]), ["pay_4", "pay_1"]);
    assert_eq!(ids(&deployment, &["payments", "--status", "refunded,attention"]), ["pay_3", "pay_2"]);
    assert_eq!(ids(&deployment, &["payments", "--customer", "MENTEE4@"]), ["pay_4"]);
    assert_eq!(ids(&deployment, &["payments", "-n", "2"]), ["pay_4", "pay_3"]);
    assert_eq!(ids(&deployment, &["payments", "-n", "2", "--before", "pay_3"]), ["pay_2", "pay_1"]);
    assert!(ids(&deployment, &["payments", "--until", "1h"]).is_empty());
    assert_eq!(ids(&deployment, &["payments", "--since", "1h"]).len(), 4);
    assert_eq!(
        ids(&deployment, &["payments", "--since", "1h", "--status", "booked", "--payment", "pi_process_1"]),
        ["pay_1"]
    );
    assert!(rows(&deployment, &["runs", "--payment", "pay_1"]).iter().all(|row| row[6] == "pay_1"));
    assert_eq!(ids(&deployment, &["runs", "--workflow", "process-checkout-side-effects"]).len(), 4);
    assert_eq!(ids(&deployment, &["events", "--type", "checkout.session.*", "--source", "stripe"]).len(), 4);
    assert!(ids(&deployment, &["events", "--type", "checkout.session.?"]).is_empty());
    assert_eq!(rows(&deployment, &["cases", "--kind", "refund_failed"])[0][3], "pay_3");
    assert_eq!(rows(&deployment, &["refunds", "--status", "failed"])[0][1], "pay_3");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_misspelt_is_told_with_what_is_known() {
    let deployment = lively().await;
    let wrong: [(&[&str], &str); 13] = [
        (&["payments", "--status", "bookd"], "booked"),
        (&["runs", "--status", "done"], "succeeded"),
        (&["events", "--source", "paypal"], "stripe_connect"),
        (&["payments", "--since", "soon"], "yesterday"),
        (&["payments", "--before", "later"], "pay_12"),
        (&["payments", "--watch"], "terminal"),
        (&["payments", "--watch", "--json"], "--json"),
        (&["runs", "--before", "pay_3"], "run_12"),
        (&["runs", "--workflow", "proces-checkout"], "process-checkout-side-effects"),
        (&["retry", "--all", "--max", "0"], "--max"),
        (&["resolve", "case_1", "--as", "nonsense"], "settled_elsewhere"),
        (&["replay", "fixtures/stripe.json", "--concurrency", "0"], "--concurrency"),
        (&["refund", "pay_3", "--amount", "-5"], "not a known amount"),
    ];
    for (args, hint) in wrong {
        let (status, table, message) = deployment.ran(args);
        assert_eq!((status, table.as_str()), (Some(2), ""), "{args:?}: {message}");
        assert!(message.contains(hint), "{args:?}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_masked_unless_they_are_revealed_and_that_is_kept() {
    let deployment = lively().await;
    let mut shown: Vec<Vec<&str>> = LISTS.iter().flat_map(|&list| [vec![list], vec![list, "--json"]]).collect();
    shown.extend([vec!["show", "pay_3"], vec!["show", "pay_3", "--json"], vec!["audit", "--json"]]);
    for args in shown {
        let (_, text, _) = deployment.ran(&args);
        assert!(!text.contains("example.edu") && !text.contains("Zoë"), "{args:?}: {text}");
    }
    let (_, revealed, _) = deployment.ran(&["payments", "--reveal"]);
    assert!(revealed.contains("mentee1@example.edu"), "{revealed}");
    let (_, raw, _) = deployment.ran(&["show", "evt_process_1", "--raw"]);
    assert_eq!(serde_json::from_str::<Value>(&raw).unwrap()["id"], "evt_process_1");
    let acts = rows(&deployment, &["audit"]);
    let said: Vec<(&str, &str)> = acts.iter().map(|act| (act[3].as_str(), act[4].as_str())).collect();
    assert_eq!(said, [("reveal", "evt_process_1"), ("reveal", "payments")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_says_which_rows_were_revealed_and_how_they_were_asked_for() {
    let deployment = lively().await;
    deployment.ran(&["payments", "--customer", "mentee1@example.edu", "--reveal", "--json"]);
    let (_, trail, _) = deployment.ran(&["audit", "--verb", "reveal", "--json", "--reveal"]);
    let trail: Value = serde_json::from_str(&trail).unwrap();
    let after = &trail["acts"][0]["after"];
    assert_eq!((&after["ids"], &after["count"]), (&serde_json::json!(["pay_1"]), &1.into()), "{trail}");
    assert_eq!(after["conditions"], serde_json::json!({ "customer": "m•••@e•••", "limit": 50 }), "{trail}");
    let looked = &rows(&deployment, &["audit"])[0][8];
    assert!(looked.contains(r#""ids":["act_1"]"#), "a look at the trail is in the trail: {looked}");
    let mut terminal = Terminal::start(deployment.command(&["payments", "--watch", "--reveal", "-n", "2"]), 100);
    terminal.shows("pay_4").await;
    deployment.play(&[checkout(5, "")]).await;
    terminal.shows("pay_5").await;
    terminal.interrupt();
    assert_eq!(terminal.ends().await, Some(130));
    let shown: Vec<String> = rows(&deployment, &["audit", "-n", "2"]).into_iter().map(|row| row[8].clone()).collect();
    assert!(shown[0].contains(r#""ids":["pay_5"]"#) && shown[1].contains(r#""ids":["pay_4","pay_3"]"#), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_fits_any_terminal_and_watching_ends_by_ctrl_c() {
    let deployment = lively().await;
    for columns in [40, 60, 100, 200] {
        let mut terminal = Terminal::start(deployment.command(&["payments"]), columns);
        assert_eq!(terminal.ends().await, Some(0));
        let screen = terminal.screen();
        let (table, said) = screen.split_once("no room for").unwrap_or((&screen, "nothing"));
        assert_eq!(said == "nothing", columns == 200, "{columns}: what is left out is said: {screen}");
        let widest = table.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(widest <= usize::from(columns), "{columns}: {screen}");
        assert!(screen.contains("PAYMENT") && screen.contains("pay_1"), "{screen}");
        assert_eq!(screen.contains("pi_process_1"), columns == 200, "{screen}");
    }
    for (list, columns, shown) in [("runs", 60, "STATE"), ("cases", 80, "SUMMARY"), ("cases", 80, "50.00 USD")] {
        let mut terminal = Terminal::start(deployment.command(&[list]), columns);
        assert_eq!(terminal.ends().await, Some(0));
        assert!(terminal.screen().contains(shown), "{list}, {columns}: {}", terminal.screen());
    }
    for columns in [40, 60, 100] {
        let mut terminal = Terminal::start(deployment.command(&["show", "pay_1"]), columns);
        assert_eq!(terminal.ends().await, Some(0));
        assert!(terminal.screen().contains("checkout.session.completed"), "{columns}: {}", terminal.screen());
    }
    let mut terminal = Terminal::start(deployment.command(&["payments", "--watch"]), 100);
    terminal.shows("pay_4").await;
    deployment.play(&[checkout(5, "")]).await;
    terminal.shows("pay_5").await;
    terminal.interrupt();
    assert_eq!(terminal.ends().await, Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_went_wrong_says_so_on_a_narrow_terminal_too() {
    let deployment = Deployment::new().await;
    let mut terminal = Terminal::start(deployment.command(&["demo", "--db", "demo.db"]), 80);
    // A payment that nobody carries on.
    let insert = "INSERT INTO payments (session_id, payment_intent, status, amount, currency, livemode, created_at, updated_at) \
        SELECT 'cs_lost', 'pi_lost', 'paid', 5000, 'USD', 0, 1, 1 FROM payments LIMIT 1";
    let db = deployment.db.with_file_name("demo.db");
    let insert = async || db.exists() && Connection::open(&db).unwrap().execute(insert, []) == Ok(1);
    until("the demo has payments", PATIENCE, insert).await;
    assert_eq!(terminal.ends().await, Some(9), "{}", terminal.screen());
    let screen = terminal.screen();
    assert!(screen.contains("1 payment is WRONG") && screen.contains("no room for booked at cal.com"), "{screen}");
    let (_, id) = screen.split_once("providers' ledgers: ").unwrap();
    let row = [id.split_whitespace().next().unwrap(), "WRONG"];
    assert!(screen.lines().any(|line| line.split_whitespace().take(2).eq(row)), "{row:?}: {screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_or_missing_act_breaks_the_trail() {
    let deployment = lively().await;
    for _ in 0..3 {
        deployment.ran(&["cases", "--reveal"]);
    }
    assert_eq!(deployment.ran(&["audit", "--verify"]).0, Some(0));
    let (books, alteration) = (deployment.books(), "UPDATE acts SET actor = 'nobody' WHERE id = 2");
    assert!(books.run(alteration).is_err());
    assert!(books.run("DELETE FROM acts WHERE id = 2").is_err());
    books.let_acts_change();
    books.run(alteration).unwrap();
    let (status, _, message) = deployment.ran(&["audit", "--verify"]);
    assert_eq!(status, Some(9));
    assert!(message.contains("act_2"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_write_of_people_is_masked_too() {
    let deployment = lively().await;
    deployment.ran(&["refund", "pay_1", "--yes", "--reason", "zoe@example.edu wrote twice"]);
    for args in [&["refunds"][..], &["audit"], &["show", "pay_1"], &["refunds", "--json"]] {
        let (_, text, _) = deployment.ran(args);
        assert!(text.contains("wrote twice") && !text.contains("example.edu"), "{args:?}: {text}");
    }
    assert!(deployment.ran(&["refunds", "--reveal"]).1.contains("zoe@example.edu wrote twice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_found_by_what_their_runs_do() {
    let deployment = lively().await;
    assert_eq!(ids(&deployment, &["payments", "--error", "charge_not_refundable"]).len(), 0);
    assert_eq!(ids(&deployment, &["payments", "--workflow", "process-checkout-side-effects"]).len(), 4);
    let both = ["payments", "--workflow", "send-email", "--step", "send", "--customer", "mentee3"];
    assert_eq!(ids(&deployment, &both), ["pay_3"]);
    assert!(ids(&deployment, &["payments", "--step", "no-such-step"]).is_empty());
    assert_eq!(rows(&deployment, &["cases", "--status", "open"]), rows(&deployment, &["cases"]));
    assert!(rows(&deployment, &["cases", "--status", "closed"]).is_empty());
    assert_eq!(ids(&deployment, &["refunds", "--source", "workflow"]).len(), 2);
    assert!(ids(&deployment, &["bookings", "--stuck"]).is_empty());
    deployment.books().run("UPDATE bookings SET start_at = 0, end_at = 1 WHERE id = 1").unwrap();
    assert_eq!(ids(&deployment, &["bookings", "--stuck"]), ["bk_1"]);
}
