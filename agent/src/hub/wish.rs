//! What a subscriber wants: an `ObserveRequest`, checked. Pure.

use std::{collections::BTreeSet, time::Duration};

use proto::v1::{self, ObserveRequest};

use super::{
    condition::{Condition, Rest},
    field::{BadField, each},
    pods::{self, PodCondition},
};
use crate::{
    event::{CloseHow, EventKind, FailureCause, Family, Kinds, RetransmitType, Role, TcpState},
    filter::{Conjunction, Prefix},
    identity::selector::Selector,
};

/// The default of `max_batch_delay`, and its limit.
const BATCH_DELAY: Duration = Duration::from_millis(50);
/// The longest list of filters, and the longest list of values in one of them: a request is bounded in time too.
const MOST_FILTERS: usize = 64;
const MOST_VALUES: usize = 4096;

/// What a subscriber wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Alternatives that let an event in; empty lets everything in.
    pub allow: Vec<Condition>,
    /// Alternatives that keep it out.
    pub deny: Vec<Condition>,
    /// Kinds of events.
    pub kinds: Kinds,
    /// What of the past.
    pub past: Past,
    /// Whether to go on with what happens from now on.
    pub follow: bool,
    /// The end of the stream, nanoseconds since the Unix epoch.
    pub until_ns: Option<u64>,
    /// How long events may be held back for a batch.
    pub delay: Duration,
}

/// What of the history a subscriber wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The newest so many.
    pub last: Option<u64>,
    /// The oldest so many.
    pub first: Option<u64>,
    /// Nothing older, nanoseconds since the Unix epoch.
    pub since_ns: Option<u64>,
    /// Nothing newer.
    pub until_ns: Option<u64>,
    /// What came after this.
    pub resume: Option<Token>,
}

impl Past {
    /// Whether anything of the history is wanted.
    pub fn is_wanted(&self) -> bool {
        *self != Self::default()
    }
}

/// Where a stream that was interrupted can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Tells this run of the agent from others.
    pub epoch: u64,
    /// The subscription.
    pub subscription: u64,
    /// The last event that was received.
    pub seq: u64,
}

impl Token {
    /// 24 bytes, little-endian.
    pub fn bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (part, value) in bytes.chunks_exact_mut(8).zip([self.epoch, self.subscription, self.seq]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let words: &[[u8; 8]] = bytes.as_chunks().0;
        match (words, bytes.len()) {
            ([epoch, subscription, seq], 24) => Some(Self {
                epoch: u64::from_le_bytes(*epoch),
                subscription: u64::from_le_bytes(*subscription),
                seq: u64::from_le_bytes(*seq),
            }),
            _ => None,
        }
    }
}

impl Wish {
    /// Checks a request.
    ///
    /// # Errors
    /// The first field that cannot be meant.
    pub fn read(request: &ObserveRequest) -> Result<Self, BadField> {
        let ObserveRequest {
            allow,
            deny,
            kinds,
            reports,
            packet_trace,
            last,
            first,
            since,
            until,
            follow,
            resume_token,
            // The stream's encoder reads the mask.
            field_mask: _,
            encoding,
            max_batch_delay,
            join,
            explain,
        } = request;
        if !reports.is_empty() {
            return Err(BadField::new("reports", "this agent makes no reports"));
        }
        if packet_trace.is_some() {
            return Err(BadField::new("packet_trace", "this agent follows no packets"));
        }
        if *join || *explain {
            let which = if *join { "join" } else { "explain" };
            return Err(BadField::new(which, "only a collector can do that"));
        }
        let since_ns = since.as_ref().map(|time| instant("since", time)).transpose()?;
        let until_ns = until.as_ref().map(|time| instant("until", time)).transpose()?;
        let resume = match resume_token.as_slice() {
            [] => None,
            bytes => Some(
                Token::read(bytes).ok_or_else(|| BadField::new("resume_token", "is none of this API's"))?,
            ),
        };
        let past = Past { last: *last, first: *first, since_ns, until_ns, resume };
        contradictions(&past, *follow)?;
        let only_past = (past.last.is_some() || past.first.is_some() || past.since_ns.is_some())
            || (past.until_ns.is_some() && past.resume.is_none());
        let kinds = each("kinds", kinds, |kind| kind_of(*kind))?;
        let delay = match max_batch_delay {
            None => BATCH_DELAY,
            Some(delay) => match length("max_batch_delay", delay)? {
                Duration::ZERO => BATCH_DELAY,
                delay if delay <= Duration::from_secs(10) => delay,
                _ => return Err(BadField::new("max_batch_delay", "at most 10 s")),
            },
        };
        v1::Encoding::try_from(*encoding)
            .map_err(|_| BadField::new("encoding", format!("{encoding} is no encoding")))?;
        Ok(Self {
            allow: conditions("allow", allow)?,
            deny: conditions("deny", deny)?,
            kinds: if kinds.is_empty() { default_kinds() } else { kinds.into_iter().collect() },
            follow: *follow || !only_past,
            until_ns,
            past,
            delay,
        })
    }
}

