//! What the process uses: memory, processor time, descriptors.

use std::fmt;

use procfs::process::Process as Proc;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Looked at when somebody asks. What cannot be read is not there.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Ok(process) = Proc::myself() else { return Ok(()) };
        let mut put = |name, help, unit: Option<&Unit>, metric: &dyn Encode| {
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.kind())?)
        };
        if let Ok(stat) = process.stat() {
            let ticks = procfs::ticks_per_second().max(1);
            #[expect(clippy::cast_precision_loss, reason = "seconds of a process")]
            let seconds = (stat.utime + stat.stime) as f64 / ticks as f64;
            let help = "Processor time used.";
            put("cpu", help, Some(&Unit::Seconds), &ConstCounter::new(seconds))?;
            let resident = stat.rss.saturating_mul(procfs::page_size());
            put("resident_memory", "Memory in use.", Some(&Unit::Bytes), &gauge(resident))?;
        }
        if let Ok(descriptors) = process.fd_count() {
            put("open_fds", "Open descriptors.", None, &gauge(descriptors as u64))?;
        }
        Ok(())
    }
}

pub(super) fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

/// `EncodeMetric` without the part that keeps it from being an object.
pub(super) trait Encode {
    fn encode(&self, encoder: prometheus_client::encoding::MetricEncoder<'_>) -> Result<(), fmt::Error>;
    fn kind(&self) -> prometheus_client::metrics::MetricType;
}

impl<M: EncodeMetric> Encode for M {
    fn encode(&self, encoder: prometheus_client::encoding::MetricEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeMetric::encode(self, encoder)
    }

    fn kind(&self) -> prometheus_client::metrics::MetricType {
        self.metric_type()
    }
}
