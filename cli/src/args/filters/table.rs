//! The table of filter options: their names, and what each does to a draft.

use std::time::Duration;

use agent_common::kind::EventKind as Made;
use proto::v1::{AddressFamily, CloseCause, ConnectFailureCause, EventKind, RetransmitType, Role, TcpState};

use super::draft::{self, Draft, End, PodName};
use crate::{
    args::{
        name::{self, Named},
        value::{self, Ports, Prefixes, ValueError},
    },
    show::kind_of,
};

/// A filter option.
#[derive(Debug)]
pub struct Entry {
    /// Its long name, with the dashes.
    pub long: &'static str,
    /// Its letter.
    pub short: Option<char>,
    /// Other long names.
    pub aliases: &'static [&'static str],
    /// Its value's name.
    pub takes: Takes,
    /// What `--help` says.
    pub help: &'static str,
    /// It is about events: sockets have no such thing.
    pub events_only: bool,
    /// Adds the condition.
    pub apply: Apply,
}

/// Adds a condition to a draft.
type Apply = fn(&str, &mut Draft) -> Result<(), ValueError>;

/// What an option takes.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// A value of this name.
    Value(&'static str),
    /// Nothing.
    Nothing,
}

impl Entry {
    const fn new(long: &'static str, takes: &'static str, help: &'static str, apply: Apply) -> Self {
        Self { long, short: None, aliases: &[], takes: Takes::Value(takes), help, events_only: false, apply }
    }

    const fn flag(long: &'static str, short: char, help: &'static str, apply: Apply) -> Self {
        Self { takes: Takes::Nothing, short: Some(short), ..Self::new(long, "", help, apply) }
    }

    const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    const fn alias(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    const fn of_events(self) -> Self {
        Self { events_only: true, ..self }
    }

    /// The long name without its dashes.
    pub fn name(&self) -> &'static str {
        self.long.trim_start_matches('-')
    }
}

