//! Where a server is, and how it is spoken to.

use std::fmt;
use std::future::poll_fn;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::{MakeTlsConnect, NoTlsStream, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use crate::clock::Anchor;
use crate::store::error::Error;
use crate::store::postgres::session::fault;
use crate::store::postgres::tls::{self, Files};

/// How long a server may take to let us in.
const CONNECT: Duration = Duration::from_secs(5);

/// How long one host may take for all of that: to be reached, to look at who we are, and to say whether it can be written.
pub(super) const GREETING: Duration = Duration::from_secs(10);

/// How long what is sent may go unacknowledged before the connection counts as lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// What the client says when the server asks for a password and there is none.
const MISSING: &str = "password missing";

/// Where a password is looked for.
pub(super) const WHERE: &str =
    "it stands in the address, in DISCUNO_DB_PASSWORD or in the file DISCUNO_DB_PASSWORD_FILE";

/// `postgres://…`, which may hold a password: it is shown without.
#[derive(Clone)]
pub struct Address {
    /// One for each host, in the order in which they are tried.
    each: Arc<[Config]>,
    files: Files,
    shown: Arc<str>,
    clock: Arc<Anchor>,
    connections: usize,
    pace: Pace,
}

/// How long is waited on a connection.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// For an answer. It is longer than the server goes on with a statement, and may be shorter than a commit takes.
    pub answer: Duration,
    /// Until the server's clock is read again.
    pub clock: Duration,
}

impl Pace {
    /// What is right but for tests.
    const USUAL: Self = Self { answer: Duration::from_secs(40), clock: Duration::from_secs(60) };
}

impl Address {
    /// The same with a password that stood elsewhere, where the address has none, for so many connections of a process.
    #[must_use]
    pub fn with(mut self, password: Option<&str>, connections: usize) -> Self {
        self.connections = connections;
        if let Some(password) = password {
            let missing = |config: &&mut Config| config.get_password().is_none();
            let mut each = self.each.to_vec();
            for config in each.iter_mut().filter(missing) {
                config.password(password);
            }
            self.each = each.into();
        }
        self
    }

    /// The same at another pace.
    #[must_use]
    pub fn at(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    pub(super) const fn pace(&self) -> Pace {
        self.pace
    }

    /// How many connections one process has, besides the one it listens on.
    pub const fn connections(&self) -> usize {
        self.connections
    }

    /// The server's clock, which is read whenever it is connected to.
    pub const fn clock(&self) -> &Arc<Anchor> {
        &self.clock
    }

    pub(super) async fn connect(&self) -> Result<(Client, Line), Error> {
        let is_local = |config: &Config| config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        let plain =
            self.each.iter().all(|config| matches!(config.get_ssl_mode(), SslMode::Disable) || is_local(config));
        let refused = |error: tokio_postgres::Error| match fault(&error) {
            Error::Backend(said) if said.ends_with(MISSING) => {
                Error::Illegal(format!("the server wants a password: {WHERE}"))
            }
            Error::Backend(said) => Error::Unreachable(said),
            other => other,
        };
        if plain {
            let (client, connection) = self.reach(NoTls, refused).await?;
            return Ok((client, Line::Plain(Box::new(connection))));
        }
        let tls = MakeRustlsConnect::new(tls::client(&self.files)?);
        let roots = self.files.roots.as_deref();
        let distrusted = |error: &tokio_postgres::Error| tls::refusal(error, roots).map(Error::Unreachable);
        let (client, connection) =
            self.reach(tls, |error| distrusted(&error).unwrap_or_else(|| refused(error))).await?;
        Ok((client, Line::Tls(Box::new(connection))))
    }

    /// The first host that lets us in. Each has its time: one that is frozen takes the call, and says nothing more.
    async fn reach<T: MakeTlsConnect<Socket> + Clone>(
        &self,
        tls: T,
        refused: impl Fn(tokio_postgres::Error) -> Error,
    ) -> Result<(Client, Connection<Socket, T::Stream>), Error>
    where
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let mut last = Error::Unreachable("the address names no host".to_owned());
        for config in &*self.each {
            last = match tokio::time::timeout(GREETING, config.connect(tls.clone())).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => refused(error),
                Err(_) => Error::Unreachable(format!("the server took the call and said nothing for {GREETING:?}")),
            };
        }
        Err(last)
    }
}

/// The other end of a client: what the server says by itself, for as long as the connection lives.
pub(super) enum Line {
    Plain(Box<Connection<Socket, NoTlsStream>>),
    Tls(Box<Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>>),
}

impl Line {
    pub(super) fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> {
        match self {
            Self::Plain(connection) => connection.poll_message(context),
            Self::Tls(connection) => connection.poll_message(context),
        }
    }

    /// Keeps the connection going; whoever waits for an answer is told when it is gone.
    pub(super) async fn keep(mut self) {
        while let Some(Ok(_)) = poll_fn(|context| self.poll_message(context)).await {}
    }
}

/// What stands for several hosts while the rest of an address is read.
const STAND_IN: &str = "several.invalid";

