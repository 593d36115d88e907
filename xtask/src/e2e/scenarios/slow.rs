//! A subscriber that does not read loses its own oldest events, is told how many, and nobody else notices.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Bed, Namespace};

const LIMIT: Duration = Duration::from_secs(90);
const CONNECTIONS: usize = 20_000;

pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    // Short, so that the test is.
    bed.release.with("config: {queue-size: 4096}\n")?;
    namespace.workload("server", "{app: server}", &["/workload", "serve", "8080"])?;
    let server = namespace.ready("server")?;
    namespace.workload("client", "{app: client}", &["/workload", "pause"])?;
    namespace.ready("client")?;
    let request = json!({
        "allow": [{ "namespaces": [namespace.name], "pods": ["client"], "remotePorts": [8080] }],
        "kinds": ["EVENT_KIND_ESTABLISHED"],
        "follow": true,
    });
    let (slow, fast) = (bed.observe(&request)?, bed.observe(&request)?);
    let to = format!("{server}:8080");
    for stream in [&slow, &fast] {
        namespace.seen(stream, "client", &to)?;
    }
    let before = (slow.events().len(), fast.events().len());
    let pause = slow.pause();
    let told = namespace.exec("client", &["/workload", "storm", &to, &CONNECTIONS.to_string()])?;
    ensure!(told.contains(" 0 failed"), "{told}");
    fast.wait("every connection at the fast one", LIMIT, |events| {
        (events.len() >= before.1 + CONNECTIONS).then_some(())
    })?;
    ensure!(
        fast.events().len() == before.1 + CONNECTIONS && fast.lost() == 0,
        "the fast one notices nothing"
    );
    drop(pause);
    slow.wait("what the slow one gets and what it lost to add up", LIMIT, |events| {
        let lost = usize::try_from(slow.lost()).ok()?;
        (events.len() - before.0 + lost >= CONNECTIONS).then_some(())
    })?;
    let (got, lost) = (slow.events().len() - before.0, slow.lost());
    println!(
        "{CONNECTIONS} connections: the fast one got all, the slow one {got} and was told of {lost} lost"
    );
    ensure!(lost > 0, "a queue of 4096 held {CONNECTIONS} events");
    ensure!(got as u64 + lost == CONNECTIONS as u64, "{got} + {lost} is not {CONNECTIONS}");
    let stages: Vec<_> = slow
        .answers()
        .iter()
        .filter(|answer| answer["lost"].is_object())
        .map(|answer| answer["lost"]["stage"].clone())
        .collect();
    ensure!(stages.iter().all(|stage| stage == "LOSS_STAGE_SUBSCRIBER_QUEUE"), "{stages:?}");
    Ok(())
}
