//! The hub's figures as metrics, made when somebody asks.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use super::Source;
use crate::api::status::{Buffer, Health, Snapshot};

/// Asks the source.
pub(super) struct Figures(Arc<dyn Source>);

impl Figures {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self(source)
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}

/// Writes metrics one after another.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    /// One value for each label.
    fn labelled(
        &mut self,
        (name, help, unit): (&str, &str, Option<&Unit>),
        kind: MetricType,
        label: &'static str,
        values: Vec<(&str, f64)>,
    ) -> Result<(), fmt::Error> {
        // A metric without a value is not there at all.
        if values.is_empty() {
            return Ok(());
        }
        let mut encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        for (value_of_label, value) in values {
            let labels = [(label, value_of_label)];
            let one = encoder.encode_family(&labels)?;
            match kind {
                MetricType::Counter => ConstCounter::new(value).encode(one)?,
                _ => ConstGauge::new(value).encode(one)?,
            }
        }
        Ok(())
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: Option<f64>,
    ) -> Result<(), fmt::Error> {
        let Some(value) = value else { return Ok(()) };
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
        ConstCounter::new(float(value)).encode(self.0.encode_descriptor(
            name,
            help,
            None,
            MetricType::Counter,
        )?)
    }
}

/// Exact up to 2^53, as every value of Prometheus.
#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
fn float(value: u64) -> f64 {
    value as f64
}

fn switch(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = self.0.snapshot();
        let mut writer = Writer(encoder);
        events(&mut writer, &snapshot)?;
        buffers(&mut writer, &snapshot.buffers)?;
        programs(&mut writer, &snapshot)?;
        subscribers(&mut writer, &snapshot)?;
        pods(&mut writer, &snapshot)
    }
}

fn events(writer: &mut Writer<'_>, snapshot: &Snapshot) -> Result<(), fmt::Error> {
    const COUNTER: MetricType = MetricType::Counter;
    let events = snapshot.events.iter().map(|(kind, count)| (*kind, float(*count)));
    writer.labelled(
        ("events", "Events that left the kernel, by kind.", None),
        COUNTER,
        "kind",
        events.collect(),
    )?;
    let lost = |repaired: bool| {
        snapshot
            .lost
            .iter()
            .filter(move |lost| lost.repaired == repaired)
            .map(|lost| (lost.stage, float(lost.count)))
    };
    let help = "Events that were lost, by the stage that lost them.";
    writer.labelled(("lost_events", help, None), COUNTER, "stage", lost(false).collect())?;
    let help = "Events that were not seen as they happened and were repaired, by the stage that missed them.";
    writer.labelled(("repaired_events", help, None), COUNTER, "stage", lost(true).collect())?;
    let bytes = Some(&Unit::Bytes);
    if let Some(history) = &snapshot.history {
        writer.gauge(
            "history_size",
            "Memory that past events may take.",
            bytes,
            Some(float(history.size_bytes)),
        )?;
        writer.gauge(
            "history_used",
            "Memory that past events take.",
            bytes,
            Some(float(history.used_bytes)),
        )?;
        writer.gauge("history_events", "Past events that are kept.", None, Some(float(history.events)))?;
    }
    Ok(())
}

