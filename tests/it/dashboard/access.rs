//! Who gets in, and who does not.

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use discuno::config::Secret;
use discuno::config::access::{AccessConfig, User};
use discuno::model::role::Role;
use discuno::web::auth::Access;
use futures_util::future::join_all;
use http::{StatusCode, header};

use crate::support::World;
use crate::support::desk::{Desk, TOKENS};

#[tokio::test(start_paused = true)]
async fn a_stranger_is_sent_to_the_log_in_and_a_program_is_told_401() {
    let world = World::idle();
    let program = Desk::stranger(&world).get("/runs").await;
    assert_eq!((program.status, program.header(header::WWW_AUTHENTICATE)), (StatusCode::UNAUTHORIZED, "Bearer"));
    let person = Desk::stranger(&world).with("accept", "text/html").get("/runs?status=failed").await;
    assert_eq!(person.header(header::LOCATION), "/login?to=%2Fruns%3Fstatus%3Dfailed");
    for path in ["/live?view=/runs", "/runs/run_1"] {
        assert_eq!(Desk::stranger(&world).get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn whoever_was_logged_out_while_filling_in_a_form_is_told_that_nothing_was_done_and_led_back() {
    let world = World::idle();
    for (page, back) in
        [("http://desk.test/cases/case_1?a=b", "%2Fcases%2Fcase_1%3Fa%3Db"), ("http://evil.test/x", "%2F")]
    {
        let person = Desk::stranger(&world).with("accept", "text/html").with("referer", page);
        let sent = person.post("/cases/case_1/resolve", "as=booked").await;
        let login = sent.header(header::LOCATION);
        assert_eq!(login, format!("/login?to={back}&undone=true"));
        assert!(person.get(login).await.body.contains("nothing was done"));
    }
}

#[tokio::test]
async fn a_log_in_opens_a_session_that_leads_back_and_a_log_out_ends_it() {
    let world = World::idle();
    let stranger = Desk::stranger(&world);
    let refused = stranger.post("/login", "password=wrong&to=/runs").await;
    assert_eq!((refused.status, refused.header(header::SET_COOKIE)), (StatusCode::UNAUTHORIZED, ""));
    let (_, token) = TOKENS[0];
    let entered = stranger.post("/login", &format!("password={token}&to=/runs")).await;
    assert_eq!((entered.status, entered.header(header::LOCATION)), (StatusCode::SEE_OTHER, "/runs"));
    let cookie = entered.header(header::SET_COOKIE).to_owned();
    assert!(cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains(token), "{cookie}");
    let session = cookie.split(';').next().unwrap();
    let page = Desk::stranger(&world).with("cookie", session).get("/runs").await;
    assert_eq!(page.status, StatusCode::OK);
    let forged = session.replace('0', "1");
    assert_eq!(Desk::stranger(&world).with("cookie", &forged).get("/runs").await.status, StatusCode::UNAUTHORIZED);
    assert!(stranger.post("/logout", "").await.header(header::SET_COOKIE).contains("Max-Age=0"));
}

#[tokio::test]
async fn a_log_in_that_fails_too_often_is_not_listened_to() {
    let stranger = Desk::stranger(&World::idle());
    for _ in 0..5 {
        assert_eq!(stranger.post("/login", "password=wrong").await.status, StatusCode::UNAUTHORIZED);
    }
    let late = stranger.post("/login", "password=wrong").await;
    assert_eq!(late.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(!late.header(header::RETRY_AFTER).is_empty());
    // It is the guessing that is not listened to: strangers do not lock operators out.
    let right = stranger.post("/login", &format!("password={}", TOKENS[0].1)).await;
    assert_eq!(right.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn strangers_who_guess_do_not_keep_a_user_out_of_the_browser_they_were_in_before() {
    let hash = Argon2::default().hash_password(b"correct horse").unwrap().to_string();
    let eve = User { name: "eve".to_owned(), role: Role::Viewer, hash: Secret::new(&hash) };
    let users = vec![User { name: "mia".to_owned(), ..eve.clone() }, eve];
    let anybody = Desk::at(&World::idle(), |admin| {
        admin.access = Access::new(AccessConfig { users, ..AccessConfig::default() }, false);
    });
    let right = "name=mia&password=correct+horse";
    let entered = anybody.post("/login", right).await;
    let mut cookies = entered.headers.get_all(header::SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap());
    let known = cookies.next_back().unwrap().split(';').next().unwrap().to_owned();
    for _ in 0..5 {
        assert_eq!(anybody.post("/login", "name=mia&password=wrong").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(anybody.post("/login", right).await.status, StatusCode::TOO_MANY_REQUESTS);
    let browser = anybody.clone().with("cookie", &known);
    assert_eq!(browser.post("/login", right).await.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.get("/runs").await.status, StatusCode::UNAUTHORIZED, "it opens nothing by itself");
    for _ in 0..5 {
        assert_eq!(browser.post("/login", "name=mia&password=wrong").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(browser.post("/login", right).await.status, StatusCode::TOO_MANY_REQUESTS, "nor is it for guessing");
}

#[tokio::test]
async fn log_ins_that_come_together_are_counted_as_those_that_come_one_by_one() {
    let stranger = Desk::stranger(&World::idle());
    let answers = join_all((0..20).map(|_| stranger.post("/login", "name=mia&password=wrong"))).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(StatusCode::UNAUTHORIZED), count(StatusCode::TOO_MANY_REQUESTS)), (5, 15));
}

#[tokio::test(start_paused = true)]
async fn an_act_that_another_site_has_a_browser_send_is_refused() {
    let world = World::idle();
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let answer = Desk::of(&world, Role::Money).with(name, value).post("/runs/run_1/cancel", "").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
    }
    let own = Desk::of(&world, Role::Money).with("sec-fetch-site", "same-origin");
    assert_eq!(own.post("/runs/run_1/cancel", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_link_from_elsewhere_puts_no_words_into_our_mouth() {
    let world = World::idle();
    let page = "/runs?s%61id=pay+eve&status=failed";
    let foreign = Desk::of(&world, Role::Viewer).with("sec-fetch-site", "cross-site").get(page).await;
    assert_eq!(foreign.header(header::LOCATION), "/runs?status=failed");
    let own = Desk::of(&world, Role::Viewer).with("sec-fetch-site", "same-origin").get(page).await;
    assert!(own.status == StatusCode::OK && own.body.contains("pay eve"));
}

#[tokio::test(start_paused = true)]
async fn every_answer_tells_browsers_to_load_nothing_from_elsewhere_and_to_keep_nothing() {
    let world = World::idle();
    for path in ["/runs", "/login", "/runs/run_404"] {
        let answer = Desk::of(&world, Role::Viewer).get(path).await;
        assert!(answer.header(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"), "{path}");
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_method_and_an_unknown_address_are_answered_as_other_errors_are() {
    let desk = Desk::of(&World::idle(), Role::Operator);
    for (method, path, status, allowed) in [
        ("GET", "/payments/pay_1/reveal", StatusCode::METHOD_NOT_ALLOWED, "POST"),
        ("POST", "/runs", StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD"),
        ("DELETE", "/login", StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD,POST"),
        ("GET", "/nothing", StatusCode::NOT_FOUND, ""),
    ] {
        let program = desk.ask(method, path, "").await;
        assert_eq!((program.status, program.header(header::ALLOW)), (status, allowed), "{method} {path}");
        assert_eq!(program.header(header::CONTENT_TYPE), "application/problem+json", "{method} {path}");
    }
    let browser = desk.with("accept", "text/html,*/*");
    for (method, path, status) in [("GET", "/logout", 405), ("PUT", "/runs", 405), ("GET", "/nothing", 404)] {
        let page = browser.ask(method, path, "").await;
        assert_eq!((page.status.as_u16(), page.header(header::ALLOW).is_empty()), (status, status == 404), "{path}");
        assert!(page.body.contains("<h1>That did not work</h1>"), "{path}: {}", page.body);
        assert!(page.header(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"), "{path}");
    }
    let api = browser.ask("PUT", "/api/v1/runs", "").await;
    assert_eq!((api.status.as_u16(), api.header(header::CONTENT_TYPE)), (405, "application/problem+json"));
}
