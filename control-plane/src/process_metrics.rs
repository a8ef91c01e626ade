//! What the process uses, under the names that every Prometheus client library has for it.

use procfs::process::Process;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

/// Reads `/proc` when metrics are asked for. Where it cannot be read there are no such metrics.
#[derive(Debug)]
struct OfProcess;

/// Registers `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and
/// `process_start_time_seconds` (since the epoch).
pub(crate) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(OfProcess));
}

impl Collector for OfProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let Ok(process) = Process::myself() else { return Ok(()) };
        let mut gauges: Vec<(&str, &str, f64)> = Vec::new();
        if let Ok(stat) = process.stat() {
            let ticks = procfs::ticks_per_second() as f64;
            let cpu = ConstCounter::new((stat.utime + stat.stime) as f64 / ticks);
            let help = "CPU time, user and system";
            cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?)?;
            let resident = (stat.rss * procfs::page_size()) as f64;
            gauges.push(("process_resident_memory_bytes", "Resident memory", resident));
            if let Ok(booted) = procfs::boot_time_secs() {
                let start = booted as f64 + stat.starttime as f64 / ticks;
                gauges.push(("process_start_time_seconds", "Start, since the epoch", start));
            }
        }
        if let Ok(open) = process.fd_count() {
            gauges.push(("process_open_fds", "Open file descriptors", open as f64));
        }
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_process() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e6, "{text}");
        assert!(value("process_cpu_seconds_total ") >= 0.0, "{text}");
        assert!(value("process_open_fds ") > 2.0, "{text}");
        assert!(value("process_start_time_seconds ") > 1.7e9, "{text}");
    }
}
