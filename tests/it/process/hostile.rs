//! Clients that mean harm, against the real binary: slow, greedy, ambiguous, many.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use discuno::entropy::Entropy;
use tokio::time::Instant;

use crate::support::http;
use crate::support::process::{Deployment, PATIENCE, Process, checkout, session, signature};

/// Longer than the server gives anybody for headers and body.
const OUTLASTS_ALL: Duration = Duration::from_secs(25);

/// Everything the server says to these bytes, until it closes; and whether it did.
fn said(to: SocketAddr, bytes: &[u8], patience: Duration) -> (String, bool) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    // It may close before it has taken all.
    let _ = stream.write_all(bytes);
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    let closed = loop {
        match stream.read(&mut chunk) {
            Ok(0) => break true,
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
            Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    };
    (String::from_utf8_lossy(&answer).into_owned(), closed)
}

async fn asked(to: SocketAddr, bytes: Vec<u8>, patience: Duration) -> (String, bool) {
    tokio::task::spawn_blocking(move || said(to, &bytes, patience)).await.unwrap()
}

fn statuses(answer: &str) -> Vec<u16> {
    answer.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

/// A request whose end two readers could see in different places, or that is none; what follows `|` is the second one that
/// somebody wants to slip in.
const AMBIGUOUS: [&str; 40] = [
    "content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n|",
    "transfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\n|",
    "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n5c\r\nx|",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n|",
    "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n|",
    "transfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n|",
    "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n|",
    "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n|",
    "transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n|",
    "transfer-encoding : chunked\r\n\r\n0\r\n\r\n|",
    "transfer-encoding:\u{b}chunked\r\n\r\n0\r\n\r\n|",
    "transfer-encoding: chunked\u{0}\r\n\r\n0\r\n\r\n|",
    "transfer-encoding\u{0}: chunked\r\n\r\n0\r\n\r\n|",
    "x: y\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n|",
    "transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n|",
    "content-length: 2\r\ncontent-length: 3\r\n\r\n{}|",
    "content-length: 3\r\ncontent-length: 2\r\n\r\n{}|",
    "content-length: 2, 3\r\n\r\n{}|",
    "content-length: +2\r\n\r\n{}|",
    "content-length: -2\r\n\r\n{}|",
    "content-length: 0x2\r\n\r\n{}|",
    "content-length: 2 2\r\n\r\n{}|",
    "content-length: 2a\r\n\r\n{}|",
    "content-length: 18446744073709551618\r\n\r\n{}|",
    "content-length: 99999999999999999999999999\r\n\r\n{}|",
    "content-length : 2\r\n\r\n{}|",
    "content-length:\r\n 2\r\n\r\n{}|",
    "content-length\r\n\r\n{}|",
    ": 2\r\n\r\n{}|",
    "content length: 2\r\n\r\n{}|",
    "transfer-encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n|",
    "transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n|",
    "transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n|",
    "transfer-encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n|",
    "transfer-encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n|",
    "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n|",
    "transfer-encoding: chunked\r\n\r\n2;\u{0}\r\n{}\r\n0\r\n\r\n|",
    "transfer-encoding: chunked\r\n\r\n\r\n{}\r\n0\r\n\r\n|",
    "\u{1}: x\r\ncontent-length: 2\r\n\r\n{}|",
    "host: another\r\ncontent-length: 2\r\n\r\n{}|",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_ambiguous_request_no_second_one_is_read() {
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    let to = serve.address().unwrap();
    let slipped = "GET /livez HTTP/1.1\r\nhost: discuno\r\n\r\n";
    let all = AMBIGUOUS.iter().map(|request| async move {
        let request = request.replace('|', slipped);
        let bytes = format!("POST /webhooks/stripe HTTP/1.1\r\nhost: discuno\r\n{request}");
        let (answer, closed) = asked(to, bytes.into_bytes(), Duration::from_secs(5)).await;
        let statuses = statuses(&answer);
        assert!(statuses.len() <= 1, "{request:?}: {answer}");
        assert!(statuses.iter().all(|status| (400..500).contains(status)), "{request:?}: {answer}");
        let waits = !closed && statuses.is_empty();
        assert!(closed || waits, "{request:?}: the connection goes on after {answer}");
    });
    futures_util::future::join_all(all).await;
    assert_eq!(http_status(to, "/livez").await, 200);
}

/// Requests that are as they should be, to be spoilt.
fn proper() -> Vec<Vec<u8>> {
    let body = checkout(0, "").body();
    let head = |path: &str, more: &str| format!("{path} HTTP/1.1\r\nhost: discuno\r\n{more}\r\n").into_bytes();
    let signed = format!("stripe-signature: {}\r\ncontent-length: {}\r\n", signature(&body), body.len());
    let form = "content-type: application/x-www-form-urlencoded\r\ncontent-length: 20\r\n";
    vec![
        [head("POST /webhooks/stripe", &signed), body].concat(),
        [head("POST /webhooks/cal", "transfer-encoding: chunked\r\n"), b"2\r\n{}\r\n0\r\n\r\n".to_vec()].concat(),
        [head("POST /e/key", "content-length: 2\r\nexpect: 100-continue\r\n"), b"[]".to_vec()].concat(),
        [head("POST /login?to=%2Fruns", form), b"name=mia&password=1&".to_vec()].concat(),
        head("GET /api/v1/payments?limit=3", "authorization: Bearer x\r\naccept: application/json\r\n"),
        [head("GET /livez", ""), head("GET /readyz", "connection: close\r\n")].concat(),
    ]
}

/// The same with a few bytes changed, left out, put in or said again.
fn spoilt(mut request: Vec<u8>, chance: &Entropy) -> Vec<u8> {
    let place = |length: usize| usize::try_from(chance.below(length as u64)).unwrap();
    for _ in 0..=chance.below(6) {
        let at = place(request.len().max(1)).min(request.len());
        let until = (at + 1 + place(24)).min(request.len());
        let any = u8::try_from(chance.below(256)).unwrap();
        match chance.below(6) {
            0 => request.insert(at, any),
            1 => request.insert(at, b"\r\n:; \0%"[place(7)]),
            2 => drop(request.drain(at..until)),
            3 => request.truncate(at),
            4 => request.splice(at..at, request[at..until].to_vec()).for_each(drop),
            _ => request[at..until].fill(any),
        }
    }
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_bytes_come_they_are_answered_or_the_connection_is_closed() {
    let seed = std::env::var("DISCUNO_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| Entropy::from_os().below(u64::MAX));
    println!("DISCUNO_TEST_SEED={seed}");
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    let to = serve.address().unwrap();
    let before = peak(&serve);
    let clients = (0..8).map(|client| {
        tokio::task::spawn_blocking(move || {
            let (chance, proper) = (Entropy::seeded(seed ^ client), proper());
            for _ in 0..500 {
                let request = spoilt(proper[usize::try_from(chance.below(6)).unwrap()].clone(), &chance);
                let mut stream = TcpStream::connect(to).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                // It may close before it has taken all, and nothing comes after that.
                let _ = stream.write_all(&request).and_then(|()| stream.shutdown(Shutdown::Write));
                let mut answer = Vec::new();
                let read = stream.read_to_end(&mut answer).map_err(|error| error.kind());
                let ended = read.is_ok() || read == Err(ErrorKind::ConnectionReset);
                assert!(ended, "DISCUNO_TEST_SEED={seed}: {read:?} of {:?}", String::from_utf8_lossy(&request));
                let text = String::from_utf8_lossy(&answer);
                assert!(!statuses(&text).contains(&500), "DISCUNO_TEST_SEED={seed}: {text}");
            }
        })
    });
    for client in futures_util::future::join_all(clients).await {
        client.unwrap();
    }
    let grown = peak(&serve).saturating_sub(before);
    assert!(grown < 48 * 1024, "{grown} KiB more than before");
    assert_eq!(http_status(to, "/livez").await, 200);
    assert!(!serve.everything_logged().contains("panicked"));
}

async fn http_status(to: SocketAddr, path: &'static str) -> u16 {
    tokio::task::spawn_blocking(move || http::get(to, path).unwrap().status).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_requests_are_refused_and_harm_nothing() {
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    let to = serve.address().unwrap();
    let long = "a".repeat(1_000_000);
    let many = "x: y\r\n".repeat(200);
    let odd = [
        "\u{16}\u{3}\u{1}\u{0}\u{5}hello\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET /livez HTTP/1.1\r\n\r\n\u{0}".replace("livez HTTP/1.1", "livez HTTP/9.9"),
        format!("GET /{long} HTTP/1.1\r\nhost: discuno\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\nhost: discuno\r\nx: {long}\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\nhost: discuno\r\n{many}\r\n"),
        "TRACE /livez HTTP/1.1\r\nhost: discuno\r\n\r\n".to_owned(),
        "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n".to_owned(),
        "GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nhost: discuno\r\nconnection: close\r\n\r\n".to_owned(),
        "GET /../../etc/passwd HTTP/1.1\r\nhost: discuno\r\nconnection: close\r\n\r\n".to_owned(),
        "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nhost: discuno\r\nconnection: close\r\n\r\n".to_owned(),
        "POST /e/%00%0d%0aSet-Cookie:x HTTP/1.1\r\nhost: discuno\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            .to_owned(),
    ];
    for request in odd {
        let shown: String = request.chars().take(60).collect();
        let (answer, _) = asked(to, request.into_bytes(), Duration::from_secs(5)).await;
        let refused = |status: &u16| (400..=505).contains(status);
        assert!(statuses(&answer).len() <= 1 && statuses(&answer).iter().all(refused), "{shown:?}: {answer}");
        assert!(!answer.contains("root:") && !answer.to_lowercase().contains("set-cookie"), "{shown:?}: {answer}");
    }
    assert_eq!(http_status(to, "/livez").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_cut_off_and_nobody_waits_for_them() {
    let mut deployment = Deployment::new().await;
    deployment.settings.insert("INNGEST_EVENT_KEY", "an-event-key".to_owned());
    deployment.settings.insert("DISCUNO_ADMIN_TOKEN", "money:0123456789abcdef".to_owned());
    let serve = deployment.serve(&[]).await;
    let to = serve.address().unwrap();
    let head = "POST /webhooks/stripe HTTP/1.1\r\nhost: discuno\r\n";
    // Says nothing; stops in its headers; stops in its body, or never sends the end of its chunks, wherever that goes.
    let mut stops = vec![String::new(), head.to_owned()];
    for path in ["/webhooks/stripe", "/e/an-event-key", "/login"] {
        let form = "content-type: application/x-www-form-urlencoded";
        let head = format!("POST {path} HTTP/1.1\r\nhost: discuno\r\n{form}\r\n");
        stops.push(format!("{head}content-length: 100\r\n\r\n{{"));
        stops.push(format!("{head}transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n"));
    }
    let slow = futures_util::future::join_all(stops.into_iter().map(|stop| async move {
        let (answer, closed) = asked(to, stop.clone().into_bytes(), OUTLASTS_ALL).await;
        assert!(closed, "{stop:?} is still there: {answer}");
        assert!(statuses(&answer).iter().all(|status| *status == 408), "{stop:?}: {answer}");
    }));
    // One that drips its headers, byte by byte, for as long as it is let.
    let drips = tokio::task::spawn_blocking(move || {
        let (mut stream, began) = (TcpStream::connect(to).unwrap(), Instant::now());
        let mut dripping = format!("{head}x-drip: ").into_bytes();
        dripping.extend([b'a'; 1000]);
        for byte in dripping {
            if stream.write_all(&[byte]).is_err() || began.elapsed() > OUTLASTS_ALL {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(began.elapsed() < OUTLASTS_ALL, "it drips on");
    });
    // One that asks and asks, and takes no answer.
    let deaf = tokio::task::spawn_blocking(move || {
        let (mut stream, began) = (TcpStream::connect(to).unwrap(), Instant::now());
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let requests = "GET /livez HTTP/1.1\r\nhost: discuno\r\n\r\n".repeat(1000);
        loop {
            match stream.write_all(requests.as_bytes()) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => break,
                _ => assert!(began.elapsed() < 2 * OUTLASTS_ALL, "nobody minds that it does not listen"),
            }
        }
    });
    // Three hundred that hold their connection with half a request.
    let held: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    for number in 0..10 {
        let began = Instant::now();
        assert_eq!(deployment.pay(to, &checkout(number, "")).await.unwrap().status, 200);
        assert!(began.elapsed() < Duration::from_secs(3), "an honest client waited {:?}", began.elapsed());
    }
    slow.await;
    drips.await.unwrap();
    deaf.await.unwrap();
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_leaves_room_for_the_work() {
    let deployment = Deployment::new().await;
    let wrapper = ["sh", "-c", "ulimit -n 128; exec \"$0\" \"$@\""];
    let serve = Process::start(deployment.command_under(&wrapper, &["serve", "--worker"]));
    serve.until_logged("serving").await;
    let to = serve.address().unwrap();
    assert_eq!(deployment.pay(to, &checkout(0, "")).await.unwrap().status, 200);
    // More than have a place. Where the others may not even wait for one, the kernel would try again for a minute.
    let flood: Vec<TcpStream> =
        (0..200).filter_map(|_| TcpStream::connect_timeout(&to, Duration::from_millis(20)).ok()).collect();
    assert!(flood.len() > 100, "only {} got through", flood.len());
    // What was taken goes on to its end: providers are reached and rows are written.
    deployment.settled().await;
    drop(flood);
    assert_eq!(deployment.pay(to, &checkout(1, "")).await.unwrap().status, 200);
    deployment.settled().await;
    deployment.assert_all_is_right(&[session(0), session(1)], "after the flood").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_before_it_is_kept_in_memory() {
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    let to = serve.address().unwrap();
    let head = "POST /webhooks/stripe HTTP/1.1\r\nhost: discuno\r\n";
    let announced = format!("{head}content-length: 1073741824\r\n\r\n{{");
    let (answer, closed) = asked(to, announced.into_bytes(), OUTLASTS_ALL).await;
    assert!(statuses(&answer) == [413] && closed, "{answer}");
    // A gigabyte in chunks that nobody announced, from eight at once.
    let most = peak(&serve);
    let greedy = (0..8).map(|_| {
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            let mut chunk = b"10000\r\n".to_vec();
            chunk.resize(chunk.len() + 0x10000, b' ');
            chunk.extend(b"\r\n");
            stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).unwrap();
            (0..16_384).take_while(|_| stream.write_all(&chunk).is_ok()).count()
        })
    });
    for taken in futures_util::future::join_all(greedy).await {
        assert!(taken.unwrap() < 1000, "it took a gigabyte");
    }
    let grown = peak(&serve).saturating_sub(most);
    assert!(grown < 48 * 1024, "{grown} KiB more than before");
    assert_eq!(http_status(to, "/livez").await, 200);
}

/// The most memory that the process ever had, in KiB.
fn peak(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packed_body_is_not_unpacked() {
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    let to = serve.address().unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&checkout(0, "").body()).unwrap();
    let packed = packed.finish().unwrap();
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let (packed, signed) = (packed.clone(), signature(&packed));
        let answer = tokio::task::spawn_blocking(move || {
            let headers = [("stripe-signature", signed.as_str()), ("content-encoding", encoding)];
            http::post(to, "/webhooks/stripe", &headers, &packed).unwrap()
        });
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 400, "{encoding}: {}", answer.json());
    }
    let store = deployment.store();
    assert!(crate::support::newest(&store, 10).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_leaves_no_core_and_may_open_as_much_as_the_system_lets_it() {
    let deployment = Deployment::new().await;
    let serve = deployment.serve(&[]).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", serve.pid().as_raw_nonzero())).unwrap();
    let limit = |name: &str| -> Vec<String> {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().take(2).map(str::to_owned).collect()
    };
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    let files = limit("Max open files");
    assert_eq!(files[0], files[1]);
}
