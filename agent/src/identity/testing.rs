//! Made-up pods and events, for tests.

use std::net::{IpAddr, Ipv4Addr};

use super::{ContainerKind, Workload, pods::Seen};
use crate::event::{Comm, Event, Kinds, Process, Relation};

/// A moment in 2025, in nanoseconds.
pub const EPOCH_NS: u64 = 1_750_000_000_000_000_000;

/// A UID.
pub fn uid(number: u32) -> String {
    format!("7ffde41a-fa85-4b01-8023-{number:012x}")
}

/// A container's id.
pub fn container_id(number: u32) -> String {
    format!("{number:064x}")
}

/// An address of a pod.
pub fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 | number).into()
}

/// A pod with one container `app`, with UID, id and address made of a number.
pub fn seen(namespace: &str, name: &str, number: u32) -> Seen {
    Seen {
        namespace: namespace.into(),
        name: name.into(),
        uid: uid(number).into(),
        labels: [("app", name)].into_iter().collect(),
        workload: Some(Workload { kind: "Pod".into(), name: name.into(), derived: false }),
        containers: vec![(container_id(number).into(), "app".into(), ContainerKind::Main)],
        addresses: vec![address(number)],
        since_wall_ns: Some(EPOCH_NS),
        ..Seen::default()
    }
}

/// A pod as clusters have them: of a Deployment, with a sidecar, seven labels and two addresses.
pub fn typical(number: u32) -> Seen {
    let name = format!("cart-service-7d9f8c6b5-{number:05x}");
    let mut seen = seen("team-checkout", &name, number);
    seen.labels = [
        ("app.kubernetes.io/name", "cart-service"),
        ("app.kubernetes.io/instance", "cart-service-production"),
        ("app.kubernetes.io/version", "4.17.2"),
        ("app.kubernetes.io/part-of", "checkout"),
        ("app.kubernetes.io/managed-by", "Helm"),
        ("pod-template-hash", "7d9f8c6b5"),
        ("topology.kubernetes.io/zone", "eu-central-1a"),
    ]
    .into_iter()
    .collect();
    seen.workload = Some(Workload { kind: "Deployment".into(), name: "cart-service".into(), derived: true });
    let proxy = container_id(number | 1 << 31).into();
    seen.containers.push((proxy, "istio-proxy".into(), ContainerKind::Sidecar));
    seen.addresses.push(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, (number >> 16) as u16, number as u16]));
    seen
}

/// An event of which nothing is known but its time.
pub fn event() -> Event {
    Event { kinds: Kinds::default(), boot_ns: 1_000_000_000_000, wall_ns: EPOCH_NS, ..Event::BLANK }
}

/// A process that began `start_ns` after the machine.
pub fn process(pid: u32, start_ns: Option<u64>) -> Process {
    Process { pid, tid: pid, uid: 0, comm: Comm([0; 16]), mntns: None, start_ns, relation: Relation::Owner }
}
