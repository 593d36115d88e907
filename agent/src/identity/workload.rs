//! What a pod belongs to, from the pod alone: its owner, and the owner's owner where names tell it.
//!
//! The cluster is not asked for ReplicaSets and Jobs: that would be a watch of everything, on every node. A
//! ReplicaSet is named after its Deployment and the hash that its pods have as a label; a Job of a CronJob
//! is named after it and the time. What is concluded so is marked as derived.

use super::{Workload, labels::Labels};

/// An owner reference of a pod, as far as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'o> {
    /// For example `ReplicaSet`.
    pub kind: &'o str,
    /// Its name.
    pub name: &'o str,
    /// It is the one that made the pod.
    pub controller: bool,
}

/// What a pod belongs to. A pod without a controller, or with its node for one (a static pod), stands alone.
pub fn workload(pod: &str, owners: &[Owner<'_>], labels: &Labels) -> Workload {
    let read = |kind: &str, name: &str| Workload { kind: kind.into(), name: name.into(), derived: false };
    let derived = |kind: &str, name: &str| Workload { kind: kind.into(), name: name.into(), derived: true };
    let Some(owner) = owners.iter().find(|owner| owner.controller) else { return read("Pod", pod) };
    let above = match owner.kind {
        "Node" => return read("Pod", pod),
        "ReplicaSet" => [("pod-template-hash", "Deployment"), ("rollouts-pod-template-hash", "Rollout")]
            .into_iter()
            .find_map(|(label, kind)| {
                let name = owner.name.strip_suffix(labels.get(label)?)?.strip_suffix('-')?;
                Some((kind, name))
            }),
        "Job" => owner
            .name
            .rsplit_once('-')
            .filter(|(_, time)| is_schedule(time))
            .map(|(cron_job, _)| ("CronJob", cron_job)),
        _ => None,
    };
    match above {
        Some((kind, name)) if !name.is_empty() => derived(kind, name),
        _ => read(owner.kind, owner.name),
    }
}

/// The number that a CronJob gives its Jobs: the time in minutes (8 digits from 1989 to 2160), before
/// Kubernetes 1.21 in seconds (10 digits). `migrate-2` is somebody's own name.
fn is_schedule(text: &str) -> bool {
    matches!(text.len(), 8 | 10) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Owner, workload};
    use crate::identity::labels::Labels;

    fn of(kind: &str, name: &str, labels: &[(&str, &str)]) -> (String, String, bool) {
        let labels: Labels = labels.iter().copied().collect();
        let found = workload("pod-0", &[Owner { kind, name, controller: true }], &labels);
        (found.kind.into(), found.name.into(), found.derived)
    }

    fn is(kind: &str, name: &str, derived: bool) -> (String, String, bool) {
        (kind.into(), name.into(), derived)
    }

    #[test]
    fn a_replica_set_named_after_its_pods_hash_belongs_to_a_deployment() {
        let hash = [("app", "cart"), ("pod-template-hash", "7d9f8c6b5")];
        assert_eq!(of("ReplicaSet", "cart-7d9f8c6b5", &hash), is("Deployment", "cart", true));
        assert_eq!(of("ReplicaSet", "a-b-7d9f8c6b5", &hash), is("Deployment", "a-b", true));
        let rollout = [("rollouts-pod-template-hash", "7d9f8c6b5")];
        assert_eq!(of("ReplicaSet", "cart-7d9f8c6b5", &rollout), is("Rollout", "cart", true));
    }

    #[test]
    fn a_replica_set_with_a_name_of_its_own_is_itself() {
        assert_eq!(of("ReplicaSet", "cart-7d9f8c6b5", &[]), is("ReplicaSet", "cart-7d9f8c6b5", false));
        for name in ["cart-x", "cart7d9f8c6b5", "-7d9f8c6b5", "7d9f8c6b5"] {
            let hash = [("pod-template-hash", "7d9f8c6b5")];
            assert_eq!(of("ReplicaSet", name, &hash), is("ReplicaSet", name, false));
        }
    }

    #[test]
    fn a_job_named_after_a_time_belongs_to_a_cron_job() {
        assert_eq!(of("Job", "backup-29384820", &[]), is("CronJob", "backup", true));
        assert_eq!(of("Job", "my-backup-1612345680", &[]), is("CronJob", "my-backup", true));
        for name in ["migrate-2", "migrate-2024", "import", "x-2938482a", "-29384820"] {
            assert_eq!(of("Job", name, &[]), is("Job", name, false));
        }
    }

    #[test]
    fn other_owners_are_read_as_they_are() {
        assert_eq!(of("DaemonSet", "proxy", &[]), is("DaemonSet", "proxy", false));
        assert_eq!(of("StatefulSet", "db", &[]), is("StatefulSet", "db", false));
        assert_eq!(of("Workflow", "etl", &[]), is("Workflow", "etl", false));
    }

    #[test]
    fn a_static_pod_and_one_without_a_controller_stand_alone() {
        assert_eq!(of("Node", "worker-1", &[]), is("Pod", "pod-0", false));
        let labels = Labels::default();
        assert_eq!(&*workload("pod-0", &[], &labels).kind, "Pod");
        let other = Owner { kind: "ConfigMap", name: "x", controller: false };
        assert_eq!(&*workload("pod-0", &[other], &labels).name, "pod-0");
    }
}
