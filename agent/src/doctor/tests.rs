//! Reports of machines, to the word.

use super::{Fact, Health, Limits, Machine, Note, Report, Support, inspect, report, tools::TOOLS};
use crate::{
    engine::Degraded,
    host::{
        Roots, Tree,
        capability::Capabilities,
        cgroup::Mode,
        kernel::{Kernel, Lockdown},
    },
    probes,
};

fn capabilities(mask: &str) -> Capabilities {
    let tree = Tree::new(&[("proc/self/status", &format!("CapEff:\t{mask}\n"))]);
    Capabilities::read(&tree.roots()).unwrap()
}

/// A machine on which everything is there.
fn machine() -> Machine {
    Machine {
        kernel: Ok(Kernel {
            release: "6.12.107".to_owned(),
            arch: "x86_64",
            btf: Some("/sys/kernel/btf/vmlinux".into()),
            lockdown: Lockdown::None,
        }),
        types: Some(Ok(126_573)),
        capabilities: Ok(capabilities("000001ffffffffff")),
        exe: "/usr/bin/sockeye".into(),
        cgroups: Some((Mode::Unified, Some("/sys/fs/cgroup".into()))),
        tracefs: true,
        limits: Limits { page: 4096, ring: 4 << 20, memlock: Some(64 << 10), jit: Some(true), stats: false },
    }
}

fn kernel(release: &str, lockdown: Lockdown) -> Machine {
    let good = machine();
    let kernel = Kernel { release: release.to_owned(), lockdown, ..good.kernel.unwrap() };
    Machine { kernel: Ok(kernel), ..machine() }
}

fn fact(report: &Report, name: &str) -> (Health, String) {
    let Fact { health, value, .. } = report.facts.iter().find(|fact| fact.name == name).unwrap();
    (*health, value.clone())
}

fn facts(machine: &Machine, name: &str) -> (Health, String) {
    fact(&report(machine, Support::Loads(&[])), name)
}

fn tool<'a>(report: &'a Report, name: &str) -> (Health, &'a [Note]) {
    let tool = report.tools.iter().find(|tool| tool.tool == name).unwrap();
    (tool.health, &tool.notes)
}

fn missing(probe: &probes::Probe, reason: &str) -> Degraded {
    Degraded { what: probe.name, effect: probe.effect, reason: reason.to_owned() }
}

fn note(effect: &str, reason: &str, remedy: Option<&str>) -> Note {
    Note { effect: effect.to_owned(), reason: reason.to_owned(), remedy: remedy.map(str::to_owned) }
}

/// The tools with that health.
fn with(report: &Report, health: Health) -> Vec<&'static str> {
    report.tools.iter().filter(|tool| tool.health == health).map(|tool| tool.tool).collect()
}

#[test]
fn a_machine_with_everything_is_ok_in_every_line() {
    let report = report(&machine(), Support::Loads(&[]));
    assert_eq!(report.health(), Health::Ok);
    let lines: Vec<_> = report.facts.iter().map(|fact| format!("{}: {}", fact.name, fact.value)).collect();
    assert_eq!(
        lines,
        [
            "kernel: 6.12.107 x86_64",
            "btf: 126573 types",
            "lockdown: none",
            "capabilities: CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_SYS_ADMIN, \
             CAP_SYS_RESOURCE, CAP_PERFMON, CAP_BPF",
            "cgroup: v2 at /sys/fs/cgroup",
            "tracefs: readable",
            "rings: 4 MiB and 512 KiB by default, in pages of 4 KiB",
            "maps: counted as this process's memory",
            "jit: on",
        ]
    );
    assert!(report.facts.iter().all(|fact| fact.health == Health::Ok));
    assert!(report.tools.iter().all(|tool| tool.health == Health::Ok && tool.notes.is_empty()));
    let tools: Vec<_> = report.tools.iter().map(|tool| tool.tool).collect();
    assert_eq!(
        tools,
        [
            "tcpstates",
            "tcpconnect",
            "tcpconnlat",
            "tcplife",
            "tcpaccept",
            "tcptracer",
            "tcpretrans",
            "tcpreset"
        ]
    );
}

#[test]
fn a_refused_accept_hook_degrades_the_tools_that_show_accepts() {
    let refused = [missing(&probes::ACCEPT_TWO_ARGS, "fexit/inet_csk_accept: Operation not permitted")];
    let report = report(&machine(), Support::Loads(&refused));
    assert_eq!(report.health(), Health::Degraded);
    assert_eq!(with(&report, Health::Degraded), ["tcpaccept", "tcptracer"]);
    let expected = note(
        "accept() is seen at the first read, write or close",
        "fexit/inet_csk_accept: Operation not permitted",
        Some("use a kernel and a host policy that allow fexit programs"),
    );
    assert_eq!(tool(&report, "tcpaccept"), (Health::Degraded, [expected].as_slice()));
}