impl Wish {
    /// Checks a request for sockets: conditions on events fit none.
    pub fn of_sockets(request: &v1::ListSocketsRequest) -> Result<Self, BadField> {
        let request = ObserveRequest {
            allow: request.allow.clone(),
            deny: request.deny.clone(),
            ..ObserveRequest::default()
        };
        Self::read(&request)
    }

    /// The namespaces that are asked for; `None` where anything outside of some is asked for, too.
    pub fn namespaces(&self) -> Option<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        for condition in &self.allow {
            let pods = condition.pods.as_ref().filter(|pods| !pods.namespaces.is_empty())?;
            all.extend(pods.namespaces.iter().cloned());
        }
        (!all.is_empty()).then_some(all)
    }

    /// Leaves only the pods of these namespaces.
    pub fn only_namespaces(&mut self, namespaces: &BTreeSet<String>) {
        if self.allow.is_empty() {
            self.allow.push(Condition::default());
        }
        self.allow.retain_mut(|condition| {
            let pods = condition.pods.get_or_insert_default();
            if pods.namespaces.is_empty() {
                pods.namespaces = namespaces.iter().cloned().collect();
            } else {
                pods.namespaces.retain(|namespace| namespaces.contains(namespace));
            }
            !pods.namespaces.is_empty()
        });
        if self.allow.is_empty() {
            // Nothing that was asked for may be seen: a namespace that no pod can be in.
            let pods = PodCondition { namespaces: vec![String::new()], ..PodCondition::default() };
            self.allow.push(Condition { pods: Some(pods), ..Condition::default() });
        }
    }
}

/// The kinds of a request that names none, of those that there are.
pub fn default_kinds() -> Kinds {
    [
        EventKind::Connect,
        EventKind::ConnectFailed,
        EventKind::Accept,
        EventKind::Close,
        EventKind::Retransmit,
        EventKind::Reset,
        EventKind::SocketError,
    ]
    .into_iter()
    .collect()
}

fn contradictions(past: &Past, follow: bool) -> Result<(), BadField> {
    let Past { last, first, since_ns, until_ns, resume } = past;
    let span = since_ns.is_some() || until_ns.is_some();
    if first.is_some() && (last.is_some() || follow) {
        return Err(BadField::new("first", "does not go with last or follow"));
    }
    if last.is_some() && span {
        return Err(BadField::new("last", "does not go with since or until"));
    }
    if until_ns.is_some() && follow {
        return Err(BadField::new("until", "does not go with follow"));
    }
    if let (Some(since), Some(until)) = (since_ns, until_ns)
        && since > until
    {
        return Err(BadField::new("until", "is before since"));
    }
    if resume.is_some() && (last.is_some() || first.is_some() || since_ns.is_some()) {
        return Err(BadField::new("resume_token", "does not go with first, last or since"));
    }
    Ok(())
}

fn instant(path: &str, time: &prost_types::Timestamp) -> Result<u64, BadField> {
    let refuse = || BadField::new(path, "is no time since 1970");
    let seconds = u64::try_from(time.seconds).map_err(|_| refuse())?;
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000).ok_or_else(refuse)?;
    seconds.checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(nanos.into())).ok_or_else(refuse)
}

fn length(path: &str, duration: &prost_types::Duration) -> Result<Duration, BadField> {
    Duration::try_from(*duration).map_err(|_| BadField::new(path, "is negative, or no duration"))
}

fn kind_of(number: i32) -> Result<EventKind, String> {
    let kind = v1::EventKind::try_from(number).map_err(|_| format!("{number} is no kind"))?;
    Ok(match kind {
        v1::EventKind::StateChange => EventKind::StateChange,
        v1::EventKind::Connect => EventKind::Connect,
        v1::EventKind::Established => EventKind::Established,
        v1::EventKind::ConnectFailed => EventKind::ConnectFailed,
        v1::EventKind::Accept => EventKind::Accept,
        v1::EventKind::Close => EventKind::Close,
        v1::EventKind::Listen => EventKind::Listen,
        v1::EventKind::Closing => EventKind::Closing,
        v1::EventKind::Retransmit => EventKind::Retransmit,
        v1::EventKind::Reset => EventKind::Reset,
        v1::EventKind::SocketError => EventKind::SocketError,
        other => return Err(format!("this agent makes no {}", other.as_str_name())),
    })
}

