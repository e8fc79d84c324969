//! What supervisors see: systemd by its socket, health checks by an exit status.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use crate::support::process::{Deployment, PATIENCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_supervises_is_told_that_it_is_ready_turns_and_stops() {
    let mut deployment = Deployment::new().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut word = [0; 64];
        let length = socket.recv(&mut word).expect("a word in time");
        String::from_utf8_lossy(&word[..length]).into_owned()
    };
    deployment.settings.insert("NOTIFY_SOCKET", path.display().to_string());
    deployment.settings.insert("WATCHDOG_USEC", "200000".to_owned());
    for args in [&["serve"][..], &["worker"]] {
        let mut process = match args {
            ["serve"] => deployment.serve(&[]).await,
            _ => deployment.worker().await,
        };
        assert_eq!((heard().as_str(), heard().as_str()), ("READY=1", "WATCHDOG=1"), "{args:?}");
        process.signal(Signal::TERM);
        while heard() != "STOPPING=1" {}
        assert_eq!(process.exits_within(PATIENCE).await.code(), Some(0), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_check_says_whether_the_server_is_ready() {
    let mut deployment = Deployment::new().await;
    let mut serve = deployment.serve(&[]).await;
    let port = serve.address().unwrap().port();
    // As in a container: what listens everywhere is asked on this machine.
    deployment.settings.insert("DISCUNO_LISTEN", format!("0.0.0.0:{port}"));
    let (status, out, message) = deployment.ran(&["check", "--probe"]);
    assert_eq!((status, out.as_str(), message.as_str()), (Some(0), "", ""));
    serve.kill();
    let (status, _, message) = deployment.ran(&["check", "--probe"]);
    assert_eq!(status, Some(1));
    assert!(message.contains("nobody answers"), "{message}");
}