#[test]
fn a_kernel_before_6_3_does_not_show_writers() {
    let refused = [missing(&probes::SEND, "tp_btf/sock_send_length is not in this kernel")];
    let report = report(&kernel("6.1.0-40-cloud-amd64", Lockdown::None), Support::Loads(&refused));
    assert_eq!(with(&report, Health::Degraded), ["tcpstates", "tcplife", "tcpretrans", "tcpreset"]);
    let (_, notes) = tool(&report, "tcplife");
    assert_eq!(notes[0].remedy.as_deref(), Some("run Linux 6.3 or later"));
}

#[test]
fn failures_before_a_syn_need_tracefs_and_no_confidentiality() {
    let refused = [
        missing(&probes::ENTER_CONNECT, "tracepoint/syscalls/sys_enter_connect: no tracefs"),
        missing(&probes::EXIT_CONNECT, "tracepoint/syscalls/sys_exit_connect: no tracefs"),
    ];
    let remedy = |machine: Machine| {
        let report = report(&machine, Support::Loads(&refused));
        assert_eq!(with(&report, Health::Degraded), ["tcpconnect", "tcpconnlat"]);
        let (_, notes) = tool(&report, "tcpconnect");
        assert_eq!(notes.len(), 1, "one line for one feature");
        assert_eq!(
            notes[0].reason,
            "tracepoint/syscalls/sys_enter_connect: no tracefs; tracepoint/syscalls/sys_exit_connect: no tracefs"
        );
        notes[0].remedy.clone()
    };
    assert_eq!(
        remedy(Machine { tracefs: false, ..machine() }).as_deref(),
        Some("run as root with tracefs mounted: `mount -t tracefs tracefs /sys/kernel/tracing`")
    );
    assert_eq!(
        remedy(kernel("6.12.107", Lockdown::Confidentiality)).as_deref(),
        Some("boot without lockdown=confidentiality")
    );
    assert_eq!(remedy(machine()), None);
}

#[test]
fn absent_fields_are_told_in_the_words_of_what_they_are_for() {
    let absent = |effect, reason: &str| Degraded { what: "fields", effect, reason: reason.to_owned() };
    let degraded = [
        absent(agent_common::fields::Need::Cgroup.name(), "SK_CGROUP is missing"),
        absent(agent_common::fields::Need::Counters.name(), "TP_SRTT_US has 8 bytes, not 4"),
        missing(&probes::FILES, "kernel fields are missing"),
        absent(agent_common::fields::Need::Snapshot.name(), "CRED_UID is missing"),
    ];
    let report = report(&machine(), Support::Loads(&degraded));
    let newer = Some("run a newer kernel");
    let cgroup =
        note("the cgroup of a socket is unknown and cannot be filtered for", "SK_CGROUP is missing", newer);
    assert_eq!(tool(&report, "tcpconnect"), (Health::Degraded, [cgroup.clone()].as_slice()));
    let counters = note(
        "bytes, segments and round-trip times at close are unknown",
        "TP_SRTT_US has 8 bytes, not 4",
        newer,
    );
    let owners = note(
        "sockets older than the tool have no owner until they are used",
        "kernel fields are missing; CRED_UID is missing",
        None,
    );
    assert_eq!(tool(&report, "tcplife"), (Health::Degraded, [cgroup, counters, owners].as_slice()));
}

#[test]
fn without_state_changes_nothing_is_available() {
    let report = report(&machine(), Support::Loads(&[missing(&probes::STATE, "refused")]));
    assert_eq!(with(&report, Health::Unavailable).len(), TOOLS.len());
}

#[test]
fn the_first_cause_is_told_and_not_its_consequence() {
    let refused = Support::Refused("cannot load: Operation not permitted");
    let only = |machine: &Machine| {
        let report = report(machine, refused);
        assert_eq!(report.health(), Health::Unavailable);
        let (_, notes) = tool(&report, "tcplife");
        assert_eq!(notes.len(), 1);
        notes[0].clone()
    };
    let newer = Some("run a kernel with CONFIG_DEBUG_INFO_BTF=y, 5.15 or later");
    assert_eq!(
        only(&Machine { types: None, ..machine() }),
        note("no events", "this kernel does not show its types (no BTF)", newer)
    );
    assert_eq!(
        only(&Machine { types: Some(Err("broken".to_owned())), ..machine() }),
        note("no events", "broken", newer)
    );
    assert_eq!(
        only(&Machine { capabilities: Ok(capabilities("0000000000000000")), ..machine() }),
        note(
            "no events",
            "CAP_BPF and CAP_PERFMON are missing",
            Some("run with sudo, or grant once with `sudo setcap cap_bpf,cap_perfmon+ep /usr/bin/sockeye`")
        )
    );
    assert_eq!(only(&machine()), note("no events", "cannot load: Operation not permitted", None));
    assert_eq!(
        only(&kernel("5.10.0-32-cloud-amd64", Lockdown::None)),
        note("no events", "cannot load: Operation not permitted", Some("run Linux 5.15 or later"))
    );
}

