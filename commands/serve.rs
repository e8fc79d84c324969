//! `discuno serve`: takes webhooks.

use std::net::SocketAddr;

use discuno::app::{App, Parts};
use discuno::config::Problems;
use discuno::web;
use discuno::web::admin::{self, Admin};

use crate::exit::Exit;
use crate::notify::keep_told;
use crate::runtime::{Overrides, bind, start_log, stop_signal};

/// Take webhooks and keep them with all that they start
///
/// Answers 200 only once an event is on disk. With --worker the same process also carries the runs to their end.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Work in this process too
    #[arg(long)]
    worker: bool,
    /// Where to listen [default: 127.0.0.1:8480, or DISCUNO_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where operators reach the dashboard [default: where webhooks are taken, or DISCUNO_ADMIN_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let config = args.overrides.config(&[
        ("DISCUNO_LISTEN", args.listen.map(|listen| listen.to_string())),
        ("DISCUNO_ADMIN_LISTEN", args.admin_listen.map(|listen| listen.to_string())),
    ])?;
    start_log(&config, true)?;
    let mut missing = config.missing_for_serve();
    if args.worker {
        missing.extend(config.missing_for_worker());
    }
    if !missing.is_empty() {
        return Err(Problems(missing).into());
    }
    let stop = stop_signal()?;
    let mut app = App::open(config, Parts::system())?;
    app.begin_traces()?;
    let listener = bind(app.config.listen).await?;
    let admin = Admin { stop: stop.clone(), ..app.admin()? };
    let mut routes = web::router(app.web());
    let mut desk = None;
    match (admin.access.is_possible(), app.config.access.listen) {
        (true, None) => routes = routes.merge(admin::router(admin)),
        (true, Some(address)) => desk = Some((bind(address).await?, admin::alone(admin))),
        (false, _) => tracing::info!(
            tag = "Process",
            event = "dashboard_off",
            message = "set DISCUNO_ADMIN_TOKEN or DISCUNO_USERS to have it",
        ),
    }
    let worker = args.worker.then(|| app.worker()).transpose()?;
    if args.worker {
        app.begin_schedules().await?;
    }
    tracing::info!(
        tag = "Process", event = "serving", listen = %listener.local_addr()?, mode = app.config.mode.as_str(),
        db = %app.config.place(), worker = args.worker,
        dashboard = desk.as_ref().and_then(|(listener, _)| listener.local_addr().ok()).map(tracing::field::display),
    );
    let operated = async {
        if let Some((listener, routes)) = desk {
            web::serve(listener, routes, stop.cancelled()).await;
        }
    };
    let working = async {
        if let Some(worker) = worker {
            tokio::join!(worker.run(stop.clone()), app.watch().run(stop.clone()), app.keep_schedules(&stop));
        } else {
            app.watch().keep(stop.clone()).await;
        }
    };
    tokio::join!(web::serve(listener, routes, stop.cancelled()), operated, working, keep_told(stop.clone()));
    app.traces.close().await;
    tracing::info!(tag = "Process", event = "stopped");
    Ok(Exit::Done)
}
