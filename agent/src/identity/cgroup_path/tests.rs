//! Real shapes of paths, from machines and from bug reports of others.

use proptest::prelude::{any, prop, prop_oneof, proptest};

use super::{ContainerRef, Place, node_of, place, relative, resolve};

const ID: &str = "8842def241fac72cb34fdce90297b632f098289270fa92ec04643837f5748c15";
const OTHER: &str = "f75aff467357c5d0ddd47cb7ad87ed38746e018992586ff66198a5c11218f634";
const UID: &str = "7ffde41a-fa85-4b01-8023-69a4e4b50c55";
const SLICE: &str = "7ffde41a_fa85_4b01_8023_69a4e4b50c55";
const STATIC: &str = "1864dd0546310be9937c37cf88024cb8";

fn of(uid: &str, id: &str) -> Place {
    let known = |text: &str| (!text.is_empty()).then(|| Box::from(text));
    Place::Container(ContainerRef { pod_uid: known(uid), container_id: known(id) })
}

/// A path with the names put in.
fn path(shape: &str) -> String {
    shape
        .replace("UID", UID)
        .replace("SLICE", SLICE)
        .replace("STATIC", STATIC)
        .replace("OTHER", OTHER)
        .replace("ID", ID)
}

/// The same whether the node's root is known to be the machine's or not.
fn absolute(shape: &str) -> Place {
    let path = path(shape);
    let found = place(&path, None);
    assert_eq!(found, place(&path, Some("/")), "{path}");
    found
}

#[test]
fn a_pods_container_is_found_with_either_driver_each_runtime_and_each_class() {
    for shape in [
        // cgroupfs: containerd and Docker write the plain id, CRI-O its name before it.
        "/kubepods/podUID/ID",
        "/kubepods/burstable/podUID/ID",
        "/kubepods/besteffort/podUID/ID",
        "/kubepods/besteffort/podUID/crio-ID",
        // systemd.
        "/kubepods.slice/kubepods-podSLICE.slice/cri-containerd-ID.scope",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podSLICE.slice/cri-containerd-ID.scope",
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podSLICE.slice/crio-ID.scope",
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podSLICE.slice/docker-ID.scope",
        // A cgroup root of its own.
        "/machines.slice/machines-kubepods.slice/machines-kubepods-podSLICE.slice/cri-containerd-ID.scope",
        // systemd writes into one folder, runc is told the other way.
        "/system.slice/containerd.service/kubepods-burstable-podSLICE.slice:cri-containerd:ID",
        "/kubepods-podSLICE.slice:cri-containerd:ID",
        // Below the container: crun, systemd in the container.
        "/kubepods.slice/kubepods-podSLICE.slice/crio-ID.scope/container",
        "/kubepods/burstable/podUID/ID/init.scope",
        "/kubepods/burstable/podUID/ID/system.slice/nginx.service",
        "/kubepods/burstable/podUID/ID/init.scope (deleted)",
    ] {
        assert_eq!(absolute(shape), of(UID, ID), "{shape}");
    }
    let escaped = path("/k.slice/k-podUID.slice/crio-ID.scope").replace("-4b01-", "\\x2d4b01\\x2d");
    assert_eq!(place(&escaped, Some("/")), of(UID, ID));
}

#[test]
fn a_static_pods_uid_has_no_dashes() {
    for shape in [
        "/kubepods/burstable/podSTATIC/ID",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podSTATIC.slice/cri-containerd-ID.scope",
        "/system.slice/containerd.service/kubepods-burstable-podSTATIC.slice:cri-containerd:ID",
    ] {
        assert_eq!(absolute(shape), of(STATIC, ID), "{shape}");
    }
}

