//! The second step against a machine that a test made up.

use std::path::Path;

use agent::{
    engine::Config,
    event::Family,
    filter::{Conjunction, Prefix},
    host::Roots,
};
use clap::Parser as _;

use super::{Machine, Refusal, Unresolved, resolve};
use crate::args::{Cli, Command, Plan};

/// Process 181, network namespace `web`, cgroup `/pods`, one BPF file system.
struct Small;

fn absent(reason: String) -> Refusal {
    Refusal::absent(reason)
}

impl Machine for Small {
    fn check_process(&self, pid: u32) -> Result<(), Refusal> {
        if pid == 181 { Ok(()) } else { Err(absent(format!("{pid}: no such process"))) }
    }

    fn netns(&self, text: &str) -> Result<u32, Refusal> {
        if text == "web" { Ok(4_026_532_208) } else { Err(absent(format!("{text}: no network namespace"))) }
    }

    fn cgroup(&self, text: &str) -> Result<u64, Refusal> {
        if text == "/pods" { Ok(77) } else { Err(absent(format!("{text}: is no cgroup"))) }
    }

    fn roots(&self) -> Roots {
        Roots { proc: "/small/proc".into(), ..Roots::default() }
    }

    fn is_in_bpffs(&self, path: &Path) -> bool {
        path.starts_with("/sys/fs/bpf")
    }
}

fn plan(words: &str) -> Plan {
    let words = ["sockeye", "trace"].into_iter().chain(words.split_whitespace());
    match Cli::try_parse_from(words).unwrap().command {
        Some(Command::Trace { tool }) => tool.plan().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn resolved(words: &str) -> Result<Config, Unresolved> {
    resolve(&plan(words), &Small)
}

fn filter(words: &str) -> Conjunction {
    let config = resolved(words).unwrap();
    assert!(config.filter.deny.is_empty());
    match config.filter.allow.as_slice() {
        [one] => one.clone(),
        other => panic!("{other:?}"),
    }
}

fn refused(words: &str) -> String {
    resolved(words).unwrap_err().to_string()
}

#[test]
fn without_options_everything_passes_and_only_the_tools_kinds_are_wanted() {
    let config = resolved("tcplife").unwrap();
    assert!(config.filter.allow.is_empty());
    assert_eq!(config.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>(), ["close"]);
    assert_eq!(config.ring_bytes, agent::engine::DEFAULT_RING_BYTES);
    assert!(config.snapshot && !config.syscall_failures);
    assert_eq!(config.roots, Small.roots());
}

#[test]
fn every_filter_goes_to_the_kernel() {
    let prefix = |address: &str, length| Prefix { address: address.parse().unwrap(), length };
    let words = "states -p 181 -u 0,1000 -4 -N web --cgroup /pods -L 80,443 -L 80 -D 9000 \
                 --local 10.0.0.0/8 --remote ::1,192.0.2.7";
    assert_eq!(
        filter(words),
        Conjunction {
            netns: vec![4_026_532_208],
            cgroups: vec![77],
            pids: vec![181],
            uids: vec![0, 1000],
            family: Some(Family::V4),
            local_ports: vec![80, 443],
            remote_ports: vec![9000],
            local_prefixes: vec![prefix("10.0.0.0", 8)],
            remote_prefixes: vec![prefix("::1", 128), prefix("192.0.2.7", 32)],
            ..Conjunction::default()
        }
    );
}

#[test]
fn each_tools_letters_for_ports_mean_what_they_mean_in_bcc() {
    let ports = |words: &str| {
        let filter = filter(words);
        (filter.local_ports, filter.remote_ports)
    };
    for (words, local, remote) in [
        ("tcpstates -L 1 -D 2", vec![1], vec![2]),
        ("tcpstates --localport 1 --remoteport 2", vec![1], vec![2]),
        ("tcplife -L 1 -D 2", vec![1], vec![2]),
        ("tcptracer -L 1 -D 2", vec![1], vec![2]),
        ("tcpaccept -P 1", vec![1], vec![]),
        ("tcpaccept --port 1 -L 3 -D 2", vec![1, 3], vec![2]),
        ("tcpconnect -P 2", vec![], vec![2]),
        ("tcpconnect --port 2 -D 3 --localport 1 -L", vec![1], vec![2, 3]),
        ("tcpconnlat -D 2 --localport 1 -L", vec![1], vec![2]),
    ] {
        assert_eq!(ports(words), (local, remote), "{words}");
    }
}

#[test]
fn a_cgroup_map_is_a_pinned_map_or_a_cgroup() {
    let config = resolved("tcpconnect -C /sys/fs/bpf/mine").unwrap();
    assert_eq!(config.pinned_cgroup, Some("/sys/fs/bpf/mine".into()));
    assert!(config.filter.allow[0].pinned_cgroup && config.filter.allow[0].cgroups.is_empty());

    let config = resolved("tcpconnect --cgroupmap /pods").unwrap();
    assert_eq!(config.pinned_cgroup, None);
    assert_eq!(config.filter.allow[0].cgroups, [77]);
    assert!(!config.filter.allow[0].pinned_cgroup);
}

#[test]
fn a_mount_namespace_map_is_a_pinned_map() {
    let config = resolved("tcptracer --mntnsmap /sys/fs/bpf/mine").unwrap();
    assert_eq!(config.pinned_mntns, Some("/sys/fs/bpf/mine".into()));
    assert!(config.filter.allow[0].pinned_mntns);
    assert_eq!(
        refused("tcptracer -M /tmp/x"),
        "--mntnsmap: /tmp/x: is no pinned BPF map (not on a BPF file system)"
    );
}

#[test]
fn what_is_not_there_is_said_with_the_option() {
    assert_eq!(refused("tcplife -p 181,182"), "--pid: 182: no such process");
    assert_eq!(refused("tcplife -N db"), "--netns: db: no network namespace");
    assert_eq!(refused("tcplife --cgroup /tmp"), "--cgroup: /tmp: is no cgroup");
    assert_eq!(refused("tcplife -C /tmp/x"), "--cgroupmap: /tmp/x: is no cgroup, and no pinned BPF map");
}

#[test]
fn failures_at_system_calls_are_watched_only_on_request() {
    assert!(resolved("tcpconnect --failed").unwrap().syscall_failures);
    assert!(resolved("tcpconnlat --failed").unwrap().syscall_failures);
    assert!(!resolved("tcpconnect").unwrap().syscall_failures);
}

#[test]
fn what_may_not_be_looked_at_is_no_mistake_of_the_command_line() {
    /// A machine that keeps its processes to itself.
    struct Closed;

    impl Machine for Closed {
        fn check_process(&self, _: u32) -> Result<(), Refusal> {
            Ok(())
        }

        fn netns(&self, _: &str) -> Result<u32, Refusal> {
            Err(Refusal { reason: "CAP_SYS_PTRACE is needed".to_owned(), forbidden: true })
        }

        fn cgroup(&self, _: &str) -> Result<u64, Refusal> {
            Ok(1)
        }

        fn roots(&self) -> Roots {
            Roots::default()
        }

        fn is_in_bpffs(&self, _: &Path) -> bool {
            false
        }
    }

    let error = resolve(&plan("tcplife -N 1"), &Closed).unwrap_err();
    assert!(error.forbidden());
    assert_eq!(error.to_string(), "--netns: CAP_SYS_PTRACE is needed");
}