/// Checks a list of filters.
pub fn conditions(path: &str, filters: &[v1::Filter]) -> Result<Vec<Condition>, BadField> {
    if filters.len() > MOST_FILTERS {
        return Err(BadField::new(path, format!("{} filters; at most {MOST_FILTERS}", filters.len())));
    }
    let read = |(index, filter)| condition(&format!("{path}[{index}]"), filter);
    filters.iter().enumerate().map(read).collect()
}

fn condition(path: &str, filter: &v1::Filter) -> Result<Condition, BadField> {
    let v1::Filter {
        namespaces,
        pods,
        pod_uids,
        containers,
        workloads,
        label_selector,
        nodes,
        cgroups,
        netns,
        mount_namespaces,
        pids,
        uids,
        comms,
        family,
        local_cidrs,
        remote_cidrs,
        cidrs,
        local_ports,
        remote_ports,
        ports,
        role,
        kinds,
        old_states,
        new_states,
        close_causes,
        failure_causes,
        drop_reasons,
        retransmit_types,
        min_latency,
        min_duration,
        min_bytes,
        remote_namespaces,
        remote_pods,
        remote_workloads,
        remote_services,
    } = filter;
    let at = |field: &str| format!("{path}.{field}");
    let lengths = [
        ("netns", netns.len()),
        ("pids", pids.len()),
        ("uids", uids.len()),
        ("pods", pods.len()),
        ("namespaces", namespaces.len()),
        ("pod_uids", pod_uids.len()),
        ("cgroups", cgroups.len()),
        ("local_ports", local_ports.len()),
        ("remote_ports", remote_ports.len()),
        ("ports", ports.len()),
        ("local_cidrs", local_cidrs.len()),
        ("remote_cidrs", remote_cidrs.len()),
        ("cidrs", cidrs.len()),
        ("comms", comms.len()),
    ];
    if let Some((field, length)) = lengths.into_iter().find(|(_, length)| *length > MOST_VALUES) {
        return Err(BadField::new(at(field), format!("{length} values; at most {MOST_VALUES}")));
    }
    for (field, given) in [
        ("remote_namespaces", !remote_namespaces.is_empty()),
        ("remote_pods", !remote_pods.is_empty()),
        ("remote_workloads", !remote_workloads.is_empty()),
        ("remote_services", !remote_services.is_empty()),
    ] {
        if given {
            return Err(BadField::new(at(field), "only a collector knows who the peer is"));
        }
    }
    if !drop_reasons.is_empty() {
        return Err(BadField::new(at("drop_reasons"), "this agent makes no such events"));
    }
    let family = match v1::AddressFamily::try_from(*family) {
        Ok(v1::AddressFamily::Unspecified) => None,
        Ok(v1::AddressFamily::Ipv4) => Some(Family::V4),
        Ok(v1::AddressFamily::Ipv6) => Some(Family::V6),
        Err(_) => return Err(BadField::new(at("family"), format!("{family} is no family"))),
    };
    let role = match v1::Role::try_from(*role) {
        Ok(v1::Role::Unspecified) => None,
        Ok(v1::Role::Client) => Some(Role::Client),
        Ok(v1::Role::Server) => Some(Role::Server),
        Err(_) => return Err(BadField::new(at("role"), format!("{role} is no role"))),
    };
    let kernel = Conjunction {
        kinds: each(&at("kinds"), kinds, |kind| kind_of(*kind))?,
        netns: each(&at("netns"), netns, |inode| inode_of(*inode))?,
        cgroups: Vec::new(),
        mntns: each(&at("mount_namespaces"), mount_namespaces, |inode| inode_of(*inode))?,
        pids: each(&at("pids"), pids, |pid| {
            if *pid == 0 || *pid > i32::MAX as u32 {
                Err(format!("{pid} is no process id"))
            } else {
                Ok(*pid)
            }
        })?,
        uids: uids.clone(),
        family,
        local_ports: each(&at("local_ports"), local_ports, |port| port_of(*port))?,
        remote_ports: each(&at("remote_ports"), remote_ports, |port| port_of(*port))?,
        local_prefixes: each(&at("local_cidrs"), local_cidrs, |cidr| cidr.parse::<Prefix>())?,
        remote_prefixes: each(&at("remote_cidrs"), remote_cidrs, |cidr| cidr.parse::<Prefix>())?,
        pinned_cgroup: false,
        pinned_mntns: false,
    };
    let rest = Rest {
        nodes: nodes.clone(),
        cgroups: each(&at("cgroups"), cgroups, |cgroup| cgroup_of(cgroup))?,
        comms: comms.iter().map(|comm| comm.clone().into_bytes()).collect(),
        either_ports: each(&at("ports"), ports, |port| port_of(*port))?,
        either_prefixes: each(&at("cidrs"), cidrs, |cidr| cidr.parse::<Prefix>())?,
        role,
        old_states: each(&at("old_states"), old_states, |state| state_of(*state))?,
        new_states: each(&at("new_states"), new_states, |state| state_of(*state))?,
        close_causes: each(&at("close_causes"), close_causes, |cause| close_of(*cause))?,
        failure_causes: each(&at("failure_causes"), failure_causes, |cause| failure_of(*cause))?,
        retransmit_types: each(&at("retransmit_types"), retransmit_types, |kind| retransmit_of(*kind))?,
        min_latency: min_latency.as_ref().map(|least| length(&at("min_latency"), least)).transpose()?,
        min_duration: min_duration.as_ref().map(|least| length(&at("min_duration"), least)).transpose()?,
        min_bytes: *min_bytes,
    };
    let label_selector = match label_selector.as_str() {
        "" => None,
        text => Some(text.parse::<Selector>().map_err(|error| BadField::new(at("label_selector"), error))?),
    };
    let pods = PodCondition {
        namespaces: namespaces.clone(),
        names: each(&at("pods"), pods, |name| pods::Name::read(name))?,
        uids: pod_uids.clone(),
        containers: containers.clone(),
        workloads: each(&at("workloads"), workloads, |text| pods::workload(text))?,
        labels: label_selector,
    };
    Ok(Condition { kernel, pods: (!pods.is_empty()).then_some(pods), rest })
}

