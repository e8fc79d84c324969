//! Several hosts on this machine: network namespaces on a bridge of their own, with a PostgreSQL primary and a standby.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::cluster::binaries;

/// Where the test itself is, and with it the providers.
pub(crate) const HERE: &str = "10.77.0.1";

/// Of thirty packets that come, one is lost.
const LOSSY: &str = "add table inet far; add chain inet far in { type filter hook input priority 0; }; \
    add rule inet far in numgen random mod 30 < 1 drop";

fn quiet(line: &[&str]) -> bool {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn run(line: &[&str]) {
    assert!(quiet(line), "{line:?} failed");
}

/// A host: `ip netns exec <its name>` runs something on it.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: String,
    link: String,
}

impl Host {
    /// What a command is put behind to be run on this host.
    pub(crate) fn wrapper(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// Nothing reaches it, and it reaches nobody.
    pub(crate) fn cut_off(&self) {
        run(&["ip", "link", "set", &self.link, "down"]);
    }

    pub(crate) fn joined_again(&self) {
        run(&["ip", "link", "set", &self.link, "up"]);
    }

    /// What it is sent is late, and some of it is lost: by what is made for it where the kernel has that, else by a narrow
    /// link and a filter. Whether it could be done.
    pub(crate) fn is_far_away(&self) -> bool {
        let on_link = |how: &str| {
            let line = format!("tc qdisc add dev {} root {how}", self.link);
            quiet(&line.split(' ').collect::<Vec<_>>())
        };
        on_link("netem delay 15ms 5ms loss 1%")
            || on_link("tbf rate 1mbit burst 4kb latency 200ms")
                && quiet(&[&self.wrapper()[..], &["nft", LOSSY]].concat())
    }

    /// Every process on it is gone at once, as if the power were.
    pub(crate) fn loses_power(&self) {
        let pids = Command::new("ip").args(["netns", "pids", &self.name]).output().unwrap().stdout;
        for pid in String::from_utf8_lossy(&pids).split_whitespace() {
            quiet(&["kill", "-9", pid]);
        }
    }
}

/// Hosts that reach each other and nothing else.
pub(crate) struct Network {
    bridge: String,
    pub(crate) hosts: Vec<Host>,
}

impl Network {
    /// None where namespaces are not to be had.
    pub(crate) fn of(count: usize) -> Option<Self> {
        let bridge = format!("dsc{}", std::process::id());
        if !rustix::process::getuid().is_root() || !quiet(&["ip", "link", "add", &bridge, "type", "bridge"]) {
            return None;
        }
        let mut network = Self { bridge, hosts: Vec::new() };
        run(&["ip", "address", "add", &format!("{HERE}/24"), "dev", &network.bridge]);
        run(&["ip", "link", "set", &network.bridge, "up"]);
        for number in 0..count {
            let name = format!("{}h{number}", network.bridge);
            let (link, address) = (format!("{}v{number}", network.bridge), format!("10.77.0.{}", 10 + number));
            run(&["ip", "netns", "add", &name]);
            network.hosts.push(Host { name: name.clone(), address: address.clone(), link: link.clone() });
            run(&["ip", "link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &name]);
            run(&["ip", "link", "set", &link, "master", &network.bridge, "up"]);
            run(&["ip", "-n", &name, "address", "add", &format!("{address}/24"), "dev", "eth0"]);
            run(&["ip", "-n", &name, "link", "set", "eth0", "up"]);
            run(&["ip", "-n", &name, "link", "set", "lo", "up"]);
        }
        Some(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            host.loses_power();
            quiet(&["ip", "netns", "delete", &host.name]);
        }
        quiet(&["ip", "link", "delete", &self.bridge]);
    }
}

/// A PostgreSQL server on a host.
pub(crate) struct Server {
    dir: PathBuf,
    _process: Child,
}

impl Server {
    /// A primary that answers a commit once the standby has it too.
    pub(crate) fn primary(host: &Host, dir: &Path) -> Self {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
        let data = dir.join("primary");
        as_nobody(
            None,
            "initdb",
            &["-D", data.to_str().unwrap(), "-U", "discuno", "-A", "trust", "-E", "UTF8", "--no-sync"],
        );
        let mut rules = fs::read_to_string(data.join("pg_hba.conf")).unwrap();
        rules.push_str("host all all 10.77.0.0/24 trust\nhost replication all 10.77.0.0/24 trust\n");
        fs::write(data.join("pg_hba.conf"), rules).unwrap();
        Self::start(host, data, "*")
    }

    /// A copy of `primary` that follows it.
    pub(crate) fn standby(host: &Host, primary: &Host, dir: &Path) -> Self {
        let data = dir.join("standby");
        let place = data.to_str().unwrap();
        as_nobody(
            Some(host),
            "pg_basebackup",
            &["-h", &primary.address, "-U", "discuno", "-D", place, "-R", "-c", "fast"],
        );
        Self::start(host, data, "")
    }

    fn start(host: &Host, dir: PathBuf, waits_for: &str) -> Self {
        let waits_for = format!("synchronous_standby_names={waits_for}");
        let place = dir.to_str().unwrap();
        let mut command = command_as_nobody(Some(host), "postgres");
        command.args(["-D", place, "-k", "", "-p", "5432", "-c", "listen_addresses=*", "-c", &waits_for]);
        // What a killed server leaves of its memory goes with its directory.
        command.args(["-c", "dynamic_shared_memory_type=mmap"]);
        let log = fs::File::create(dir.with_extension("log")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let ready = (0..400).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            command_as_nobody(None, "psql")
                .args(["-h", &host.address, "-U", "discuno", "-d", "postgres", "-X", "-q", "-c", "SELECT 1"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        });
        assert!(ready, "the server did not start: see {}", dir.with_extension("log").display());
        Self { dir, _process: process }
    }

    pub(crate) fn is_promoted(&self) {
        as_nobody(None, "pg_ctl", &["promote", "-w", "-D", self.dir.to_str().unwrap()]);
    }
}

fn command_as_nobody(host: Option<&Host>, program: &str) -> Command {
    let mut line: Vec<String> = host.map(|host| host.wrapper().map(str::to_owned).to_vec()).unwrap_or_default();
    line.extend(["runuser", "-u", "nobody", "--"].map(str::to_owned));
    line.push(binaries().unwrap().join(program).display().to_string());
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    command
}

fn as_nobody(host: Option<&Host>, program: &str, arguments: &[&str]) {
    let output = command_as_nobody(host, program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
