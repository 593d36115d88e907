//! An address that is used again belongs to whoever had it when something happened.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{
    Bed, Namespace,
    stream::{pod, remote_port},
};

const LIMIT: Duration = Duration::from_secs(30);

pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    bed.release.with("")?;
    // Which of them a client asked says which client it was, whatever the agent believes.
    for (name, port) in [("server-a", "8081"), ("server-b", "8082")] {
        namespace.workload(name, "{app: server}", &["/workload", "serve", port])?;
    }
    let (a, b) = (namespace.ready("server-a")?, namespace.ready("server-b")?);
    let stream = bed.observe(&json!({
        "allow": [{ "remotePorts": [8081, 8082] }],
        "kinds": ["EVENT_KIND_CONNECT", "EVENT_KIND_ESTABLISHED", "EVENT_KIND_CLOSE"],
        "follow": true,
    }))?;
    namespace.workload(
        "before",
        "{app: client}",
        &["/workload", "get", &format!("{a}:8081"), "1000000", "20"],
    )?;
    let address = namespace.ready("before")?;
    stream.wait("events of the first pod", LIMIT, |events| {
        events.iter().find(|event| pod(event) == "before").map(|_| ())
    })?;
    namespace.output(&["delete", "pod", "before", "--grace-period=0", "--force"])?;
    bed.cluster.give_address_next(&address)?;
    namespace.workload(
        "after",
        "{app: client}",
        &["/workload", "get", &format!("{b}:8082"), "1000000", "20"],
    )?;
    let again = namespace.ready("after")?;
    ensure!(
        again == address,
        "this scenario needs the address {address} twice, and the second pod has {again}"
    );
    stream.wait("events of the second pod", LIMIT, |events| {
        (events.iter().filter(|event| pod(event) == "after").count() >= 50).then_some(())
    })?;
    let events = stream.events();
    let (mut first, mut second) = (0, 0);
    for event in events.iter().filter(|event| event["socket"]["local"]["ip"] == address.as_str()) {
        match remote_port(event) {
            8081 => {
                ensure!(pod(event) == "before", "what the first pod did is not {}'s: {event}", pod(event));
                first += 1;
            }
            _ => {
                ensure!(pod(event) == "after", "what the second pod did is not {}'s: {event}", pod(event));
                second += 1;
            }
        }
    }
    println!("{address}: {first} events of the first pod, {second} of the second");
    ensure!(first > 0 && second > 0);
    Ok(())
}
