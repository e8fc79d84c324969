//! `discuno worker`: carries runs to their end.

use std::net::SocketAddr;

use discuno::app::{App, Parts};
use discuno::config::{Problem, Problems};
use discuno::web;
use discuno::web::admin::{self, Admin};

use crate::exit::Exit;
use crate::notify::keep_told;
use crate::runtime::{Overrides, bind, start_log, stop_signal};

/// Carry runs to their end
///
/// Any number of workers may share a database with `serve`. SIGTERM finishes what is in flight.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Runs moved at once [default: 64, or DISCUNO_CONCURRENCY]
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
    /// Where the metrics of this process are read, and the dashboard [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let config =
        args.overrides.config(&[("DISCUNO_CONCURRENCY", args.concurrency.map(|number| number.to_string()))])?;
    start_log(&config, true)?;
    let missing = config.missing_for_worker();
    if !missing.is_empty() {
        return Err(Problems(missing).into());
    }
    let stop = stop_signal()?;
    let mut app = App::open(config, Parts::system())?;
    app.begin_traces()?;
    app.begin_schedules().await?;
    let admin = Admin { stop: stop.clone(), ..app.admin()? };
    let desk = match args.admin_listen {
        Some(_) if !admin.access.is_possible() => {
            let message = "is not set: nobody could come in at --admin-listen".to_owned();
            return Err(Problems(vec![Problem { name: "DISCUNO_ADMIN_TOKEN".to_owned(), message }]).into());
        }
        Some(address) => Some((bind(address).await?, admin::alone(admin))),
        None => None,
    };
    let operated = async {
        if let Some((listener, routes)) = desk {
            web::serve(listener, routes, stop.cancelled()).await;
        }
    };
    let (worker, watch) = (app.worker()?, app.watch());
    tokio::join!(
        worker.run(stop.clone()),
        watch.run(stop.clone()),
        app.keep_schedules(&stop),
        operated,
        keep_told(stop.clone())
    );
    app.traces.close().await;
    Ok(Exit::Done)
}
