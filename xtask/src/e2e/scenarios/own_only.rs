//! Two subscribers with different filters: each gets every event of its own, and not one of the other's.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Bed, Namespace, stream::pod};

const LIMIT: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 500;

pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    bed.release.with("")?;
    namespace.workload("server", "{app: server}", &["/workload", "serve", "8080"])?;
    let to = format!("{}:8080", namespace.ready("server")?);
    let names = ["one", "two"];
    for name in names {
        namespace.workload(name, "{}", &["/workload", "pause"])?;
        namespace.ready(name)?;
    }
    let streams = names.map(|name| {
        bed.observe(&json!({
            "allow": [{ "namespaces": [namespace.name], "pods": [name] }],
            "kinds": ["EVENT_KIND_ESTABLISHED"],
            "follow": true,
        }))
    });
    for (name, stream) in names.iter().zip(streams) {
        let stream = stream?;
        namespace.seen(&stream, name, &to)?;
        let before = stream.events().len();
        for other in names {
            let told = namespace.exec(other, &["/workload", "storm", &to, &CONNECTIONS.to_string()])?;
            ensure!(told.contains(" 0 failed"), "{told}");
        }
        stream
            .wait("all of its own", LIMIT, |events| (events.len() >= before + CONNECTIONS).then_some(()))?;
        let events = stream.events();
        ensure!(
            events.len() == before + CONNECTIONS,
            "{} events instead of {CONNECTIONS}",
            events.len() - before
        );
        ensure!(events.iter().all(|event| pod(event) == *name), "events of others");
        println!("{name}: {CONNECTIONS} connections, as many events, none of the other's");
    }
    Ok(())
}
