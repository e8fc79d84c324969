//! `discuno dev`: everything in one process, with the sandbox as the providers.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use discuno::app::{App, Parts};
use discuno::clock::Clock;
use discuno::config::{Config, SANDBOX_STRIPE_SECRET};
use discuno::entropy::Entropy;
use discuno::observe::trace::Settings;
use discuno::sandbox::Sandbox;
use discuno::web;
use discuno::web::admin::{self, Admin};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::output;
use crate::replay::scenes;
use crate::runtime::{start_log, stop_signal};

/// Run everything against the sandbox, with throw-away secrets
///
/// Example: discuno dev, and in another terminal: discuno replay fixtures/stripe.json
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The database: a file, or postgres://…
    #[arg(long, value_name = "DATABASE", default_value = "discuno-dev.db")]
    db: PathBuf,
    /// Where webhooks are taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    listen: SocketAddr,
    /// Where the providers' stand-ins answer
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8481")]
    sandbox: SocketAddr,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let stop = stop_signal()?;
    let log_file = std::env::var_os("DISCUNO_LOG_FILE").map(PathBuf::from);
    let traces = Settings::from_environment()?;
    let adjust = |config: &mut Config| (config.log_file, config.traces) = (log_file, traces);
    let mut playground = Playground::open(args.db, args.listen, args.sandbox, adjust).await?;
    start_log(&playground.app.config, true)?;
    playground.app.begin_traces()?;
    playground.app.begin_schedules().await?;
    output::note(&format!(
        "dashboard http://{}/\nwebhooks  http://{}/webhooks/stripe (secret {SANDBOX_STRIPE_SECRET})\nsandbox   http://{}/sandbox/ledger\n\
         next      discuno replay fixtures/stripe.json --to http://{}",
        playground.listen, playground.listen, playground.sandbox_at, playground.listen
    ));
    playground.run(stop).await?;
    Ok(Exit::Done)
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("could not listen at {address}: is it running already?"))
}

/// A deployment against the sandbox, on loopback.
pub(crate) struct Playground {
    pub(crate) app: App,
    pub(crate) sandbox: Sandbox,
    pub(crate) listen: SocketAddr,
    sandbox_at: SocketAddr,
    webhooks: TcpListener,
    providers: TcpListener,
}

impl Playground {
    pub(crate) async fn open(
        db: PathBuf,
        listen: SocketAddr,
        sandbox_at: SocketAddr,
        adjust: impl FnOnce(&mut Config),
    ) -> anyhow::Result<Self> {
        let (webhooks, providers) = (bind(listen).await?, bind(sandbox_at).await?);
        let (listen, sandbox_at) = (webhooks.local_addr()?, providers.local_addr()?);
        let base = format!("http://{sandbox_at}").parse()?;
        let mut config = Config::sandbox(&base, db, listen)?;
        adjust(&mut config);
        let app = App::open(config, Parts::system())?;
        let sandbox = Sandbox::new(Clock::System, Entropy::from_os());
        Ok(Self { app, sandbox, listen, sandbox_at, webhooks, providers })
    }

    /// Serves and works until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut routes = self.app.web();
        let sandbox = self.sandbox.clone();
        let played = self.sandbox.router().merge(scenes::routes(&format!("http://{}", self.listen))?);
        let admin = Admin { stop: stop.clone(), sandbox: Some(played), ..self.app.admin()? };
        routes.witness = Some(std::sync::Arc::new(move |event: &[u8]| sandbox.observe(event)));
        let worker = self.app.worker()?;
        let providers_stop = CancellationToken::new();
        let providers = tokio::spawn({
            let (router, stop) = (self.sandbox.router(), providers_stop.clone());
            async move { web::serve(self.providers, router, stop.cancelled()).await }
        });
        let routes = web::router(routes).merge(admin::router(admin));
        tokio::join!(
            web::serve(self.webhooks, routes, stop.cancelled()),
            worker.run(stop.clone()),
            self.app.watch().run(stop.clone()),
            self.app.keep_schedules(&stop)
        );
        // The providers go last: what is in flight may still need them.
        providers_stop.cancel();
        providers.await?;
        self.app.traces.close().await;
        Ok(())
    }
}
