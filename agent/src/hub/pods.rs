//! Conditions on the pod of a request. Pure.

use crate::identity::{Identity, selector::Selector};

/// Everything that is set must hold; the values of one list are alternatives.
#[derive(Clone, Debug, Default)]
pub struct PodCondition {
    /// Namespaces.
    pub namespaces: Vec<String>,
    /// Names.
    pub names: Vec<Name>,
    /// UIDs.
    pub uids: Vec<String>,
    /// Names of containers.
    pub containers: Vec<String>,
    /// Workloads.
    pub workloads: Vec<(WorkloadKind, String)>,
    /// Labels.
    pub labels: Option<Selector>,
}

/// A pod's name, or the beginning of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// This name.
    Exactly(String),
    /// Names that begin so (`cart-*`).
    Prefix(String),
}

impl Name {
    /// Reads `name` or `begin*`.
    pub fn read(text: &str) -> Result<Self, String> {
        let (begin, is_prefix) = match text.strip_suffix('*') {
            Some(begin) => (begin, true),
            None => (text, false),
        };
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if (begin.is_empty() && !is_prefix) || !begin.chars().all(is_name) {
            return Err(format!("{text:?} is no name of a pod, and no beginning of one followed by *"));
        }
        Ok(if is_prefix { Self::Prefix(begin.to_owned()) } else { Self::Exactly(begin.to_owned()) })
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exactly(exactly) => exactly == name,
            Self::Prefix(begin) => name.starts_with(begin.as_str()),
        }
    }
}

/// A kind of workload, as `kubectl` knows it; other kinds by their own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadKind(String);

impl WorkloadKind {
    fn read(text: &str) -> Self {
        let known = match text.to_ascii_lowercase().as_str() {
            "deploy" | "deployment" | "deployments" => "Deployment",
            "rs" | "replicaset" | "replicasets" => "ReplicaSet",
            "sts" | "statefulset" | "statefulsets" => "StatefulSet",
            "ds" | "daemonset" | "daemonsets" => "DaemonSet",
            "job" | "jobs" => "Job",
            "cj" | "cronjob" | "cronjobs" => "CronJob",
            "po" | "pod" | "pods" => "Pod",
            "rc" | "replicationcontroller" | "replicationcontrollers" => "ReplicationController",
            "node" | "nodes" | "no" => "Node",
            _ => return Self(text.to_owned()),
        };
        Self(known.to_owned())
    }
}

/// A workload as a request writes it: `deployment/cart`.
pub fn workload(text: &str) -> Result<(WorkloadKind, String), String> {
    match text.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((WorkloadKind::read(kind), name.to_owned()))
        }
        _ => Err(format!("{text:?} is no workload; write it as kind/name (deployment/cart)")),
    }
}

impl PodCondition {
    /// Whether there is any condition.
    pub fn is_empty(&self) -> bool {
        let Self { namespaces, names, uids, containers, workloads, labels } = self;
        namespaces.is_empty()
            && names.is_empty()
            && uids.is_empty()
            && containers.is_empty()
            && workloads.is_empty()
            && labels.is_none()
    }

    /// Whether it holds. What is not known fulfils nothing.
    pub fn matches(&self, who: &Identity) -> bool {
        let pod = who.pod.as_deref();
        let container = who.container.as_ref().and_then(|container| container.name.as_ref());
        let workload = pod.and_then(|pod| pod.workload.as_ref());
        among(&self.namespaces, pod.map(|pod| &*pod.namespace))
            && (self.names.is_empty()
                || pod.is_some_and(|pod| self.names.iter().any(|name| name.matches(&pod.name))))
            && among(&self.uids, who.pod_uid.as_deref())
            && among(&self.containers, container.map(|(name, _)| &**name))
            && (self.workloads.is_empty()
                || workload.is_some_and(|workload| {
                    self.workloads
                        .iter()
                        .any(|(kind, name)| *kind.0 == *workload.kind && **name == *workload.name)
                }))
            && self
                .labels
                .as_ref()
                .is_none_or(|selector| pod.is_some_and(|pod| selector.matches(&pod.labels)))
    }
}

fn among(list: &[String], value: Option<&str>) -> bool {
    list.is_empty() || value.is_some_and(|value| list.iter().any(|one| one == value))
}