#[test]
fn a_pods_own_cgroup_is_the_pod_without_a_container() {
    for shape in [
        "/kubepods/besteffort/podUID",
        "/kubepods.slice/kubepods-podSLICE.slice",
        // The monitor beside a container is none.
        "/kubepods.slice/kubepods-podSLICE.slice/crio-conmon-ID.scope",
        "/kubepods/podUID/kata_overhead",
    ] {
        assert_eq!(absolute(shape), of(UID, ""), "{shape}");
    }
}

#[test]
fn a_container_without_a_pod_is_a_container() {
    for shape in [
        "/docker/ID",
        "/ID",
        "/system.slice/docker-ID.scope",
        "/docker/ID/init.scope",
        "/machine.slice/libpod-ID.scope/container",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
        "/k8s.io/ID",
        "/ecs/task/ID",
    ] {
        assert_eq!(absolute(shape), of("", ID), "{shape}");
    }
}

#[test]
fn what_only_looks_like_a_container_belongs_to_the_host() {
    for shape in [
        "/system.slice/sshd.service",
        "/init.scope",
        "/user.slice/user-0.slice/session-3.scope",
        "/kubepods",
        "/kubepods.slice/kubepods-besteffort.slice",
        "/kubepods/podUID0/x",
        "/kubepods/pod7ffde41a/x",
        "/docker/ID0",
        "/docker/buildkit/5k2jv8w0p3n1m4q6r7s9t0u2v",
        "/machine.slice/libpod-conmon-ID.scope",
        "/system.slice/pod-monitor.service",
    ] {
        assert_eq!(absolute(shape), Place::Host, "{shape}");
    }
    for root in ["/", "", "//", "/ (deleted)"] {
        assert_eq!(place(root, None), Place::Root, "{root:?}");
    }
}

#[test]
fn a_node_that_is_a_container_is_looked_into() {
    let kubelet = "/docker/OTHER/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/\
                   kubelet-kubepods-besteffort-podSLICE.slice/cri-containerd-ID.scope";
    for (inside, node) in [
        (kubelet, "/docker/OTHER"),
        ("/docker/OTHER/kubelet/kubepods/burstable/podUID/ID", "/docker/OTHER"),
        ("/system.slice/docker-OTHER.scope/kubelet/kubepods/podUID/ID", "/system.slice/docker-OTHER.scope"),
    ] {
        let (inside, node) = (path(inside), path(node));
        assert_eq!(node_of(&inside), node);
        assert_eq!(place(&inside, Some(&node)), of(UID, ID), "{inside}");
        assert_eq!(place(&inside, None), of(UID, ID), "{inside}");
        // A process of the node is the host's for the agent in the node, and the container's for others.
        let kubelet = format!("{node}/system.slice/kubelet.service");
        assert_eq!(place(&kubelet, Some(&node)), Place::Host);
        assert_eq!(place(&kubelet, Some("/")), of("", OTHER));
    }
    // Docker in kind's node.
    assert_eq!(place(&path("/docker/OTHER/docker/ID"), Some(&path("/docker/OTHER"))), of("", ID));
    assert_eq!(place(&path("/docker/OTHER/docker/ID"), None), of("", ID));
    // A cluster in a pod: seen from inside, and from outside.
    let nested = path(&format!("/kubepods/pod{STATIC}/OTHER/kubepods/podUID/ID"));
    assert_eq!(place(&nested, Some(node_of(&nested))), of(UID, ID));
    assert_eq!(place(&nested, Some("/")), of(STATIC, OTHER));
}

#[test]
fn the_node_is_the_machine_where_no_container_is_around() {
    assert_eq!(node_of(&path("/kubepods/burstable/podUID/ID")), "/");
    assert_eq!(node_of(&path("/kubepods/podUID/ID/docker/OTHER")), "/");
    assert_eq!(node_of("/system.slice/x.service"), "/");
    assert_eq!(node_of(&path("/docker/ID")), "/");
    assert_eq!(node_of(""), "/");
}