fn buffers(writer: &mut Writer<'_>, buffers: &[Buffer]) -> Result<(), fmt::Error> {
    const GAUGE: MetricType = MetricType::Gauge;
    let of = |ring: bool| buffers.iter().filter(move |buffer| buffer.ring == ring);
    let size = |buffer: &Buffer| float(buffer.size);
    let bytes = Some(&Unit::Bytes);
    let rings = of(true).map(|ring| (ring.name.as_str(), size(ring)));
    writer.labelled(
        ("ring_size", "Size of a ring between kernel and agent.", bytes),
        GAUGE,
        "ring",
        rings.collect(),
    )?;
    let used = of(true).filter_map(|ring| Some((ring.name.as_str(), float(ring.used?))));
    writer.labelled(
        ("ring_used", "Bytes in a ring that wait to be read.", bytes),
        GAUGE,
        "ring",
        used.collect(),
    )?;
    let maps = of(false).map(|map| (map.name.as_str(), size(map)));
    writer.labelled(
        ("map_max_entries", "Entries that a map of the kernel programs has room for.", None),
        GAUGE,
        "map",
        maps.collect(),
    )?;
    let used = of(false).filter_map(|map| Some((map.name.as_str(), float(map.used?))));
    writer.labelled(
        ("map_entries", "Entries of a map of the kernel programs.", None),
        GAUGE,
        "map",
        used.collect(),
    )?;
    let lost = buffers.iter().map(|buffer| (buffer.name.as_str(), float(buffer.lost)));
    let help = "What did not fit into a ring or map.";
    writer.labelled(("buffer_full", help, None), MetricType::Counter, "buffer", lost.collect())
}

fn programs(writer: &mut Writer<'_>, snapshot: &Snapshot) -> Result<(), fmt::Error> {
    const COUNTER: MetricType = MetricType::Counter;
    let programs = &snapshot.programs;
    #[expect(clippy::cast_precision_loss, reason = "a few programs")]
    let attached = programs.len() as f64;
    writer.gauge("programs_attached", "Kernel programs that are attached.", None, Some(attached))?;
    let named = |figure: fn(&super::super::status::Program) -> Option<f64>| {
        programs.iter().filter_map(move |program| Some((program.name.as_str(), figure(program)?)))
    };
    let help = "Runs of a kernel program; only while kernel.bpf_stats_enabled is 1.";
    writer.labelled(
        ("program_runs", help, None),
        COUNTER,
        "program",
        named(|one| one.run_count.map(float)).collect(),
    )?;
    let help = "Time that a kernel program ran; only while kernel.bpf_stats_enabled is 1.";
    let time = named(|one| one.run_time.map(|time| time.as_secs_f64()));
    writer.labelled(("program_run", help, Some(&Unit::Seconds)), COUNTER, "program", time.collect())?;
    let help = "Times that the kernel did not run a program because it ran already on that CPU.";
    let misses = named(|one| one.recursion_misses.map(float));
    writer.labelled(("program_recursion_misses", help, None), COUNTER, "program", misses.collect())?;
    let degraded = snapshot.tools.iter().map(|tool| (tool.name, switch(tool.health != Health::Ok)));
    let help = "1 for a tool that does not have everything on this kernel.";
    writer.labelled(("tool_degraded", help, None), MetricType::Gauge, "tool", degraded.collect())
}

fn subscribers(writer: &mut Writer<'_>, snapshot: &Snapshot) -> Result<(), fmt::Error> {
    #[expect(clippy::cast_precision_loss, reason = "a few subscribers")]
    let count = snapshot.subscribers.len() as f64;
    writer.gauge("subscribers", "Streams of events that are open.", None, Some(count))?;
    let queued: u64 = snapshot.subscribers.iter().map(|subscriber| subscriber.queued).sum();
    writer.gauge("queued_events", "Events that wait for subscribers.", None, Some(float(queued)))?;
    writer.counter("sent_events", "Events sent to subscribers.", snapshot.sent_events)
}

fn pods(writer: &mut Writer<'_>, snapshot: &Snapshot) -> Result<(), fmt::Error> {
    let Some(watch) = &snapshot.watch else { return Ok(()) };
    let help = "1 while the pods of this node are followed.";
    writer.gauge("pod_watch_synced", help, None, Some(switch(watch.synced)))?;
    writer.gauge("pods", "Pods of this node that are known.", None, Some(float(watch.pods)))?;
    let age = watch.since_last_event.map(|age| age.as_secs_f64());
    writer.gauge("pod_watch_last_event_age", "Since the API server's last word.", Some(&Unit::Seconds), age)
}