#[test]
fn lockdown_says_what_it_takes_away() {
    let line = |lockdown| facts(&kernel("6.12.107", lockdown), "lockdown");
    assert_eq!(
        line(Lockdown::Integrity),
        (Health::Ok, "integrity: forbids nothing that Sockeye does".to_owned())
    );
    assert_eq!(
        line(Lockdown::Confidentiality),
        (
            Health::Degraded,
            "confidentiality: typed loads still work, classic tracepoints (failures before a SYN) do not"
                .to_owned()
        )
    );
    assert_eq!(line(Lockdown::Unknown).0, Health::Ok);
}

#[test]
fn missing_capabilities_are_named_with_the_way_to_grant_them() {
    let line = |mask| facts(&Machine { capabilities: Ok(capabilities(mask)), ..machine() }, "capabilities");
    assert_eq!(
        line("0000008000000000"),
        (
            Health::Unavailable,
            "CAP_PERFMON is missing: run with sudo, or grant once with \
             `sudo setcap cap_perfmon+ep /usr/bin/sockeye`"
                .to_owned()
        )
    );
    assert_eq!(
        line("000000c000000000"),
        (
            Health::Degraded,
            "CAP_PERFMON, CAP_BPF; without CAP_SYS_PTRACE the network namespaces of other users' processes \
             are not seen"
                .to_owned()
        )
    );
    assert_eq!(line("000000c000080000").0, Health::Ok);
}

#[test]
fn cgroups_of_version_1_are_told() {
    let line = |mode, root: Option<&str>| {
        facts(&Machine { cgroups: Some((mode, root.map(Into::into))), ..machine() }, "cgroup")
    };
    assert_eq!(
        line(Mode::Hybrid, Some("/sys/fs/cgroup/unified")),
        (
            Health::Degraded,
            "hybrid (v1 and v2), v2 at /sys/fs/cgroup/unified: what is placed in v1 only shows as v2's root"
                .to_owned()
        )
    );
    assert!(line(Mode::Hybrid, None).1.contains(", v2 not mounted here: "));
    assert_eq!(line(Mode::Legacy, None).0, Health::Degraded);
    assert_eq!(line(Mode::None, None).0, Health::Degraded);
    assert_eq!(facts(&Machine { cgroups: None, ..machine() }, "cgroup").0, Health::Degraded);
}

#[test]
fn locked_memory_counts_on_old_kernels_only() {
    let line = |release, mask, memlock| {
        let limits = Limits { memlock, ..machine().limits };
        facts(
            &Machine { capabilities: Ok(capabilities(mask)), limits, ..kernel(release, Lockdown::None) },
            "maps",
        )
    };
    const BPF_ONLY: &str = "000000c000080000";
    let small = Some(64 << 10);
    assert_eq!(line("5.11.0", BPF_ONLY, small).0, Health::Ok);
    assert_eq!(
        line("5.10.0", BPF_ONLY, small),
        (
            Health::Unavailable,
            "locked memory is limited to 64 KiB: raise it with `ulimit -l unlimited` or grant CAP_SYS_RESOURCE"
                .to_owned()
        )
    );
    assert_eq!(line("5.10.0", BPF_ONLY, None).0, Health::Ok);
    assert_eq!(
        line("5.10.0", "000001ffffffffff", Some(1000)).1,
        "locked memory is limited to 1000 bytes, which CAP_SYS_RESOURCE lifts"
    );
}

#[test]
fn what_slows_every_program_is_told() {
    let line = |jit, stats| {
        facts(&Machine { limits: Limits { jit, stats, ..machine().limits }, ..machine() }, "jit")
    };
    assert_eq!(line(None, false), (Health::Ok, "unknown: not readable".to_owned()));
    assert_eq!(
        line(Some(false), true),
        (
            Health::Degraded,
            "off, programs are interpreted: `sysctl net.core.bpf_jit_enable=1`; every program is measured, \
             which slows it: `sysctl kernel.bpf_stats_enabled=0`"
                .to_owned()
        )
    );
}

#[test]
fn every_probe_is_needed_by_a_tool_and_every_need_is_a_probe() {
    for probe in probes::ALL {
        assert!(TOOLS.iter().any(|tool| tool.probes.contains(&probe.name)), "no tool needs {}", probe.name);
    }
    for name in TOOLS.iter().flat_map(|tool| tool.probes) {
        assert!(probes::ALL.iter().any(|probe| probe.name == *name), "no probe is called {name}");
    }
}

#[test]
fn this_machine_gives_a_report() {
    let report = report(&inspect(&Roots::default()), Support::Loads(&[]));
    assert_ne!(fact(&report, "kernel").1, "");
    assert_eq!(report.tools.len(), TOOLS.len());
}
