//! The page of metrics, judged by promtool.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, SystemTime},
};

use proto::v1::LossStage;

use super::{ApiMetrics, Metrics, Refusal, Source};
use crate::api::status::{Buffer, Health, History, Loss, Program, Snapshot, Subscriber, Tool, Watch};

/// A snapshot in which nothing is absent.
struct Everything;

impl Source for Everything {
    fn snapshot(&self) -> Snapshot {
        let buffer =
            |name: &str, ring| Buffer { name: name.to_owned(), ring, size: 4096, used: Some(16), lost: 1 };
        let loss = |stage, api_stage, repaired| Loss { stage, api_stage, count: 3, repaired };
        Snapshot {
            tools: vec![Tool { name: "tcplife", health: Health::Degraded, reasons: vec!["why".to_owned()] }],
            programs: vec![Program {
                name: "inet_sock_set".to_owned(),
                hook: "tp_btf/inet_sock_set_state".to_owned(),
                run_count: Some(7),
                run_time: Some(Duration::from_millis(1500)),
                recursion_misses: Some(0),
            }],
            buffers: vec![buffer("BULK", true), buffer("SOCKETS", false)],
            subscribers: vec![Subscriber { queued: 5, ..Subscriber::default() }],
            sent_events: 9,
            watch: Some(Watch {
                synced: true,
                pods: 3,
                since_last_event: Some(Duration::from_secs(2)),
                error: None,
            }),
            history: Some(History { size_bytes: 10, used_bytes: 5, events: 1 }),
            events: vec![("connect", 4), ("close", 2)],
            events_per_second: 1.0,
            lost: vec![
                loss("kernel_ring", LossStage::KernelRing, false),
                loss("kernel_missed", LossStage::KernelMissed, true),
            ],
        }
    }
}

fn metrics() -> Metrics {
    let api = ApiMetrics::default();
    api.refused(Refusal::Connections);
    api.answered("Observe", tonic::Code::Ok);
    api.reviewed("token", "answered");
    api.certificate_expires(SystemTime::now());
    Metrics::new(&api, Arc::new(Everything))
}

/// Names with their types, as Prometheus reads them.
fn families(text: &str) -> BTreeSet<(String, String)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

#[test]
fn figures_come_out_as_they_went_in() {
    let text = metrics().prometheus().unwrap();
    for line in [
        "sockeye_events_total{kind=\"connect\"} 4.0",
        "sockeye_lost_events_total{stage=\"kernel_ring\"} 3.0",
        "sockeye_repaired_events_total{stage=\"kernel_missed\"} 3.0",
        "sockeye_ring_used_bytes{ring=\"BULK\"} 16.0",
        "sockeye_map_entries{map=\"SOCKETS\"} 16.0",
        "sockeye_program_run_seconds_total{program=\"inet_sock_set\"} 1.5",
        "sockeye_tool_degraded{tool=\"tcplife\"} 1.0",
        "sockeye_queued_events 5.0",
        "sockeye_pod_watch_synced 1.0",
        "sockeye_connections_refused_total{reason=\"max_connections\"} 1",
        "sockeye_calls_total{method=\"Observe\",code=\"OK\"} 1",
    ] {
        assert!(text.lines().any(|there| there == line), "no {line} in\n{text}");
    }
}

#[test]
fn without_tls_no_certificate_expires() {
    let name = "sockeye_tls_certificate_expiry_timestamp_seconds";
    let has_sample =
        |metrics: &Metrics| metrics.prometheus().unwrap().lines().any(|line| line.starts_with(name));
    assert!(has_sample(&metrics()));
    assert!(!has_sample(&Metrics::new(&ApiMetrics::default(), Arc::new(Everything))));
}

#[test]
fn the_page_of_metrics_has_each_and_no_other() {
    let page = include_str!("../../../../docs/metrics.md");
    let documented: BTreeSet<(String, String)> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.strip_suffix('`')?;
            Some((name.to_owned(), cells.next()?.to_owned()))
        })
        .collect();
    let there = families(&metrics().prometheus().unwrap());
    let missing: Vec<_> = there.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&there).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "docs/metrics.md lacks {missing:?}, and has {gone:?} too many"
    );
}

/// promtool of this machine, or the one that `cargo xtask chart` unpacked.
fn promtool() -> Option<PathBuf> {
    let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let caches = caches.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let paths = std::env::var_os("PATH").map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>());
    let folders = paths.unwrap_or_default().into_iter();
    let unpacked = caches.join("sockeye/prometheus/root/usr/bin");
    folders.chain([unpacked]).map(|folder| folder.join("promtool")).find(|program| program.is_file())
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let Some(promtool) = promtool() else {
        println!("SKIP promtool_finds_nothing_to_complain_about: no promtool on this machine");
        return;
    };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = metrics().prometheus().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}
