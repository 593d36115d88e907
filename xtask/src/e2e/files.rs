//! What is chosen for the parts of the cluster: arguments, and the files that they read.

use std::{env, fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, Result};

use super::{
    cluster::{Cgroups, NODE},
    leftovers::{BRIDGE, NETWORK},
    parts::{COREDNS, PLUGINS, WORKLOAD},
};

const PODS: &str = "10.244.0.0/24";
const DNS: &str = "10.96.0.10";

/// In each, `PKI` stands for the folder with the certificates.
pub const API_SERVER: [&str; 22] = [
    "--bind-address=0.0.0.0",
    "--tls-cert-file=PKI/apiserver.crt",
    "--tls-private-key-file=PKI/apiserver.key",
    "--client-ca-file=PKI/ca.crt",
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction,ServiceAccount",
    "--allow-privileged=true",
    "--service-cluster-ip-range=10.96.0.0/16",
    "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
    "--service-account-key-file=PKI/sa.pub",
    "--service-account-signing-key-file=PKI/sa.key",
    "--kubelet-client-certificate=PKI/apiserver-kubelet.crt",
    "--kubelet-client-key=PKI/apiserver-kubelet.key",
    "--kubelet-certificate-authority=PKI/ca.crt",
    "--kubelet-preferred-address-types=InternalIP",
    "--requestheader-client-ca-file=PKI/front-proxy-ca.crt",
    "--requestheader-allowed-names=front-proxy-client",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-username-headers=X-Remote-User",
    "--profiling=false",
    "--v=1",
];

/// The same for the controller manager.
pub const CONTROLLERS: [&str; 11] = [
    "--bind-address=127.0.0.1",
    "--leader-elect=false",
    "--use-service-account-credentials=true",
    "--service-account-private-key-file=PKI/sa.key",
    "--root-ca-file=PKI/ca.crt",
    "--cluster-signing-cert-file=PKI/ca.crt",
    "--cluster-signing-key-file=PKI/ca.key",
    "--allocate-node-cidrs=true",
    "--cluster-cidr=10.244.0.0/16",
    "--service-cluster-ip-range=10.96.0.0/16",
    "--profiling=false",
];

/// The same for the scheduler.
pub const SCHEDULER: [&str; 3] = ["--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false"];

/// Writes what the node's programs read.
pub fn write(state: &Path, cgroups: Cgroups) -> Result<()> {
    for folder in ["run", "cni", "kubelet", "containerd"] {
        fs::create_dir_all(state.join(folder)).with_context(|| format!("cannot make {}", state.display()))?;
    }
    let runc =
        if cgroups == Cgroups::V2 && !Cgroups::machine_is_v2() { Some(runc_wrapper(state)?) } else { None };
    let path = state.display().to_string();
    let files = [
        ("cni/10-bridge.conflist", network(&path)),
        ("containerd.toml", containerd(&path, runc.as_deref())),
        ("kubelet.yaml", kubelet(&path)),
        ("proxy.yaml", proxy(&path)),
    ];
    for (name, text) in files {
        fs::write(state.join(name), text).with_context(|| format!("cannot write {name} into {path}"))?;
    }
    Ok(())
}

/// Pods reach each other, Services and the node; nothing beyond, so no address is translated and iptables is left
/// alone.
fn network(state: &str) -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "{NETWORK}", "plugins": [
  {{"type": "bridge", "bridge": "{BRIDGE}", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {{"type": "host-local", "dataDir": "{state}/ipam", "ranges": [[{{"subnet": "{PODS}"}}]],
            "routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}}
"#
    )
}

/// The score for the out-of-memory killer stays as it is: to lower it takes a capability that even root may lack
/// in a container.
fn containerd(state: &str, runc: Option<&str>) -> String {
    let runc = runc.map(|path| format!("      BinaryName = \"{path}\"\n")).unwrap_or_default();
    format!(
        r#"version = 2
root = "{state}/containerd"
state = "{state}/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{state}/run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{WORKLOAD}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{state}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
      Root = "{state}/run/runc"
{runc}"#
    )
}

fn kubelet(state: &str) -> String {
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
# A hybrid machine has version 1, too.
failCgroupV1: false
containerRuntimeEndpoint: unix://{state}/run/containerd.sock
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {state}/pki/ca.crt}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {state}/pki/kubelet-server.crt
tlsPrivateKeyFile: {state}/pki/kubelet-server.key
address: 0.0.0.0
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
localStorageCapacityIsolation: false
cgroupsPerQOS: true
enforceNodeAllocatable: []
# The machine's disk may be fuller than a kubelet likes.
evictionHard: {{memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
clusterDomain: cluster.local
clusterDNS: [{DNS}]
resolvConf: /etc/resolv.conf
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
registryPullQPS: 0
maxPods: 250
podLogsDir: {state}/pods
"#
    )
}

fn proxy(state: &str) -> String {
    format!(
        r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {{kubeconfig: {state}/pki/proxy.kubeconfig}}
hostnameOverride: {NODE}
clusterCIDR: {PODS}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {{maxPerCore: 0, min: 0}}
"#
    )
}

/// On a hybrid machine memory, cpu and pids stay with version 1: a runc that sees version 2 alone has no file to
/// write limits to. So this xtask stands before runc and takes the limits out.
fn runc_wrapper(state: &Path) -> Result<String> {
    let program = state.join("xtask");
    let own = env::current_exe().context("which program is this?")?;
    fs::copy(own, &program).with_context(|| format!("cannot write {}", program.display()))?;
    let path = state.join("runc-without-limits");
    fs::write(&path, format!("#!/bin/sh\nexec {} e2e runc -- \"$@\"\n", program.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path.display().to_string())
}

/// CoreDNS for the cluster's own names.
pub fn dns() -> String {
    format!(
        r#"apiVersion: v1
kind: ServiceAccount
metadata: {{name: coredns, namespace: kube-system}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: system:coredns}}
rules:
- {{apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}}
- {{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: system:coredns}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}}
subjects: [{{kind: ServiceAccount, name: coredns, namespace: kube-system}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: coredns, namespace: kube-system}}
data:
  Corefile: |
    .:53 {{
      errors
      ready
      kubernetes cluster.local in-addr.arpa ip6.arpa
      cache 5
    }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: coredns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec:
  selector: {{matchLabels: {{k8s-app: kube-dns}}}}
  template:
    metadata: {{labels: {{k8s-app: kube-dns}}}}
    spec:
      serviceAccountName: coredns
      terminationGracePeriodSeconds: 1
      dnsPolicy: Default
      containers:
      - name: coredns
        image: {COREDNS}
        imagePullPolicy: Never
        args: [-conf, /etc/coredns/Corefile]
        readinessProbe: {{httpGet: {{path: /ready, port: 8181}}, periodSeconds: 1}}
        volumeMounts: [{{name: config, mountPath: /etc/coredns}}]
      volumes: [{{name: config, configMap: {{name: coredns}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec:
  clusterIP: {DNS}
  selector: {{k8s-app: kube-dns}}
  ports: [{{name: dns, port: 53, protocol: UDP}}, {{name: dns-tcp, port: 53, protocol: TCP}}]
"#
    )
}