fn inode_of(inode: u32) -> Result<u32, &'static str> {
    if inode == 0 { Err("0 is no inode") } else { Ok(inode) }
}

fn port_of(port: u32) -> Result<u16, String> {
    match u16::try_from(port) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(format!("{port} is no port (1 to 65535)")),
    }
}

fn cgroup_of(text: &str) -> Result<CgroupName, String> {
    if let Ok(id) = text.parse::<u64>() {
        return if id == 0 { Err("0 is no cgroup".to_owned()) } else { Ok(CgroupName::Id(id)) };
    }
    if text.starts_with('/') {
        return Ok(CgroupName::Path(format!("/{}", text.trim_matches('/'))));
    }
    Err(format!("{text:?} is neither an id nor a path from the root (/kubepods.slice/…)"))
}

/// A cgroup as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupName {
    /// Its v2 id.
    Id(u64),
    /// Its path from the root of the hierarchy.
    Path(String),
}

fn state_of(number: i32) -> Result<TcpState, String> {
    let refuse = || format!("{number} is no state");
    v1::TcpState::try_from(number).map_err(|_| refuse())?;
    u8::try_from(number).ok().and_then(TcpState::from_number).ok_or_else(refuse)
}

fn close_of(number: i32) -> Result<CloseHow, String> {
    Ok(match v1::CloseCause::try_from(number).map_err(|_| format!("{number} is no cause"))? {
        v1::CloseCause::Unspecified => CloseHow::Unknown,
        v1::CloseCause::Fin => CloseHow::Fin,
        v1::CloseCause::RstSent => CloseHow::RstSent,
        v1::CloseCause::RstReceived => CloseHow::RstReceived,
        v1::CloseCause::Timeout => CloseHow::Timeout,
        v1::CloseCause::Abort => CloseHow::Abort,
        v1::CloseCause::Error => CloseHow::Error,
    })
}

fn retransmit_of(number: i32) -> Result<RetransmitType, String> {
    use v1::RetransmitType as Type;
    Ok(match Type::try_from(number).map_err(|_| format!("{number} is no type"))? {
        Type::Unspecified => return Err("0 is no type".to_owned()),
        Type::Syn => RetransmitType::Syn,
        Type::SynAck => RetransmitType::SynAck,
        Type::Fast => RetransmitType::Fast,
        Type::Rto => RetransmitType::Rto,
        Type::LossRecovery => RetransmitType::LossRecovery,
        Type::Tlp => RetransmitType::Tlp,
        Type::Other => RetransmitType::Other,
    })
}

fn failure_of(number: i32) -> Result<FailureCause, String> {
    use v1::ConnectFailureCause as Cause;
    Ok(match Cause::try_from(number).map_err(|_| format!("{number} is no cause"))? {
        Cause::Unspecified => FailureCause::Unknown,
        Cause::Refused => FailureCause::Refused,
        Cause::TimedOut => FailureCause::TimedOut,
        Cause::HostUnreachable => FailureCause::HostUnreachable,
        Cause::NetUnreachable => FailureCause::NetUnreachable,
        Cause::Reset => FailureCause::Reset,
        Cause::NoLocalPort => FailureCause::NoLocalPort,
        Cause::Denied => FailureCause::Denied,
        Cause::Abandoned => FailureCause::Abandoned,
        Cause::Other => FailureCause::Other,
    })
}
