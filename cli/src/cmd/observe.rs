//! `sockeye observe`: the glue between the command line, the network's thread and the session.
//!
//! The network has a thread and a runtime of its own, so that connections stay alive while standard output waits for
//! its reader; between the two is a bounded queue.

use std::{future::Future, io, thread, time::Duration};

use tokio::sync::mpsc::{self, Sender};

use super::Failure;
use crate::{
    args::{ObserveArgs, ObservePlan, Source, Surroundings, Target},
    client::{
        ClientError, fleet,
        follow::{News, Update},
        replay,
        server::Servers,
        session::{Session, Settings, Trouble},
    },
    message,
    patient::Patient,
    show,
};

/// Messages that may wait between network and session; a batch each.
const QUEUE: usize = 64;
/// Without `-f` every server comes to an end, so there is time to wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shows events until there are no more, or it is stopped.
pub fn run(args: ObserveArgs) -> Result<(), Failure> {
    let plan = args.plan(&Surroundings::here(), std::time::SystemTime::now())?;
    // Whatever is wrong with the filters is said before anything is connected.
    let request = plan.request(None)?;
    if plan.print_request {
        return print_request(&plan);
    }
    let colour = plan.color.on(&io::stdout());
    let show = show::of(&plan, colour);
    let writer = Patient::of_stdout(plan.duration).map_err(Failure::Output)?;
    let settings = Settings {
        quiet: plan.quiet,
        max_rows: plan.max_events,
        window: if request.follow { plan.merge_window } else { plan.merge_window.max(PATIENCE) },
        newest: request.last.filter(|_| !request.follow),
    };
    let duration = plan.duration;
    let (sender, updates) = mpsc::channel(QUEUE);
    match plan.source.clone() {
        Source::File(path) => {
            let input = replay::open(path.as_deref())?;
            thread::spawn(move || replay::read(input, &sender));
        }
        Source::Target(target) => {
            super::runtime()?.block_on(async {}); // Fails here, where it can be said, and not on the thread.
            thread::spawn(move || network(&plan, &target, sender));
        }
    }
    super::runtime()?.block_on(async {
        let stop = super::stop(duration).map_err(Failure::Runtime)?;
        let session = Session::new(show, writer, message::note, settings);
        session.run(updates, stop).await.map_err(|trouble| match trouble {
            Trouble::Client(error) => Failure::Client(error),
            Trouble::Output(error) => Failure::Output(error),
        })
    })
}

/// The network's thread.
fn network(plan: &ObservePlan, target: &Target, updates: Sender<Update>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let begun = async {
            let servers = Servers::of(target, &plan.connection).await?;
            let request =
                plan.request(servers.namespace()).map_err(|error| ClientError::Named(error.to_string()))?;
            let first = servers.list(&request.allow).await?;
            Ok((servers, first, request))
        };
        match begun.await {
            Ok((servers, first, request)) => fleet::run(servers, first, request, updates).await,
            Err(error) => _ = updates.send(Update { server: usize::MAX, news: News::Failed(error) }).await,
        }
    });
}

fn print_request(plan: &ObservePlan) -> Result<(), Failure> {
    let mut request = plan.request(None)?;
    // Only a command line that names no namespace needs the kubeconfig.
    if let Source::Target(Target::Cluster) = &plan.source
        && plan.request(Some("x"))? != request
    {
        let servers = super::runtime()?.block_on(Servers::of(&Target::Cluster, &plan.connection))?;
        request = plan.request(servers.namespace())?;
    }
    let mut out = Vec::new();
    show::write_request(&request, &mut out);
    super::print(&out);
    Ok(())
}

/// What a verb that asks a question does, on a runtime of its own; a signal ends it.
pub(super) fn ask<T>(question: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    super::runtime()?.block_on(question)
}
