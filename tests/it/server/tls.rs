//! Connections over TLS: who is trusted, and what is said of who is not.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use discuno::store::error::Error;
use discuno::store::postgres::{Address, Mode, Postgres};
use discuno::store::{Ingested, Shared};

use crate::conformance::NOW;
use crate::conformance::subjects::paid;
use crate::support::cable::Cable;
use crate::support::cluster::{Cluster, left_out};
use crate::support::newest;
use crate::support::process::Deployment;

/// What the server's certificate is for.
const NAME: &str = "db.internal";
/// Mia's, and how it stands in an address.
const PASSWORD: &str = "ge+heim/7";
const IN_ADDRESS: &str = "ge+heim%2F7";

/// How many times a server that is told to use TLS is asked whether it does.
const LOOKS: u32 = 1000;

/// A server that lets Mia in by her password and over TLS alone. The certificates are in its directory and go with it.
struct Guarded(Cluster);

/// A key and a certificate for `subject`, of an authority of its own or signed by the one that is named.
fn certified(dir: &Path, subject: &str, signed_by: Option<&str>) -> bool {
    let file = |name: &str, kind: &str| dir.join(format!("{name}.{kind}")).display().to_string();
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    command.args(["-subj", &format!("/CN={subject}"), "-addext", &format!("subjectAltName=DNS:{subject}")]);
    command.args(["-keyout", &file(subject, "key"), "-out", &file(subject, "pem")]);
    if let Some(authority) = signed_by {
        command.args(["-CA", &file(authority, "pem"), "-CAkey", &file(authority, "key")]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Guarded {
    /// None where it cannot be had, which is said.
    fn with_certificate_of(subject: &str) -> Option<Self> {
        let guarded = Self(Cluster::own()?);
        let data = guarded.0.dir.join("data");
        if !(certified(&data, "ca", None) && certified(&data, "other", None) && certified(&data, NAME, Some("ca"))) {
            left_out("openssl 3 is not installed here");
            return None;
        }
        let owner = fs::metadata(&data).unwrap();
        chown(data.join(format!("{subject}.key")), Some(owner.uid()), Some(owner.gid())).unwrap();
        let run = |sql: &str| guarded.0.run("postgres", sql).unwrap();
        run(&format!("ALTER SYSTEM SET ssl_cert_file = '{subject}.pem'"));
        run(&format!("ALTER SYSTEM SET ssl_key_file = '{subject}.key'"));
        run("ALTER SYSTEM SET ssl_ca_file = 'ca.pem'");
        run("CREATE ROLE zoe LOGIN");
        run(&format!("CREATE ROLE mia LOGIN PASSWORD '{PASSWORD}'"));
        run("CREATE DATABASE market OWNER mia");
        run("ALTER SYSTEM SET ssl = on");
        fs::write(
            data.join("pg_hba.conf"),
            "local all all trust\nhostssl all mia 127.0.0.1/32 scram-sha-256\nhostssl all zoe 127.0.0.1/32 cert\n",
        )
        .unwrap();
        run("SELECT pg_reload_conf()");
        let on = (0..LOOKS).any(|_| run("SHOW ssl") == "on");
        assert!(on, "see {}", guarded.0.dir.join("log").display());
        Some(guarded)
    }

    fn shared() -> Option<&'static Self> {
        static GUARDED: OnceLock<Option<Guarded>> = OnceLock::new();
        GUARDED.get_or_init(|| Self::with_certificate_of(NAME)).as_ref()
    }

    fn file(&self, name: &str) -> String {
        self.0.dir.join("data").join(name).display().to_string()
    }

    /// The server by this name, as whoever trusts the certificates in this file calls it.
    fn address(&self, user: &str, name: &str, trusted: &str) -> String {
        let port = self.0.port;
        let trusted = self.file(trusted);
        format!("postgres://{user}@{name}:{port}/market?hostaddr=127.0.0.1&sslmode=require&sslrootcert={trusted}")
    }
}

fn opened(address: &str, password: Option<&str>) -> Result<Shared, Error> {
    let address = address.parse::<Address>().unwrap().with(password, 4);
    Ok(Arc::new(Postgres::open(&address, Mode::USUAL, "test")?))
}

/// What is said of a connection that comes to nothing.
fn refusal(address: &str, password: &str) -> String {
    let Err(error) = opened(address, Some(password)) else { panic!("{address} was connected to") };
    let said = error.to_string();
    assert!(!said.contains(password), "{said}");
    said
}

#[tokio::test]
async fn a_payment_is_kept_over_a_connection_whose_server_is_vouched_for() {
    let Some(guarded) = Guarded::shared() else { return };
    let store = opened(&guarded.address("mia", NAME, "ca.pem"), Some(PASSWORD)).unwrap();
    let ingested = store.ingest(paid("tls"), NOW).await.unwrap();
    assert!(matches!(ingested, Ingested::New { payment_created: true, .. }), "{ingested:?}");
    assert_eq!(newest(&store, 9).await[0].session_id, "cs_tls");
    let plain = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) \
        FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'mia'";
    let seen = guarded.0.run("postgres", plain).unwrap();
    assert!(!seen.starts_with("0|") && seen.ends_with("|0"), "{seen}");
}

#[test]
fn who_cannot_prove_to_be_the_server_is_refused_with_what_to_do() {
    let Some(guarded) = Guarded::shared() else { return };
    let right = guarded.address("mia", NAME, "ca.pem");
    let other = refusal(&guarded.address("mia", NAME, "other.pem"), PASSWORD);
    assert!(other.contains("sslrootcert") && other.contains(&guarded.file("other.pem")), "{other}");
    let nobody = refusal(right.split("&sslrootcert").next().unwrap(), PASSWORD);
    assert!(nobody.contains("sslrootcert="), "{nobody}");
    let elsewhere = refusal(&guarded.address("mia", "127.0.0.1", "ca.pem"), PASSWORD);
    assert!(elsewhere.contains(NAME) && elsewhere.contains("hostaddr"), "{elsewhere}");
    for (file, why) in [("absent.pem", "cannot be used"), ("ca.key", "holds no certificate")] {
        let unread = refusal(&guarded.address("mia", NAME, file), PASSWORD);
        assert!(unread.contains(&guarded.file(file)) && unread.contains(why), "{unread}");
    }
}

#[test]
fn a_certificate_that_is_a_ca_and_a_server_without_tls_are_told_apart_and_refused() {
    let Some(guarded) = Guarded::with_certificate_of("ca") else { return };
    let authority = refusal(&guarded.address("mia", "ca", "ca.pem"), PASSWORD);
    assert!(authority.contains("have that CA issue one"), "{authority}");
    let Some(cluster) = Cluster::shared() else { return };
    let bare = Cable::to(cluster).address(&cluster.fresh());
    let without = refusal(&format!("{bare}?sslmode=require"), PASSWORD);
    assert!(without.contains("ssl = on") && without.contains("sslmode=disable"), "{without}");
    opened(&format!("{bare}?sslmode=disable"), None).unwrap();
}

#[test]
fn who_the_server_knows_by_a_certificate_needs_no_password() {
    let Some(guarded) = Guarded::shared() else { return };
    assert!(certified(&guarded.0.dir.join("data"), "zoe", Some("ca")));
    guarded.0.run("postgres", "CREATE DATABASE hers OWNER zoe").unwrap();
    let hers = guarded.address("zoe", NAME, "ca.pem").replace("/market", "/hers");
    let shown = |name: &str| {
        format!(
            "{hers}&sslcert={}&sslkey={}",
            guarded.file(&format!("{name}.pem")),
            guarded.file(&format!("{name}.key"))
        )
    };
    opened(&shown("zoe"), None).unwrap();
    let unknown = refusal(&hers, "none");
    assert!(unknown.contains("certificate"), "{unknown}");
    let another = refusal(&shown(NAME), "none");
    assert!(another.contains("certificate"), "{another}");
    let absent = refusal(&shown("absent"), "none");
    assert!(absent.contains("sslcert") && absent.contains("cannot be used"), "{absent}");
    let half = format!("{hers}&sslcert={}", guarded.file("zoe.pem"));
    assert!(half.parse::<Address>().unwrap_err().contains("sslkey"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_taken_from_the_address_a_file_or_the_environment_and_is_not_shown() {
    let Some(guarded) = Guarded::shared() else { return };
    opened(&guarded.address(&format!("mia:{IN_ADDRESS}"), NAME, "ca.pem"), None).unwrap();
    let mut deployment = Deployment::new().await;
    deployment.settings.insert("DISCUNO_DB", guarded.address("mia", NAME, "ca.pem"));
    let file = guarded.file("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let wrong = "ganz-falsch";
    for (setting, value, status) in [
        ("DISCUNO_DB_PASSWORD_FILE", file.as_str(), Some(0)),
        ("DISCUNO_DB_PASSWORD", PASSWORD, Some(0)),
        ("PGPASSWORD", PASSWORD, Some(0)),
        ("DISCUNO_DB_PASSWORD", wrong, Some(5)),
        ("DISCUNO_ACTOR", "mia", Some(5)),
    ] {
        deployment.settings.insert(setting, value.to_owned());
        let (ended, document, message) = deployment.ran(&["payments", "--json"]);
        assert_eq!(ended, status, "{setting}: {message}");
        assert!(!format!("{document}{message}").contains(wrong), "{message}");
        assert!(ended == Some(0) || message.contains("DISCUNO_DB_PASSWORD"), "{setting}: {message}");
        deployment.settings.remove(setting);
    }
}

#[tokio::test]
async fn a_password_that_is_changed_under_a_store_is_an_outage_and_no_refusal_of_what_is_asked() {
    let Some(guarded) = Guarded::with_certificate_of(NAME) else { return };
    let store = opened(&guarded.address("mia", NAME, "ca.pem"), Some(PASSWORD)).unwrap();
    guarded.0.run("postgres", "ALTER ROLE mia PASSWORD 'another'").unwrap();
    let error = store.ingest(paid("1"), NOW).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    guarded.0.run("postgres", &format!("ALTER ROLE mia PASSWORD '{PASSWORD}'")).unwrap();
    store.ingest(paid("1"), NOW).await.unwrap();
}