/// Every option. The order is that of the help.
pub const ENTRIES: &[Entry] = &[
    Entry::new("--namespace", "NAMESPACE", "Only pods of these namespaces", |text, draft| {
        names(text, NAMESPACE, &mut draft.filter.namespaces)
    })
    .short('n'),
    Entry::new("--pod", "[NAMESPACE/]POD", "Only these pods, by name or its beginning", |text, draft| {
        pods(text, &mut draft.pods)
    }),
    Entry::new("--workload", "KIND/NAME", "Only pods of these workloads: deployment/cart", |text, draft| {
        workloads(text, &mut draft.filter.workloads)
    }),
    Entry::new(
        "--selector",
        "SELECTOR",
        "Only pods with these labels: app=cart,tier!=cache",
        |text, draft| selector(text, &mut draft.filter.label_selector),
    )
    .short('l')
    .alias(&["label"]),
    Entry::new("--container", "CONTAINER", "Only these containers", |text, draft| {
        names(text, CONTAINER, &mut draft.filter.containers)
    })
    .short('c'),
    Entry::new("--node", "NODE", "Only these nodes", |text, draft| {
        names(text, NODE, &mut draft.filter.nodes)
    })
    .alias(&["node-name"]),
    Entry::new(
        "--from-namespace",
        "NAMESPACE",
        "Only connections made by pods of these namespaces",
        |text, draft| names(text, NAMESPACE, &mut draft.from.namespaces),
    ),
    Entry::new("--from-pod", "[NAMESPACE/]POD", "Only connections made by these pods", |text, draft| {
        pods(text, &mut draft.from.pods)
    }),
    Entry::new("--from-workload", "KIND/NAME", "Only connections made by these workloads", |text, draft| {
        workloads(text, &mut draft.from.workloads)
    }),
    Entry::new("--from-ip", "CIDR", "Only connections from these addresses", |text, draft| {
        cidrs(text, &mut draft.from.cidrs)
    }),
    Entry::new("--from-port", "PORT", "Only connections from these ports", |text, draft| {
        end_ports(text, &mut draft.from)
    }),
    Entry::new(
        "--to-namespace",
        "NAMESPACE",
        "Only connections to pods of these namespaces",
        |text, draft| names(text, NAMESPACE, &mut draft.to.namespaces),
    ),
    Entry::new("--to-pod", "[NAMESPACE/]POD", "Only connections to these pods", |text, draft| {
        pods(text, &mut draft.to.pods)
    }),
    Entry::new("--to-workload", "KIND/NAME", "Only connections to these workloads", |text, draft| {
        workloads(text, &mut draft.to.workloads)
    }),
    Entry::new("--to-ip", "CIDR", "Only connections to these addresses", |text, draft| {
        cidrs(text, &mut draft.to.cidrs)
    }),
    Entry::new("--to-port", "PORT", "Only connections to these ports", |text, draft| {
        end_ports(text, &mut draft.to)
    }),
    Entry::new(
        "--ip",
        "CIDR",
        "Only these addresses, at either end: 10.0.0.0/8, 192.0.2.7",
        |text, draft| cidrs(text, &mut draft.filter.cidrs),
    ),
    Entry::new("--port", "PORT", "Only these ports, at either end: 80,443", |text, draft| {
        ports(text, &mut draft.filter.ports)
    }),
    Entry::flag("--ipv4", '4', "Only IPv4, v4-mapped addresses included", |_, draft| {
        family(AddressFamily::Ipv4, draft)
    }),
    Entry::flag("--ipv6", '6', "Only IPv6", |_, draft| family(AddressFamily::Ipv6, draft)),
    Entry::new(
        "--role",
        "ROLE",
        "Only this side of connections: client (made them), server",
        |text, draft| {
            draft.filter.role = name::parse::<Role>(text)?.into();
            Ok(())
        },
    ),
    Entry::new("--pid", "PID", "Only these processes, by the node's process ids", |text, draft| {
        draft.filter.pids.extend(value::pids(text)?.0);
        Ok(())
    }),
    Entry::new("--uid", "UID", "Only processes of these users, by number", |text, draft| {
        draft.filter.uids.extend(value::uids(text)?.0);
        Ok(())
    }),
    Entry::new("--comm", "NAME", "Only threads of these names, exactly", |text, draft| {
        draft
            .filter
            .comms
            .extend(value::items(text, "names", "nginx or nginx,redis-server")?.map(str::to_owned));
        Ok(())
    }),
    Entry::new("--netns", "INODE", "Only these network namespaces", |text, draft| {
        inodes(text, &mut draft.filter.netns)
    }),
    Entry::new(
        "--cgroup",
        "CGROUP",
        "Only these cgroups with all below: a path or a v2 id",
        |text, draft| {
            draft
                .filter
                .cgroups
                .extend(value::items(text, "cgroups", "/kubepods.slice or 7312")?.map(str::to_owned));
            Ok(())
        },
    ),
    Entry::new(
        "--kind",
        "KIND",
        "Kinds of events: retransmit,reset; \"all\" for every kind",
        |text, draft| {
            if text == "all" {
                // Those that agents make: an agent refuses the others, rather than never to send one.
                draft.filter.kinds.extend(Made::ALL.map(|kind| i32::from(kind_of(kind))));
                return Ok(());
            }
            choices::<EventKind>(text, &mut draft.filter.kinds)
        },
    )
    .short('k')
    .of_events(),
    Entry::new("--state", "STATE", "States: of sockets; of events, the one entered", |text, draft| {
        let wanted = value::items(text, "states", "established or syn-sent,close-wait")?;
        let wanted: Vec<TcpState> = wanted.map(name::parse).collect::<Result<_, _>>()?;
        draft::states(&mut draft.filter.new_states, wanted);
        Ok(())
    }),
    Entry::new("--old-state", "STATE", "Only changes from these states", |text, draft| {
        choices::<TcpState>(text, &mut draft.filter.old_states)
    })
    .of_events(),
    Entry::new(
        "--close-cause",
        "CAUSE",
        "Only connections that ended so: rst-received, timeout",
        |text, draft| choices::<CloseCause>(text, &mut draft.filter.close_causes),
    )
    .of_events(),
    Entry::new(
        "--failure-cause",
        "CAUSE",
        "Only connects that failed so: refused, timed-out",
        |text, draft| choices::<ConnectFailureCause>(text, &mut draft.filter.failure_causes),
    )
    .of_events(),
    Entry::new("--drop-reason", "REASON", "Only packets dropped for this: NETFILTER_DROP", |text, draft| {
        let reasons = value::items(text, "reasons", "NETFILTER_DROP or NO_SOCKET,TCP_OVERWINDOW")?;
        draft.filter.drop_reasons.extend(reasons.map(str::to_uppercase));
        Ok(())
    })
    .of_events(),
    Entry::new("--retransmit-type", "TYPE", "Only retransmits of this type: rto, tlp, syn", |text, draft| {
        choices::<RetransmitType>(text, &mut draft.filter.retransmit_types)
    })
    .of_events(),
    Entry::new(
        "--min-latency",
        "DURATION",
        "Only connects and reads that took so long: 5ms",
        |text, draft| {
            draft.filter.min_latency = Some(span(text)?);
            Ok(())
        },
    )
    .of_events(),
    Entry::new("--min-duration", "DURATION", "Only connections that lasted so long: 10s", |text, draft| {
        draft.filter.min_duration = Some(span(text)?);
        Ok(())
    })
    .of_events(),
    Entry::new("--min-bytes", "SIZE", "Only connections with so much payload: 1MiB", |text, draft| {
        draft.filter.min_bytes = Some(value::bytes(text)?);
        Ok(())
    })
    .of_events(),
];