/// An address of one host, and the several that it stood for, each of which may have a port of its own: no URL has more than one.
fn with_one_host(text: &str) -> (String, Option<&str>) {
    let whole = || (text.to_owned(), None);
    let Some((scheme, rest)) = text.split_once("://") else { return whole() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let Some((user, hosts)) = authority.rsplit_once('@').filter(|(_, hosts)| hosts.contains(',')) else {
        return whole();
    };
    (format!("{scheme}://{user}@{STAND_IN}{path}"), Some(hosts))
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (one, hosts) = with_one_host(text);
        let at = |url: &Url, hosts: &str| url.as_str().replacen(&format!("@{STAND_IN}"), &format!("@{hosts}"), 1);
        let whole = |url: &Url| hosts.map_or_else(|| url.as_str().to_owned(), |hosts| at(url, hosts));
        let mut url: Url = one.parse().map_err(|_| "is not a postgres:// address".to_owned())?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err("is not a postgres:// address".to_owned());
        }
        let mut shown = url.clone();
        if shown.password().is_some() {
            let _ = shown.set_password(Some("…"));
        }
        // Parameters of libpq that the client does not know under these names.
        let mut files = Files::default();
        let mut kept = Vec::new();
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "sslrootcert" => files.roots = Some(value.into_owned()),
                "sslcert" => files.certificate = Some(value.into_owned()),
                "sslkey" => files.key = Some(value.into_owned()),
                // Whoever answers has to prove who he is, always.
                "sslmode" if value.starts_with("verify") => kept.push((name.into_owned(), "require".to_owned())),
                "password" => return Err("holds a password among its parameters: put it before the host".to_owned()),
                _ => kept.push((name.into_owned(), value.into_owned())),
            }
        }
        if files.certificate.is_some() != files.key.is_some() {
            return Err("names one of sslcert and sslkey: both are needed, or none".to_owned());
        }
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(&kept);
        }
        // A space among parameters. Elsewhere, as in a password, it stands for itself.
        let query = url.query().map(|query| query.replace('+', "%20"));
        url.set_query(query.as_deref());
        // Numbers of hosts belong to them by their place.
        let by_place = url.query_pairs().any(|(name, _)| name == "hostaddr");
        let each: Vec<String> = match hosts.filter(|_| !by_place) {
            Some(hosts) => hosts.split(',').map(|host| at(&url, host)).collect(),
            None => vec![whole(&url)],
        };
        let each = each.iter().map(|text| config(text)).collect::<Result<Arc<[_]>, _>>()?;
        Ok(Self { each, files, shown: whole(&shown).into(), clock: Arc::default(), connections: 4, pace: Pace::USUAL })
    }
}

fn config(text: &str) -> Result<Config, String> {
    let mut config: Config = text.parse().map_err(|error: tokio_postgres::Error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("cannot be used: {error}{cause}")
    })?;
    if config.get_user().is_none() {
        return Err("names no user".to_owned());
    }
    // A standby cannot be written: of several hosts, the one that can.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_application_name().is_none() {
        config.application_name("discuno");
    }
    config.tcp_user_timeout(UNACKNOWLEDGED);
    config.keepalives_idle(Duration::from_secs(10));
    config.keepalives_interval(Duration::from_secs(5));
    config.keepalives_retries(3);
    Ok(config)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let address: Address = "postgres://mia:geheim@db.example/discuno?sslmode=verify-full".parse().unwrap();
        assert!(!format!("{address} {address:?}").contains("geheim"));
        assert!("postgres://mia@db.example/discuno?password=geheim".parse::<Address>().is_err());
    }

    #[test]
    fn several_hosts_may_have_a_port_each() {
        let address: Address =
            "postgres://mia:a%2Cb@one.example:5432,[::1]:6000,three.example/d?sslmode=require".parse().unwrap();
        let ports: Vec<_> = address.each.iter().map(Config::get_ports).collect();
        assert_eq!(ports, [[5432], [6000], [5432]]);
        assert!(address.each.iter().all(|config| config.get_password() == Some("a,b".as_bytes())));
        assert!(
            address.to_string().ends_with("@one.example:5432,[::1]:6000,three.example/d?sslmode=require"),
            "{address}"
        );
        assert!("postgres://mia@one:x,two/d".parse::<Address>().is_err());
        assert!("postgres://one,two/d".parse::<Address>().is_err());
    }

    #[test]
    fn a_plus_is_a_space_among_parameters_and_itself_in_a_password() {
        let address: Address = "postgres://mia:a+b%2Bc@db.example/d?application_name=one+two%2Bthree".parse().unwrap();
        assert_eq!(address.each[0].get_password(), Some("a+b+c".as_bytes()));
        assert_eq!(address.each[0].get_application_name(), Some("one two+three"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_address() {
        for wrong in ["postgres://", "mysql://mia:geheim@x/y", "postgres://mia:geheim@x/y?sslmode=perhaps"] {
            let error = wrong.parse::<Address>().unwrap_err();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
