//! Conditions on the way to the API's filters.
//!
//! A filter of the API is a conjunction about one end of a connection, the socket's own. `--from-*` and `--to-*` are
//! about who connects and who is connected to, so they make two alternatives: a client's socket, whose own end is
//! "from", and a server's socket, whose own end is "to". An agent knows only its own end by name; an alternative that
//! would need the other's name is left to the other node's agent.

use proto::v1::{EventKind, Filter, Role, TcpState};

use crate::args::{UsageError, name::Named as _};

/// A pod's name or its beginning, with its namespace where that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodName {
    /// The namespace.
    pub namespace: Option<String>,
    /// As the API takes it: with a star where it is a beginning.
    pub name: String,
}

/// One end of a connection: who connects, or who is connected to.
#[derive(Clone, Debug, Default)]
pub struct End {
    pub namespaces: Vec<String>,
    pub pods: Vec<PodName>,
    pub workloads: Vec<String>,
    pub cidrs: Vec<String>,
    pub ports: Vec<u32>,
}

impl End {
    /// It has a condition that only the agent on that end's node can check.
    fn has_names(&self) -> bool {
        !(self.namespaces.is_empty() && self.pods.is_empty() && self.workloads.is_empty())
    }

    fn is_empty(&self) -> bool {
        !self.has_names() && self.cidrs.is_empty() && self.ports.is_empty()
    }
}

/// Conditions that are collected.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Those that are the API's as they are.
    pub filter: Filter,
    /// Pods of the socket's own end.
    pub pods: Vec<PodName>,
    /// Who connects.
    pub from: End,
    /// Who is connected to.
    pub to: End,
}

impl Draft {
    /// Some condition names a namespace.
    pub fn names_a_namespace(&self) -> bool {
        !self.filter.namespaces.is_empty()
    }

    /// For command lines that name no namespace at all.
    pub fn in_namespace(&mut self, namespace: &str) {
        let pods = [&self.pods, &self.from.pods, &self.to.pods];
        let named = !self.filter.namespaces.is_empty()
            || !self.from.namespaces.is_empty()
            || !self.to.namespaces.is_empty()
            || pods.into_iter().flatten().any(|pod| pod.namespace.is_some());
        if !named {
            self.filter.namespaces.push(namespace.to_owned());
        }
    }

    /// The kinds asked for by name; else those that the conditions are about, where the usual ones are not.
    pub fn kinds(&mut self, events: bool) -> Vec<EventKind> {
        let numbers = std::mem::take(&mut self.filter.kinds);
        if !numbers.is_empty() || !events {
            return EventKind::all().filter(|kind| numbers.contains(&(*kind).into())).collect();
        }
        let filter = &self.filter;
        let mut kinds = Vec::new();
        if !filter.old_states.is_empty() || !filter.new_states.is_empty() {
            kinds.push(EventKind::StateChange);
        }
        if filter.min_latency.is_some() {
            kinds.extend([EventKind::Established, EventKind::ConnectFailed, EventKind::ReadLatency]);
        }
        kinds
    }

    /// The states, for those who ask about sockets and not about changes.
    pub fn take_states(&mut self) -> Vec<i32> {
        std::mem::take(&mut self.filter.new_states)
    }

    /// The alternatives.
    pub fn filters(self) -> Result<Vec<Filter>, UsageError> {
        let Self { filter, pods, from, to } = self;
        let plain = in_pods(vec![filter], &pods, "--pod")?;
        if from.is_empty() && to.is_empty() {
            return Ok(plain);
        }
        let as_client = own_and_other(&plain, Role::Client, &from, &to)?;
        let as_server = own_and_other(&plain, Role::Server, &to, &from)?;
        if as_client.is_none() && as_server.is_none() {
            return Err(UsageError::Value {
                option: "--from-*",
                reason: "with --to-* both ends are named, and an agent knows the names of its own end only; give one \
                         of the two by --from-ip or --to-ip"
                    .to_owned(),
            });
        }
        Ok(as_client.into_iter().chain(as_server).flatten().collect())
    }
}

/// The filters for sockets of this role; nothing where the other end would have to be known by name.
fn own_and_other(
    plain: &[Filter],
    role: Role,
    own: &End,
    other: &End,
) -> Result<Option<Vec<Filter>>, UsageError> {
    if other.has_names() {
        return Ok(None);
    }
    let option = if role == Role::Client { "--from-pod" } else { "--to-pod" };
    let mut filters = in_pods(plain.to_vec(), &own.pods, option)?;
    for filter in &mut filters {
        let asked = filter.role();
        if asked != Role::Unspecified && asked != role {
            // `--role server --from-ip …`: only the other alternative is meant.
            return Ok(Some(Vec::new()));
        }
        filter.role = role.into();
        if filter.namespaces.is_empty() {
            filter.namespaces.clone_from(&own.namespaces);
        } else if !own.namespaces.is_empty() {
            filter.namespaces.retain(|namespace| own.namespaces.contains(namespace));
            if filter.namespaces.is_empty() {
                return Err(UsageError::Exclusive {
                    one: "-n/--namespace",
                    other: "another --from-namespace or --to-namespace",
                });
            }
        }
        filter.workloads.extend(own.workloads.iter().cloned());
        filter.local_cidrs.extend(own.cidrs.iter().cloned());
        filter.local_ports.extend(own.ports.iter().copied());
        filter.remote_cidrs.extend(other.cidrs.iter().cloned());
        filter.remote_ports.extend(other.ports.iter().copied());
    }
    Ok(Some(filters))
}

/// Each filter for each namespace that the pods are in.
fn in_pods(filters: Vec<Filter>, pods: &[PodName], option: &'static str) -> Result<Vec<Filter>, UsageError> {
    if pods.is_empty() {
        return Ok(filters);
    }
    let mut groups: Vec<(Option<&String>, Vec<String>)> = Vec::new();
    for pod in pods {
        let namespace = pod.namespace.as_ref();
        match groups.iter_mut().find(|(known, _)| *known == namespace) {
            Some((_, names)) => names.push(pod.name.clone()),
            None => groups.push((namespace, vec![pod.name.clone()])),
        }
    }
    let mut all = Vec::new();
    for filter in filters {
        for (namespace, names) in &groups {
            let mut filter = filter.clone();
            filter.pods.extend(names.iter().cloned());
            if let Some(namespace) = namespace {
                if !filter.namespaces.is_empty() && !filter.namespaces.contains(namespace) {
                    return Err(UsageError::Value {
                        option,
                        reason: format!(
                            "{namespace} is not among the namespaces of -n ({})",
                            filter.namespaces.join(", ")
                        ),
                    });
                }
                filter.namespaces = vec![(*namespace).clone()];
            }
            all.push(filter);
        }
    }
    Ok(all)
}

/// A state, from either option.
pub fn states(states: &mut Vec<i32>, more: Vec<TcpState>) {
    states.extend(more.into_iter().map(i32::from));
}