const NAMESPACE: &str = "a namespace's name";
const CONTAINER: &str = "a container's name";
const NODE: &str = "a node's name";
const POD: &str = "a pod's name";

/// DNS-1123 as Kubernetes has it for its objects: lower case, digits, dashes, dots.
fn is_name(text: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = text.as_bytes().first().is_some_and(inner) && text.as_bytes().last().is_some_and(inner);
    ends && text.len() <= 253 && text.bytes().all(|byte| inner(&byte) || byte == b'-' || byte == b'.')
}

fn not_a_name(text: &str, what: &'static str) -> ValueError {
    let advice = "names have lower-case letters, digits, dashes and dots";
    ValueError::NotAName { text: text.to_owned(), what, advice }
}

fn names(text: &str, what: &'static str, into: &mut Vec<String>) -> Result<(), ValueError> {
    for name in value::items(text, "names", "shop or shop,billing")? {
        if !is_name(name) {
            return Err(not_a_name(name, what));
        }
        into.push(name.to_owned());
    }
    Ok(())
}

fn pods(text: &str, into: &mut Vec<PodName>) -> Result<(), ValueError> {
    for item in value::items(text, "pods", "cart or shop/cart,shop/redis")? {
        let (namespace, name) = match item.split_once('/') {
            Some((namespace, _)) if !is_name(namespace) => return Err(not_a_name(namespace, NAMESPACE)),
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, item),
        };
        let beginning = name.strip_suffix('*').unwrap_or(name);
        // The beginning of a name may end in a dash, and `shop/` is all of a namespace.
        let as_name = beginning.trim_end_matches(['-', '.']);
        let all = beginning.is_empty() && namespace.is_some();
        if !all && !is_name(as_name) {
            return Err(not_a_name(name, POD));
        }
        into.push(PodName { namespace, name: format!("{beginning}*") });
    }
    Ok(())
}

fn workloads(text: &str, into: &mut Vec<String>) -> Result<(), ValueError> {
    for item in value::items(text, "workloads", "deployment/cart")? {
        let advice = "write it as deployment/cart";
        let wrong = || ValueError::NotAName { text: item.to_owned(), what: "a workload", advice };
        let (kind, name) = item.split_once('/').ok_or_else(wrong)?;
        let is_kind = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !is_kind || !is_name(name) {
            return Err(wrong());
        }
        into.push(item.to_owned());
    }
    Ok(())
}

/// Several selectors must all hold, as the parts of one. The server reads them.
fn selector(text: &str, into: &mut String) -> Result<(), ValueError> {
    let text = text.trim();
    if text.is_empty() || text.starts_with(',') || text.ends_with(',') {
        let advice = "write it as app=cart or app=cart,tier!=cache";
        return Err(ValueError::NotAName { text: text.to_owned(), what: "a label selector", advice });
    }
    if !into.is_empty() {
        into.push(',');
    }
    into.push_str(text);
    Ok(())
}

fn cidrs(text: &str, into: &mut Vec<String>) -> Result<(), ValueError> {
    into.extend(text.parse::<Prefixes>()?.0.iter().map(ToString::to_string));
    Ok(())
}

fn ports(text: &str, into: &mut Vec<u32>) -> Result<(), ValueError> {
    into.extend(text.parse::<Ports>()?.0.into_iter().map(u32::from));
    Ok(())
}

fn end_ports(text: &str, end: &mut End) -> Result<(), ValueError> {
    ports(text, &mut end.ports)
}

fn inodes(text: &str, into: &mut Vec<u32>) -> Result<(), ValueError> {
    const WHAT: &str = "an inode (a number, as in readlink /proc/self/ns/net)";
    for item in value::items(text, "inodes", "4026531840")? {
        let inode = value::digits(item).filter(|inode| *inode > 0);
        into.push(inode.ok_or_else(|| ValueError::NotANumber { text: item.to_owned(), what: WHAT })?);
    }
    Ok(())
}

fn family(family: AddressFamily, draft: &mut Draft) -> Result<(), ValueError> {
    if ![AddressFamily::Unspecified, family].contains(&draft.filter.family()) {
        let advice = "leave both out to see both".to_owned();
        return Err(ValueError::Unknown { what: "address is both", text: "-4 -6".to_owned(), advice });
    }
    draft.filter.family = family.into();
    Ok(())
}

fn choices<E: Named + Into<i32>>(text: &str, into: &mut Vec<i32>) -> Result<(), ValueError> {
    for item in value::items(text, E::WHAT, "one or several with commas")? {
        into.push(name::parse::<E>(item)?.into());
    }
    Ok(())
}

fn span(text: &str) -> Result<prost_types::Duration, ValueError> {
    let duration: Duration = value::duration(text)?;
    duration.try_into().map_err(|_| ValueError::NotADuration(text.to_owned()))
}
