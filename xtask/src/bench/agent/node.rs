//! A node without a cluster: a full one's pods, each with the cgroup of its container, told by an API server of our own;
//! and an agent that knows them.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{
    super::tool::{Beside, Tool},
    server::Server,
};

/// As many as Kubernetes lets run on a node.
pub const PODS: usize = 110;

const NODE: &str = "bench";

/// Gone when dropped.
pub struct Node {
    cgroups: Cgroups,
    folder: PathBuf,
}

impl Node {
    pub fn new() -> Result<Self> {
        let cgroups = Cgroups::make()?;
        // Short: the path of a socket has at most 108 bytes.
        let folder = std::env::temp_dir().join(format!("sockeye-bench-{}", std::process::id()));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let node = Self { cgroups, folder };
        let server = Server::start((0..PODS).map(pod).collect())?;
        // JSON is YAML.
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": NODE,
            "clusters": [{ "name": NODE, "cluster": { "server": format!("http://{}", server.address) } }],
            "users": [{ "name": NODE, "user": {} }],
            "contexts": [{ "name": NODE, "context": { "cluster": NODE, "user": NODE } }],
        });
        fs::write(node.kubeconfig(), config.to_string()).context("cannot write a kubeconfig")?;
        Ok(node)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    /// The cgroup of a pod's container; there are [`PODS`], and then they come again.
    pub fn cgroup(&self, pod: usize) -> &Path {
        &self.cgroups.containers[pod % PODS]
    }

    /// An agent with a subscriber for these kinds.
    pub fn agent(&self, name: &'static str, kinds: &str, sockeye: &Path, counterpart: &Path) -> Tool {
        let mut listen = OsString::from("unix:");
        listen.push(self.socket());
        let words = |words: &[&str]| words.iter().map(Into::into).collect::<Vec<OsString>>();
        let mut arguments = words(&["agent", "--node-name", NODE, "--kubernetes", "on", "--kubeconfig"]);
        arguments.push(self.kubeconfig().into());
        // Any port: nobody looks.
        arguments.extend(words(&["--admin-listen", "127.0.0.1:0", "--listen"]));
        arguments.push(listen);
        let mut subscriber = words(&["subscriber", kinds, "--pods", &PODS.to_string(), "--socket"]);
        subscriber.push(self.socket().into());
        let beside = Beside { program: counterpart.to_owned(), arguments: subscriber };
        Tool::agent(name, sockeye, arguments, beside)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What stays behind is small, and says whose it was.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The cgroups of the pods' containers, with the names that kubelet and runtime give them, but not below `kubepods`: a
/// kubelet that runs here would take away what it did not make.
struct Cgroups {
    top: PathBuf,
    containers: Vec<PathBuf>,
}

impl Cgroups {
    fn make() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
        let mount =
            mount_point(&mounts).context("no cgroups of version 2 are mounted: nothing can be in a pod")?;
        let top = Path::new(mount).join(format!("sockeye-bench-{}", std::process::id()));
        let mut made = Self { top: top.clone(), containers: Vec::new() };
        for pod in 0..PODS {
            let folder = top.join(format!("pod{}", uid(pod))).join(container_id(pod));
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make the cgroup {}", folder.display()))?;
            made.containers.push(folder);
        }
        Ok(made)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // From the inside out. What stays behind is empty, and says whose it was.
        let pods = self.containers.iter().filter_map(|container| container.parent());
        let folders = self.containers.iter().map(PathBuf::as_path).chain(pods);
        for folder in folders.chain([self.top.as_path()]) {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn mount_point(mounts: &str) -> Option<&str> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(point)
    })
}

fn uid(pod: usize) -> String {
    format!("5eedc0de-77aa-4c1e-9d55-{pod:012x}")
}

fn container_id(pod: usize) -> String {
    format!("5eedc0de{pod:056x}")
}

/// A pod as clusters have them: of a Deployment, with labels, a probe, and what the API server notes for itself.
fn pod(number: usize) -> Value {
    let name = format!("checkout-6d4c9f7b5-{number:05x}");
    let id = container_id(number);
    let address = format!("10.244.1.{number}");
    let managed = json!({ "f:metadata": { "f:labels": { ".": {}, "f:app": {}, "f:pod-template-hash": {} },
            "f:ownerReferences": { ".": {}, "k:{\"uid\":\"9c1d7e55-0000-4000-8000-000000000001\"}": {} } },
        "f:spec": { "f:containers": { "k:{\"name\":\"server\"}": { ".": {}, "f:image": {}, "f:name": {},
            "f:ports": { ".": {}, "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": { ".": {}, "f:containerPort": {} } },
            "f:readinessProbe": { ".": {}, "f:failureThreshold": {}, "f:httpGet": { ".": {}, "f:path": {} } } } },
            "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {} } });
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": name, "generateName": "checkout-6d4c9f7b5-", "namespace": "shop", "uid": uid(number),
            "resourceVersion": (number + 1).to_string(), "creationTimestamp": "2026-01-05T10:00:00Z",
            "labels": { "app": "checkout", "app.kubernetes.io/name": "checkout", "app.kubernetes.io/version": "4.17.2",
                "app.kubernetes.io/part-of": "shop", "pod-template-hash": "6d4c9f7b5" },
            "annotations": { "prometheus.io/scrape": "true", "prometheus.io/port": "9090" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-6d4c9f7b5",
                "uid": "9c1d7e55-0000-4000-8000-000000000001", "controller": true, "blockOwnerDeletion": true }],
            "managedFields": [{ "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
                "time": "2026-01-05T10:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": managed }],
        },
        "spec": {
            "nodeName": NODE, "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "serviceAccountName": "default",
            "containers": [{ "name": "server", "image": "registry.example/shop/checkout:4.17.2",
                "ports": [{ "containerPort": 8080, "protocol": "TCP" }],
                "resources": { "limits": { "memory": "256Mi" }, "requests": { "cpu": "100m", "memory": "256Mi" } },
                "readinessProbe": { "httpGet": { "path": "/healthz", "port": 8080, "scheme": "HTTP" },
                    "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3 } }],
        },
        "status": {
            "phase": "Running", "hostIP": "192.168.1.10", "podIP": address, "podIPs": [{ "ip": address }],
            "startTime": "2026-01-05T10:00:00Z", "qosClass": "Burstable",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-05T10:00:04Z" }],
            "containerStatuses": [{ "name": "server", "ready": true, "restartCount": 0, "started": true,
                "image": "registry.example/shop/checkout:4.17.2", "containerID": format!("containerd://{id}"),
                "state": { "running": { "startedAt": "2026-01-05T10:00:02Z" } } }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{container_id, mount_point, uid};

    #[test]
    fn version_2_is_found_beside_version_1() {
        let mounts =
            "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mount_point(mounts), Some("/sys/fs/cgroup/unified"));
        assert_eq!(mount_point("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn uids_and_ids_have_their_shapes() {
        assert_eq!((uid(109).len(), container_id(109).len()), (36, 64));
    }
}
