//! A PostgreSQL server of the test process's own, gone with it, where the binaries are to be found.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use discuno::store::postgres::Address;

use crate::support::books::Books;

/// How often, and how many times, a starting server is looked at.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 1200;

/// A server that goes, and all it has written, when its standard input is closed, which the end of this process does.
const SERVER: &str = r#"
bin=$1 dir=$2 port=$3 listen=$4
shift 4
"$@" "$bin/initdb" -D "$dir/data" -U discuno -A trust -E UTF8 --no-sync >"$dir/log" 2>&1 || exit 1
"$@" "$bin/postgres" -D "$dir/data" -k "$dir" -p "$port" -c listen_addresses="$listen" -c max_connections=300 \
  -c log_min_messages=warning -c shared_buffers=64MB -c max_wal_size=128MB >>"$dir/log" 2>&1 &
read -r _
kill -INT "$(head -n 1 "$dir/data/postmaster.pid")" && wait
rm -rf "$dir"
"#;

pub(crate) struct Cluster {
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    _server: Child,
}

/// Where the server's binaries are, the newest first.
pub(crate) fn binaries() -> Option<PathBuf> {
    let mut all: Vec<PathBuf> = ["/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt"]
        .iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flat_map(|dir| dir.flatten().map(|entry| entry.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
        .collect();
    all.sort();
    all.pop()
}

fn start(port: u16, listen: &str) -> Option<Cluster> {
    let binaries = binaries()?;
    let dir = super::scratch().keep();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    // The server refuses to be run by root.
    let as_nobody: &[&str] = if rustix::process::getuid().is_root() { &["runuser", "-u", "nobody", "--"] } else { &[] };
    let mut command = Command::new("sh");
    command.args(["-c", SERVER, "cluster"]).arg(&binaries).arg(&dir).args([&port.to_string(), listen]).args(as_nobody);
    let server = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let cluster = Cluster { dir, port, _server: server };
    let answers = (0..LOOKS).any(|_| {
        std::thread::sleep(LOOK);
        cluster.answers()
    });
    assert!(answers, "the server did not start: see {}", cluster.dir.join("log").display());
    Some(cluster)
}

/// Says so, not through the macro, whose words nobody sees when a test passes.
pub(crate) fn left_out(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {test}: {why}");
}

fn or_left_out<T>(cluster: Option<T>) -> Option<T> {
    if cluster.is_none() {
        left_out("PostgreSQL is not installed here");
    }
    cluster
}

impl Cluster {
    /// The server, started by the first test that asks for it; none where there is no PostgreSQL, which is said.
    pub(crate) fn shared() -> Option<&'static Self> {
        static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
        or_left_out(CLUSTER.get_or_init(|| start(5432, "")).as_ref())
    }

    /// A server of the caller's own, to be reached at 127.0.0.1 too.
    pub(crate) fn own() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        or_left_out(start(port, "127.0.0.1"))
    }

    /// Where it is reached without a network.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join(format!(".s.PGSQL.{}", self.port))
    }

    fn answers(&self) -> bool {
        let answer = self.run("postgres", "SELECT 1");
        answer.is_ok()
    }

    /// Runs a statement, as nothing of ours would.
    pub(crate) fn run(&self, database: &str, sql: &str) -> Result<String, String> {
        let psql = binaries().unwrap().join("psql");
        let host = self.dir.display().to_string();
        let output = Command::new(psql)
            .args([
                "-h",
                &host,
                "-p",
                &self.port.to_string(),
                "-U",
                "discuno",
                "-d",
                database,
                "-X",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                sql,
            ])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// The address of a database, made if it is not there.
    pub(crate) fn database(&self, name: &str) -> String {
        let known = self.run("postgres", &format!("SELECT 1 FROM pg_database WHERE datname = '{name}'")).unwrap();
        if known.is_empty() {
            self.run("postgres", &format!("CREATE DATABASE {name}")).unwrap();
        }
        self.address(name)
    }

    /// A new database, for as long as it is needed.
    pub(crate) fn lend(&'static self) -> Lent {
        Lent { cluster: self, name: self.make() }
    }

    /// The address of a new database.
    pub(crate) fn fresh(&self) -> String {
        self.address(&self.make())
    }

    fn make(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name}")).unwrap();
        name
    }

    fn address(&self, name: &str) -> String {
        let host: String = url::form_urlencoded::byte_serialize(self.dir.to_string_lossy().as_bytes()).collect();
        format!("postgres://discuno@{host}:{}/{name}", self.port)
    }
}

/// A database of one test's own, dropped with this.
pub(crate) struct Lent {
    cluster: &'static Cluster,
    name: String,
}

impl Lent {
    pub(crate) fn address(&self) -> String {
        self.cluster.address(&self.name)
    }

    pub(crate) fn books(&self) -> Books {
        Books::Server(self.cluster, self.name.clone())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let _ = self.cluster.run("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Whether the suite is to keep its stores on a server instead of in files, which `DISCUNO_TEST_STORE=postgres` says.
pub(crate) fn is_on_a_server() -> bool {
    std::env::var("DISCUNO_TEST_STORE").is_ok_and(|store| store == "postgres")
}

/// Whether a test about a file is left out, which is said, since the suite keeps its stores on a server.
pub(crate) fn is_without_files() -> bool {
    let without = is_on_a_server();
    if without {
        left_out("it is about a file");
    }
    without
}

/// Where a store is to be kept, if not in a file.
pub(crate) fn elsewhere() -> Option<Lent> {
    is_on_a_server().then(|| Cluster::shared().expect("PostgreSQL is asked for and not installed").lend())
}

/// The database that stands for this path.
pub(crate) fn standing_for(path: &Path) -> Option<Address> {
    let name: String = path.to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect();
    Some(Cluster::shared()?.database(&name.to_lowercase()).parse().unwrap())
}
