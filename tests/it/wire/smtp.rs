//! SMTP against a server that follows a script.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use discuno::model::failure::FailureKind;
use discuno::model::mail::NewMail;
use discuno::provider::Error;
use discuno::provider::mail::Mailer;
use discuno::provider::smtp::Smtp;

/// What the server does once it has the recipient or the whole letter.
#[derive(Clone, Copy)]
enum Script {
    Accept,
    RefuseRecipient(&'static str),
    RefuseLetter(&'static str),
    CutAfterTheDot,
    LetIn(&'static str),
}

fn letter() -> NewMail {
    NewMail {
        key: "booking-failed/pi_1".to_owned(),
        kind: "booking-failed".to_owned(),
        to: "zoe@example.edu".to_owned(),
        subject: "Booking Failed — Action Required".to_owned(),
        html: "<p>Zoë, we are sorry</p>".to_owned(),
        text: "Zoë, we are sorry\r\n.\r\nbye".to_owned(),
    }
}

async fn send(script: Script, letter: &NewMail) -> (Result<Option<String>, Error>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let server: JoinHandle<String> = std::thread::spawn(move || converse(listener.accept().unwrap().0, script));
    let mailer = Mailer::Smtp(Smtp::new(&url.into()).unwrap());
    let outcome = mailer.send("Discuno <no-reply@discuno.example>", letter).await;
    drop(mailer);
    (outcome, server.join().unwrap())
}

/// One session; returns the letter as it came over the wire.
fn converse(mut stream: TcpStream, script: Script) -> String {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut letter = String::new();
    stream.write_all(b"220 trial\r\n").unwrap();
    while let Some(Ok(line)) = lines.next() {
        let answer = match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => "250-trial\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n",
            "AUTH" => match script {
                Script::LetIn(answer) => answer,
                _ => "502 no\r\n",
            },
            "RCPT" => match script {
                Script::RefuseRecipient(answer) => answer,
                _ => "250 ok\r\n",
            },
            "DATA" => {
                stream.write_all(b"354 go on\r\n").unwrap();
                for line in lines.by_ref().map_while(Result::ok).take_while(|line| line != ".") {
                    letter.push_str(&line);
                    letter.push('\n');
                }
                match script {
                    Script::CutAfterTheDot => return letter,
                    Script::RefuseLetter(answer) => answer,
                    _ => "250 taken\r\n",
                }
            }
            "QUIT" => {
                let _ = stream.write_all(b"221 bye\r\n");
                return letter;
            }
            _ => "250 ok\r\n",
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
    letter
}

#[tokio::test]
async fn a_letter_is_taken_with_an_id_that_is_the_same_on_every_try() {
    let (first, one) = send(Script::Accept, &letter()).await;
    let (second, two) = send(Script::Accept, &letter()).await;
    assert_eq!((first.unwrap(), second.unwrap()), (None, None));
    for sent in [&one, &two] {
        assert!(sent.contains("Message-ID: <booking-failed.pi_1@discuno.example>"), "{sent}");
        assert!(sent.contains("To: zoe@example.edu") && sent.contains("multipart/alternative"), "{sent}");
        assert!(sent.contains("=?utf-8?b?4oCU?="), "{sent}");
    }
}

#[tokio::test]
async fn what_the_server_says_decides_whether_it_is_tried_again() {
    use FailureKind::{Permanent, Transient, Unknown};
    for (script, kind, code) in [
        (Script::RefuseRecipient("550 no such user zoe@example.edu\r\n"), Permanent, "refused"),
        (Script::RefuseRecipient("451 try later\r\n"), Transient, "refused_for_now"),
        (Script::RefuseLetter("552 too large\r\n"), Permanent, "refused"),
        (Script::RefuseLetter("452 disk full\r\n"), Transient, "refused_for_now"),
        (Script::CutAfterTheDot, Unknown, "connection_lost"),
    ] {
        let error = send(script, &letter()).await.0.unwrap_err();
        assert_eq!((error.failure.kind, error.code()), (kind, code), "{error}");
        assert!(!error.to_string().contains("zoe@example.edu"), "no address in an error: {error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_has_surely_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    drop(listener);
    let mailer = Mailer::Smtp(Smtp::new(&url.into()).unwrap());
    let error = mailer.send("Discuno <no-reply@discuno.example>", &letter()).await.unwrap_err();
    assert_eq!(error.failure.kind, FailureKind::Transient, "{error}");
}

#[tokio::test]
async fn a_line_break_in_an_address_or_subject_never_becomes_a_header() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let mailer = Mailer::Smtp(Smtp::new(&url.into()).unwrap());
    for broken in [
        NewMail { to: "zoe@example.edu\r\nBcc: eve@example.com".to_owned(), ..letter() },
        NewMail { subject: "Hello\nBcc: eve@example.com".to_owned(), ..letter() },
    ] {
        let error = mailer.send("Discuno <no-reply@discuno.example>", &broken).await.unwrap_err();
        assert_eq!(error.failure.kind, FailureKind::Permanent, "{error}");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody was even called");
}

#[tokio::test]
async fn a_server_is_asked_whether_it_lets_us_in_and_sent_nothing() {
    let greeted = async |user: &str, answer: &'static str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("smtp://{user}{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || converse(listener.accept().unwrap().0, Script::LetIn(answer)));
        let smtp = Smtp::new(&url.into()).unwrap();
        let outcome = smtp.greet().await.map_err(|error| error.to_string());
        drop(smtp);
        assert_eq!(server.join().unwrap(), "", "nothing is sent");
        outcome
    };
    assert_eq!(greeted("", "").await, Ok(()));
    assert_eq!(greeted("discuno:right@", "235 welcome\r\n").await, Ok(()));
    for answer in ["535 who are you?\r\n", "538 not in plain text\r\n"] {
        let refused = greeted("discuno:geheim@", answer).await.unwrap_err();
        assert!(refused.contains(&answer[..3]) && !refused.contains("geheim"), "{refused}");
    }
}
