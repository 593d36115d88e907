//! A pod as the API server writes it, read as far as it is used: the rest is skipped while parsing.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::Deserialize;

use crate::identity::{
    ContainerKind,
    labels::Labels,
    pods::Seen,
    workload::{Owner, workload},
};

/// A pod in a watch.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Written")]
pub(super) struct Watched {
    /// Name, UID and version: what the watcher itself needs.
    metadata: ObjectMeta,
    rest: Written,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    namespace: String,
    name: String,
    uid: String,
    resource_version: Option<String>,
    labels: BTreeMap<String, String>,
    owner_references: Vec<OwnerReference>,
    annotations: Annotations,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct OwnerReference {
    kind: String,
    name: String,
    controller: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations {
    /// A static pod's own UID, on the mirror that the API server has of it.
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    host_network: bool,
    containers: Vec<Named>,
    init_containers: Vec<InitContainer>,
    ephemeral_containers: Vec<Named>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct InitContainer {
    name: String,
    restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
    start_time: Option<Time>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
    ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    state: ContainerState,
    last_state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Terminated {
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    finished_at: Option<Time>,
}

impl From<Written> for Watched {
    fn from(rest: Written) -> Self {
        let Metadata { namespace, name, uid, resource_version, .. } = &rest.metadata;
        let metadata = ObjectMeta {
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: Some(uid.clone()),
            resource_version: resource_version.clone(),
            ..ObjectMeta::default()
        };
        Self { metadata, rest }
    }
}

impl k8s_openapi::Resource for Watched {
    const API_VERSION: &'static str = "v1";
    const GROUP: &'static str = "";
    const KIND: &'static str = "Pod";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "pods";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for Watched {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Watched {
    /// What the store keeps of it; nothing of a pod without a UID or name, which no server writes.
    pub(super) fn seen(self) -> Option<Seen> {
        let Written { metadata, spec, status } = self.rest;
        let uid = metadata.annotations.mirror.unwrap_or(metadata.uid);
        if uid.is_empty() || metadata.name.is_empty() {
            return None;
        }
        let owners: Vec<_> = metadata
            .owner_references
            .iter()
            .map(|owner| Owner { kind: &owner.kind, name: &owner.name, controller: owner.controller })
            .collect();
        let labels: Labels = metadata.labels.into_iter().collect();
        let workload = workload(&metadata.name, &owners, &labels);
        Some(Seen {
            host_network: spec.host_network,
            workload: Some(workload),
            containers: containers(&spec, &status),
            addresses: addresses(&status),
            since_wall_ns: status.start_time.as_ref().and_then(nanoseconds),
            over_wall_ns: over(&status),
            namespace: metadata.namespace.into(),
            name: metadata.name.into(),
            uid: uid.into(),
            labels,
        })
    }
}

/// The containers that have an id, and those that they replaced: their last events come after them. Kubelets
/// tell of a new one a second or two late; where a pod has only one there is no doubt, and it stands without id.
fn containers(spec: &Spec, status: &Status) -> Vec<(Box<str>, Box<str>, ContainerKind)> {
    let init = |name: &str| {
        let restarted = spec
            .init_containers
            .iter()
            .any(|container| container.name == name && container.restart_policy.as_deref() == Some("Always"));
        if restarted { ContainerKind::Sidecar } else { ContainerKind::Init }
    };
    let mut found: Vec<(Box<str>, Box<str>, ContainerKind)> = Vec::new();
    for (statuses, kind) in [
        (&status.container_statuses, Some(ContainerKind::Main)),
        (&status.init_container_statuses, None),
        (&status.ephemeral_container_statuses, Some(ContainerKind::Ephemeral)),
    ] {
        for container in statuses {
            let ended = |state: &ContainerState| state.terminated.as_ref()?.container_id.clone();
            let before = ended(&container.last_state);
            for id in [container.container_id.clone(), ended(&container.state), before].into_iter().flatten()
            {
                // `containerd://<id>`
                let id = id.split_once("://").map_or(&*id, |(_, id)| id);
                if !id.is_empty() && found.iter().all(|(known, ..)| **known != *id) {
                    let kind = kind.unwrap_or_else(|| init(&container.name));
                    found.push((id.into(), container.name.as_str().into(), kind));
                }
            }
        }
    }
    if let [only] = &spec.containers[..]
        && spec.init_containers.is_empty()
        && spec.ephemeral_containers.is_empty()
    {
        found.push((Box::default(), only.name.as_str().into(), ContainerKind::Main));
    }
    found
}

fn addresses(status: &Status) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    let all = status.pod_ips.iter().map(|ip| &ip.ip).chain(&status.pod_ip);
    for address in all.filter_map(|ip| ip.parse().ok()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// When the last container of a pod that is over had ended for certain: times are cut to the second. Where no
/// container says so the pod's address is nobody's: it may have been given to another long ago.
fn over(status: &Status) -> Option<u64> {
    if !matches!(&*status.phase, "Succeeded" | "Failed") {
        return None;
    }
    let statuses = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .chain(&status.ephemeral_container_statuses);
    let ends = statuses.filter_map(|container| container.state.terminated.as_ref()?.finished_at.as_ref());
    Some(ends.filter_map(nanoseconds).max().map_or(0, |end| end + 1_000_000_000))
}

fn nanoseconds(time: &Time) -> Option<u64> {
    u64::try_from(time.0.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::Watched;
    use crate::identity::{ContainerKind, pods::Seen};

    fn seen(json: &str) -> Seen {
        serde_json::from_str::<Watched>(json).unwrap().seen().unwrap()
    }

    #[test]
    fn a_pod_is_read_as_far_as_it_is_used() {
        let seen = seen(
            r#"{"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "cart-7d9f-x2p", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "labels": {"app": "cart", "pod-template-hash": "7d9f"}, "annotations": {"a": "b"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-7d9f",
                    "uid": "r", "controller": true}],
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}]},
            "spec": {"nodeName": "n", "containers": [{"name": "app", "image": "x"}],
                "initContainers": [{"name": "setup"}, {"name": "proxy", "restartPolicy": "Always"}]},
            "status": {"phase": "Running", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}],
                "startTime": "2025-06-15T15:06:40Z",
                "containerStatuses": [{"name": "app", "containerID": "containerd://new",
                    "state": {"running": {"startedAt": "2025-06-15T15:06:41Z"}},
                    "lastState": {"terminated": {"containerID": "containerd://old", "exitCode": 1}}}],
                "initContainerStatuses": [
                    {"name": "setup", "containerID": "containerd://set", "state": {"terminated": {"exitCode": 0}}},
                    {"name": "proxy", "containerID": "cri-o://pro", "state": {}},
                    {"name": "late", "state": {"waiting": {}}}],
                "ephemeralContainerStatuses": [{"name": "debugger", "containerID": "docker://dbg"}]}}"#,
        );
        assert_eq!((&*seen.namespace, &*seen.name, &*seen.uid), ("shop", "cart-7d9f-x2p", "u"));
        let workload = seen.workload.unwrap();
        assert_eq!((&*workload.kind, &*workload.name, workload.derived), ("Deployment", "cart", true));
        let containers: Vec<_> =
            seen.containers.iter().map(|(id, name, kind)| (&**id, &**name, *kind)).collect();
        assert_eq!(
            containers,
            [
                ("new", "app", ContainerKind::Main),
                ("old", "app", ContainerKind::Main),
                ("set", "setup", ContainerKind::Init),
                ("pro", "proxy", ContainerKind::Sidecar),
                ("dbg", "debugger", ContainerKind::Ephemeral),
            ]
        );
        assert_eq!(
            seen.addresses,
            ["10.0.0.7".parse::<std::net::IpAddr>().unwrap(), "fd00::7".parse().unwrap()]
        );
        assert_eq!(seen.since_wall_ns, Some(1_750_000_000_000_000_000));
        assert_eq!((seen.over_wall_ns, seen.host_network), (None, false));
    }

    #[test]
    fn the_only_container_of_a_pod_is_named_before_its_id_is_known() {
        let of = |spec: &str| {
            let pod = format!(r#"{{"metadata": {{"name": "job", "uid": "u"}}, "spec": {{{spec}}}}}"#);
            seen(&pod)
                .containers
                .into_iter()
                .map(|(id, name, _)| (id.into(), name.into()))
                .collect::<Vec<_>>()
        };
        let only: [(String, String); 1] = [(String::new(), "app".to_owned())];
        assert_eq!(of(r#""containers": [{"name": "app"}]"#), only);
        for more in [
            r#""containers": [{"name": "app"}, {"name": "proxy"}]"#,
            r#""containers": [{"name": "app"}], "initContainers": [{"name": "setup"}]"#,
            r#""containers": [{"name": "app"}], "ephemeralContainers": [{"name": "debugger"}]"#,
        ] {
            assert!(of(more).is_empty(), "{more}");
        }
    }

    #[test]
    fn a_static_pod_has_the_uid_of_its_cgroups() {
        let seen = seen(
            r#"{"metadata": {"name": "etcd-n", "namespace": "kube-system", "uid": "of-the-mirror",
                "annotations": {"kubernetes.io/config.mirror": "1864dd0546310be9937c37cf88024cb8"},
                "ownerReferences": [{"kind": "Node", "name": "n", "controller": true}]},
            "spec": {"hostNetwork": true}}"#,
        );
        assert_eq!(&*seen.uid, "1864dd0546310be9937c37cf88024cb8");
        assert_eq!(&*seen.workload.unwrap().kind, "Pod");
        assert!(seen.host_network);
    }

    #[test]
    fn a_pod_that_is_over_had_its_address_until_its_last_container_ended() {
        let ended = r#"{"metadata": {"name": "job", "uid": "u"}, "status": {"phase": "Succeeded", "containerStatuses": [
            {"name": "a", "state": {"terminated": {"finishedAt": "2025-06-15T15:06:40Z"}}},
            {"name": "b", "state": {"terminated": {"finishedAt": "2025-06-15T15:06:30Z"}}}]}}"#;
        assert_eq!(seen(ended).over_wall_ns, Some(1_750_000_001_000_000_000));
        let evicted = r#"{"metadata": {"name": "job", "uid": "u"}, "status": {"phase": "Failed"}}"#;
        assert_eq!(seen(evicted).over_wall_ns, Some(0));
    }

    #[test]
    fn a_pod_without_a_uid_is_none() {
        let none: Watched = serde_json::from_str(r#"{"metadata": {"name": "x"}}"#).unwrap();
        assert!(none.seen().is_none());
    }
}
