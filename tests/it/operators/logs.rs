//! `discuno logs`.

use std::io::{BufRead, Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::support::process::Deployment;
use crate::support::pty::Terminal;

const LOG: &str = concat!(
    r#"{"ts":"2026-11-24T10:00:00.000Z","level":"info","tag":"CheckoutWebhook","event":"webhook_received","paymentId":"pay_1"}"#,
    "\n",
    r#"{"event":"refund_failed","ts":"2026-11-24T11:00:00.000Z", "level" : "critical","tag":"Refund","paymentId":"pay_2","error":"no \"event\":\"x\""}"#,
    "\n",
    r#"{"ts":"2026-11-24T12:00:00.000Z","level":"error","tag":"Refund","event":"\u0072efund_failed","paymentId":"pay_1"}"#,
    "\n",
    r#"{"ts":"2026-11-25T12:00:00.000Z","level":"info","tag":"T","event":"other","nested":{"event":"refund_failed"}}"#,
    "\n",
    r#"{"ts":"2026-11-25T12:00:01.000Z","level":"warn","tag":"T","event":"refund_failed","event":"taken_back"}"#,
    "\n",
    r#"{"ts":"2026-11-25T12:00:02.000Z","level":"info","event":"refund_failed""#,
    "\n",
    r#"{"ts":"2026-11-25T12:00:03.000Z","level":"info","tag":"T","event":"last","status":200,"esc":"\u001b[31m"}"#,
);

async fn logged() -> (Deployment, PathBuf) {
    let deployment = Deployment::new().await;
    let path = deployment.db.with_file_name("log");
    std::fs::write(&path, LOG).unwrap();
    (deployment, path)
}

fn search(deployment: &Deployment, path: &std::path::Path, args: &[&str]) -> (Option<i32>, String, String) {
    deployment.ran(&[&["logs", "--file", path.to_str().unwrap()], args].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_matches_by_what_it_means() {
    let (deployment, path) = logged().await;
    let all: [(&[&str], usize); 18] = [
        (&["event=refund_failed"], 2),
        (&["--event", "refund_failed"], 2),
        (&["--event", "refund_failed,last"], 3),
        (&["event=refund_failed", "paymentId=pay_1"], 1),
        (&["--payment", "pay_1"], 2),
        (&["--level", "error+"], 2),
        (&["--level", "warn,info"], 4),
        (&["status=200"], 1),
        (&["status=20"], 0),
        (&["tag!=T"], 3),
        (&["event~=^refund"], 2),
        (&["-v", "event=refund_failed"], 4),
        (&["--since", "2026-11-25T00:00:00Z"], 3),
        (&["--since", "2026-11-24T11:00:00Z", "--until", "2026-11-24T12:00:00Z"], 1),
        (&["refund_failed"], 4),
        (&["-e", "pay_[2-9]"], 1),
        (&["--malformed"], 1),
        (&["event=nothing"], 0),
    ];
    for (args, expected) in all {
        let (status, found, message) = search(&deployment, &path, args);
        assert_eq!(found.lines().count(), expected, "{args:?}: {found}{message}");
        assert_eq!(status, Some(i32::from(expected == 0)), "{args:?}: {message}");
        assert!(found.lines().all(|line| LOG.contains(line)), "{args:?}: as it is written");
        let (_, count, _) = search(&deployment, &path, &[args, &["-c"]].concat());
        assert_eq!(count.trim(), expected.to_string(), "{args:?}");
    }
    let (_, _, message) = search(&deployment, &path, &["tag=T"]);
    assert!(message.is_empty(), "a broken line that was not met is not told of: {message}");
    let (_, _, message) = search(&deployment, &path, &["status!=1"]);
    assert!(message.contains("1 line is not JSON"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_counted_by_day_and_by_any_key() {
    let (deployment, path) = logged().await;
    let (status, table, _) = search(&deployment, &path, &["--count-by", "day,tag"]);
    assert_eq!(status, Some(0));
    assert_eq!(table, "day\ttag\tlines\n2026-11-24\tCheckoutWebhook\t1\n2026-11-24\tRefund\t2\n2026-11-25\tT\t3\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn context_tail_and_chosen_keys() {
    let (deployment, path) = logged().await;
    let (_, found, _) = search(&deployment, &path, &["event=webhook_received", "-A", "1"]);
    assert_eq!(found.lines().count(), 2);
    let (_, found, _) = search(&deployment, &path, &["event=last", "-B", "2"]);
    assert_eq!(found.lines().count(), 3);
    let (_, found, _) = search(&deployment, &path, &["event=webhook_received,last", "-C", "1"]);
    assert_eq!(found.lines().map(|line| &line[..2]).collect::<Vec<_>>(), ["{\"", "{\"", "--", "{\"", "{\""]);
    let (_, found, _) = search(&deployment, &path, &["-n", "1"]);
    assert!(found.contains("last") && found.lines().count() == 1, "{found}");
    let (_, found, _) = search(&deployment, &path, &["--only", "tag,event", "event=last"]);
    assert_eq!(found, "{\"tag\":\"T\",\"event\":\"last\"}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_rotated_and_piped_logs_are_read_like_plain_ones() {
    let (mut deployment, path) = logged().await;
    let packed = path.with_extension("1.gz");
    let mut gz = flate2::write::GzEncoder::new(std::fs::File::create(&packed).unwrap(), flate2::Compression::fast());
    gz.write_all(LOG.as_bytes()).unwrap();
    gz.finish().unwrap();
    let zst = path.with_extension("zst");
    let (day, next) = LOG.split_at(LOG.len() / 2);
    let pack =
        |text: &str| ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
    std::fs::write(&zst, [pack(day), pack(next)].concat()).unwrap();
    for file in [&packed, &zst] {
        assert_eq!(search(&deployment, file, &["-c", "event=refund_failed"]).1.trim(), "2", "{}", file.display());
    }
    deployment.settings.insert("DISCUNO_LOG_FILE", path.display().to_string());
    let (_, count, _) = deployment.ran(&["logs", "-c", "event=refund_failed"]);
    assert_eq!(count.trim(), "4", "the file and what it was rotated to");

    let mut command = deployment.command(&["logs", "--file", "-", "event=refund_failed"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(LOG.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_rotated_while_somebody_reads_what_was_found_is_read_whole() {
    let mut deployment = Deployment::new().await;
    let path = deployment.db.with_file_name("discuno.log");
    let old = |number: u8| path.with_extension(format!("log.{number}"));
    let many = "{\"event\":\"first\"}\n".repeat(200_000);
    std::fs::write(old(2), many).unwrap();
    std::fs::write(old(1), "{\"event\":\"second\"}\n").unwrap();
    std::fs::write(&path, "{\"event\":\"third\"}\n").unwrap();
    deployment.settings.insert("DISCUNO_LOG_FILE", path.display().to_string());
    let mut child = deployment.command(&["logs"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut found = child.stdout.take().unwrap();
    let mut begun = [0; 1];
    found.read_exact(&mut begun).unwrap();
    for (from, to) in [(old(2), old(3)), (old(1), old(2)), (path.clone(), old(1))] {
        std::fs::rename(from, to).unwrap();
    }
    let mut rest = String::new();
    found.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    let last: Vec<&str> = rest.lines().skip(199_999).collect();
    assert_eq!(last, ["{\"event\":\"first\"}", "{\"event\":\"second\"}", "{\"event\":\"third\"}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_as_grep_does() {
    let (deployment, path) = logged().await;
    let (status, _, message) = deployment.ran(&["logs", "--file", "/nowhere", "--file", path.to_str().unwrap(), "-c"]);
    assert_eq!(status, Some(2));
    assert!(message.contains("/nowhere"), "{message}");
    for args in [&["-e", "("][..], &["--level", "loud"], &["--since", "soon"], &["--count", "--follow"]] {
        assert_eq!(search(&deployment, &path, args).0, Some(2), "{args:?}");
    }
    std::fs::write(&path, LOG.repeat(20_000)).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = deployment.command(&["logs", "--file", path.to_str().unwrap()]);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    // Nor does that hide what could not be read.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = deployment.command(&["logs", "--file", "/nowhere", "--file", path.to_str().unwrap()]);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_and_the_rest_is_searched() {
    let (deployment, path) = logged().await;
    let line = |n: u32| format!("{{\"n\":{n},\"x\":\"{}\"}}\n", n * 7919 % 10_007);
    let lines = (0..40_000).map(line).collect::<Vec<_>>().concat();
    let cut = path.with_file_name("cut.gz");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(lines.as_bytes()).unwrap();
    let packed = gz.finish().unwrap();
    std::fs::write(&cut, &packed[..packed.len() / 2]).unwrap();
    let folder = path.parent().unwrap();
    let args = ["--file", folder.to_str().unwrap(), "--file", cut.to_str().unwrap(), "n=1,2", "event=last", "-c"];
    let (status, count, message) = search(&deployment, &path, &args);
    assert_eq!((status, count.trim()), (Some(2), "0"), "{message}");
    assert!(message.contains("cut.gz") && message.contains("directory"), "{message}");
    let (status, found, message) = search(&deployment, &cut, &["n=1,2"]);
    assert_eq!((status, found.lines().count()), (Some(2), 2), "what came before the cut is found: {message}");
    let (status, found, _) = search(&deployment, &cut, &["n=1", "-A", "1"]);
    assert_eq!((status, found.lines().count()), (Some(2), 2));
    std::fs::write(&path, "").unwrap();
    assert_eq!(search(&deployment, &path, &[]).0, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_an_end_is_cut_and_what_follows_is_found() {
    let (deployment, path) = logged().await;
    let mut text = b"{\"n\":1}\n{\"n\":\"".to_vec();
    text.resize(20 << 20, b'x');
    text.extend_from_slice(b"\"}\r\n{\"n\":1}");
    std::fs::write(&path, &text).unwrap();
    let (_, found, message) = search(&deployment, &path, &["n=1,2"]);
    assert_eq!(found, "{\"n\":1}\n{\"n\":1}\n", "{message}");
    let (_, cut, _) = search(&deployment, &path, &["--malformed"]);
    assert!(cut.len() < 9 << 20, "{}", cut.len());
    let mut command = deployment.command(&["logs", "--file", "-", "n!=2", "-c"]);
    command.stdin(std::fs::File::open(&path).unwrap());
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "2");
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 line is not JSON"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_lines_are_for_people_and_steer_nothing() {
    let (deployment, path) = logged().await;
    let mut command = deployment.command(&["logs", "--file", path.to_str().unwrap(), "event=last", "-P", "--utc"]);
    let mut terminal = Terminal::start(
        {
            command.env("NO_COLOR", "1");
            command
        },
        120,
    );
    assert_eq!(terminal.ends().await, Some(0));
    let screen = terminal.screen();
    assert!(screen.contains("info     T last status=200 esc=\\u{1b}[31m"), "{screen}");
    assert!(!screen.contains('\u{1b}'), "{screen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_is_followed_through_rotation() {
    let (deployment, path) = logged().await;
    let args = ["logs", "--file", path.to_str().unwrap(), "event=new", "-f", "-P"];
    let mut command = deployment.command(&args);
    command.env("NO_COLOR", "1");
    let terminal = Terminal::start(command, 120);
    let append = |text: &str| {
        let mut file = std::fs::File::options().create(true).append(true).open(&path).unwrap();
        writeln!(file, "\n{{\"event\":\"new\",\"n\":\"{text}\"}}\n{{\"event\":\"old\",\"n\":\"{text}\"}}").unwrap();
    };
    append("first");
    terminal.shows("n=first").await;
    std::fs::rename(&path, path.with_extension("1")).unwrap();
    append("second");
    terminal.shows("n=second").await;
    assert!(!terminal.screen().contains("old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_size_nobody_says_is_read_until_it_ends() {
    let deployment = Deployment::new().await;
    let (status, count, said) = search(&deployment, "/proc/self/status".as_ref(), &["Name:", "-c"]);
    assert_eq!((status, count.trim()), (Some(0), "1"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_compressed_is_not_followed() {
    let (deployment, path) = logged().await;
    for ending in ["gz", "zst"] {
        let packed = path.with_extension(ending);
        std::fs::write(&packed, LOG).unwrap();
        let (status, out, said) = search(&deployment, &packed, &["--follow"]);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{said}");
        assert!(said.contains("--follow") && said.contains("compressed"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_piped_is_searched_as_it_comes() {
    let (deployment, _) = logged().await;
    let mut command = deployment.command(&["logs", "--file", "-", "event=new"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (found, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        std::io::BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| found.send(line))
    });
    input.write_all(b"{\"event\":\"old\"}\n{\"event\":\"new\"}\n{\"ev").unwrap();
    let first = lines.recv_timeout(Duration::from_secs(30)).expect("a line before the end of the input");
    assert_eq!(first, "{\"event\":\"new\"}");
    input.write_all(b"ent\":\"new\",\"n\":2}").unwrap();
    drop(input);
    assert_eq!(lines.recv().unwrap(), "{\"event\":\"new\",\"n\":2}");
    assert!(child.wait().unwrap().success());
    reader.join().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_answered_from_its_index_and_a_changed_one_is_not() {
    let (mut deployment, path) = logged().await;
    let cache = path.with_file_name("cache");
    deployment.settings.insert("XDG_CACHE_HOME", cache.display().to_string());
    let filler = |hour: u32| {
        let line = format!(
            "{{\"ts\":\"2026-11-24T{hour:02}:00:00.000Z\",\"level\":\"info\",\"x\":\"{}\"}}\n",
            "x".repeat(900)
        );
        line.repeat(4000)
    };
    let mut text: String = (0..12).map(filler).collect();
    std::fs::write(&path, &text).unwrap();
    let count = |deployment: &Deployment, hour: u32| {
        let (since, until) = (format!("2026-11-24T{hour:02}:00:00Z"), format!("2026-11-24T{:02}:00:00Z", hour + 1));
        search(deployment, &path, &["-c", "--since", &since, "--until", &until]).1.trim().parse::<u32>().unwrap()
    };
    assert_eq!((count(&deployment, 3), count(&deployment, 11)), (4000, 4000));
    assert_eq!(std::fs::read_dir(cache.join("discuno/logs")).unwrap().count(), 1);
    assert_eq!(count(&deployment, 3), 4000, "from the index");
    // Appended to, then changed in place to the same length, then replaced, then cut.
    text.push_str(&filler(12));
    std::fs::write(&path, &text).unwrap();
    assert_eq!((count(&deployment, 12), count(&deployment, 5)), (4000, 4000));
    let changed = text.replace("T03:00", "T13:00");
    std::fs::write(&path, &changed).unwrap();
    assert_eq!((count(&deployment, 3), count(&deployment, 13)), (0, 4000));
    // Changed in place with its time set back.
    let written = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, &text).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
    assert_eq!((count(&deployment, 3), count(&deployment, 13)), (4000, 0));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &text).unwrap();
    assert_eq!(count(&deployment, 3), 4000);
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert_eq!((count(&deployment, 3), count(&deployment, 12)), (4000, 0));
    std::fs::write(cache.join("discuno/logs").read_dir().unwrap().next().unwrap().unwrap().path(), b"rubbish").unwrap();
    assert_eq!(count(&deployment, 3), 4000);
}