#[test]
fn a_workload_that_names_its_own_cgroups_after_another_pod_stays_itself() {
    let forged = path(&format!("/kubepods/podUID/ID/kubepods/pod{STATIC}/OTHER"));
    assert_eq!(place(&forged, Some("/")), of(UID, ID));
    let forged = path("/docker/OTHER/kubepods/podUID/ID");
    assert_eq!(place(&forged, Some("/")), of("", OTHER));
}

#[test]
fn docker_in_a_pod_is_the_pods_container() {
    assert_eq!(absolute("/kubepods/burstable/podUID/ID/docker/OTHER"), of(UID, ID));
}

#[test]
fn in_a_private_namespace_paths_are_relative_to_the_reader() {
    let relative = |shape: &str| relative(&path(shape));
    // The reader is /kubepods/besteffort/pod<UID>/<id>, or with slices.
    assert_eq!(relative("/"), Place::Own);
    assert_eq!(relative("/init.scope"), Place::Own);
    assert_eq!(relative("/../ID"), Place::Sibling(ID.into()));
    assert_eq!(relative("/../cri-containerd-ID.scope"), Place::Sibling(ID.into()));
    assert_eq!(relative("/../../crio-ID.scope/container"), Place::Sibling(ID.into()));
    for other in [
        "/../../podUID/ID",
        "/../../../podUID/ID",
        "/../../../burstable/podUID/ID",
        "/../../kubepods-besteffort-podSLICE.slice/cri-containerd-ID.scope",
        "/../../../kubepods-burstable.slice/kubepods-burstable-podSLICE.slice/cri-containerd-ID.scope",
        "/../../../kubepods-podSLICE.slice/cri-containerd-ID.scope/init.scope",
    ] {
        assert_eq!(relative(other), of(UID, ID), "{other}");
    }
    assert_eq!(relative("/../../podUID"), of(UID, ""));
    for host in ["/../../../..", "/../../../../system.slice/kubelet.service", "/../../../../init.scope"] {
        assert_eq!(relative(host), Place::Host, "{host}");
    }
    assert_eq!(relative("/../../../../docker/ID"), of("", ID));
    // One or two levels up may be the reader's own pod, or (a reader in Docker) the host.
    for near in ["/..", "/../..", "/../crio-conmon-ID.scope", "/../sshd.service"] {
        assert_eq!(relative(near), Place::Unknown, "{near}");
    }
}

#[test]
fn a_relative_path_is_made_absolute_by_the_readers_own() {
    let own = "/kubepods/besteffort/podA/b";
    assert_eq!(resolve(own, "/").as_deref(), Some(own));
    assert_eq!(resolve(own, "/../c").as_deref(), Some("/kubepods/besteffort/podA/c"));
    assert_eq!(resolve(own, "/../../../..").as_deref(), Some("/"));
    assert_eq!(resolve(own, "/../../../../init.scope").as_deref(), Some("/init.scope"));
    assert_eq!(resolve(own, "/../../../../.."), None);
}

proptest! {
    #[test]
    fn nothing_panics_and_what_is_found_is_in_the_path(levels in prop::collection::vec(prop_oneof![
        any::<String>(),
        "[a-z.:-]{0,9}(pod)?[0-9a-f_-]{30,38}(.slice)?",
        "([a-z-]{0,9}-)?[0-9a-f]{63,65}(.scope)?",
        proptest::strategy::Just("..".to_owned()),
    ], 0..8)) {
        let path = format!("/{}", levels.join("/"));
        let node = node_of(&path);
        assert!(path.starts_with(node) || node == "/");
        for found in [place(&path, None), place(&path, Some(node)), place(&path, Some("/")), relative(&path)] {
            if let Place::Container(found) = found {
                assert!(found != ContainerRef::default());
                assert!(found.container_id.is_none_or(|id| path.contains(&*id)));
                assert!(found.pod_uid.is_none_or(|uid| matches!(uid.len(), 32 | 36)));
            }
        }
        if let Some(whole) = resolve("/a/b", &path) {
            assert!(whole.starts_with('/'));
        }
    }
}
