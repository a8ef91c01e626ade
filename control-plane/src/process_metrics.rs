//! What the process uses, under the names that every Prometheus client library has for it.

use procfs::process::Process;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
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
        if let Ok(stat) = process.stat() {
            let ticks = procfs::ticks_per_second() as f64;
            let cpu = (stat.utime + stat.stime) as f64 / ticks;
            let mut put = |name, help, metric: &dyn EncodeOne| metric.encode(&mut encoder, name, help);
            put("process_cpu_seconds", "CPU time, user and system", &ConstCounter::new(cpu))?;
            let resident = stat.rss * procfs::page_size();
            put("process_resident_memory_bytes", "Resident memory", &ConstGauge::new(resident as f64))?;
            if let Ok(booted) = procfs::boot_time_secs() {
                let start = booted as f64 + stat.starttime as f64 / ticks;
                put("process_start_time_seconds", "Start, since the epoch", &ConstGauge::new(start))?;
            }
        }
        if let Ok(open) = process.fd_count() {
            let open = ConstGauge::new(open as f64);
            EncodeOne::encode(&open, &mut encoder, "process_open_fds", "Open file descriptors")?;
        }
        Ok(())
    }
}

trait EncodeOne {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> std::fmt::Result;
}

impl<M: EncodeMetric> EncodeOne for M {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> std::fmt::Result {
        EncodeMetric::encode(self, encoder.encode_descriptor(name, help, None, self.metric_type())?)
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
