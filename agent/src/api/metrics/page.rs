//! docs/metrics.md and the registry, held together: names, types, labels, meanings.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use proto::v1::LossStage;

use super::{ApiMetrics, Metrics, Refusal, Source};
use crate::api::status::{Buffer, Health, History, Loss, Program, Snapshot, Subscriber, Tool, Watch};

/// A source that has a value for everything.
struct Full;

impl Source for Full {
    fn snapshot(&self) -> Snapshot {
        let second = Some(Duration::from_secs(1));
        let program = Program {
            name: "p".to_owned(),
            run_count: Some(1),
            run_time: second,
            recursion_misses: Some(1),
            ..Program::default()
        };
        let buffer = |ring| Buffer { name: "b".to_owned(), ring, size: 1, used: Some(1), lost: 1 };
        let loss = |repaired| Loss { stage: "s", api_stage: LossStage::KernelRing, count: 1, repaired };
        Snapshot {
            tools: vec![Tool { name: "t", health: Health::Ok, reasons: Vec::new() }],
            programs: vec![program],
            buffers: vec![buffer(true), buffer(false)],
            subscribers: vec![Subscriber::default()],
            sent_events: 1,
            watch: Some(Watch { since_last_event: second, ..Watch::default() }),
            history: Some(History::default()),
            events: vec![("connect", 1)],
            events_per_second: 1.0,
            lost: vec![loss(false), loss(true)],
        }
    }
}

fn exposed() -> String {
    let api = ApiMetrics::default();
    api.refused(Refusal::Connections);
    api.answered("Observe", tonic::Code::Ok);
    api.reviewed("token", "allowed");
    api.certificate_expires(SystemTime::now());
    Metrics::new(&api, Arc::new(Full)).prometheus().unwrap()
}

/// Rows of the page as the registry would have them, by name.
fn rows() -> BTreeMap<String, String> {
    let text = exposed();
    let mut rows = BTreeMap::new();
    let pairs = |prefix: &'static str| {
        text.lines().filter_map(move |line| line.strip_prefix(prefix)?.split_once(' '))
    };
    let kinds: BTreeMap<&str, &str> = pairs("# TYPE ").collect();
    for (name, help) in pairs("# HELP ") {
        let sample =
            text.lines().find(|line| line.starts_with(name) && !line.starts_with('#')).unwrap_or_default();
        let labels =
            sample.split_once('{').and_then(|(_, rest)| Some(rest.split_once('}')?.0)).unwrap_or_default();
        let labels = labels.split(',').filter_map(|label| Some(format!("`{}`", label.split_once('=')?.0)));
        let labels = labels.collect::<Vec<_>>().join(", ");
        let labels = if labels.is_empty() { String::new() } else { format!("{labels} ") };
        let help = help.trim_end_matches('.');
        rows.insert(name.to_owned(), format!("| `{name}` | {} | {labels}| {help}. |", kinds[name]));
    }
    rows
}

#[test]
fn the_page_of_metrics_has_each_with_type_labels_and_meaning() {
    let page = include_str!("../../../../docs/metrics.md");
    let rows = rows();
    assert!(rows.len() > 30, "{rows:#?}");
    let missing: Vec<&String> = rows.values().filter(|row| !page.lines().any(|line| line == *row)).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks\n{missing:#?}");
}

#[test]
fn the_page_of_metrics_has_none_that_is_not_there() {
    let page = include_str!("../../../../docs/metrics.md");
    let named = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let named: BTreeSet<&str> = named.map(|(name, _)| name).collect();
    let there = rows();
    let gone: Vec<&str> = named.into_iter().filter(|name| !there.contains_key(*name)).collect();
    assert!(gone.is_empty(), "docs/metrics.md has {gone:?}, which no agent tells");
}
