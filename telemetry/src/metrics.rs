//! Metrics, kept by `prometheus-client`: typed, without a global, and read by closures when somebody asks.

use std::{borrow::Cow, fmt};

pub use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, prometheus_text},
    metrics::{MetricType, gauge::ConstGauge},
    registry,
};

use crate::names::{Metric, metric};

/// A label: its name and its value.
pub type Label = (&'static str, Cow<'static, str>);

/// Counters by so many labels.
pub type Counters<const N: usize> = Family<[Label; N], Counter>;

/// Histograms by one label.
pub type Histograms = Family<[Label; 1], Histogram, fn() -> Histogram>;

/// The buckets that OpenTelemetry's conventions give durations of whole operations, in seconds.
const DURATION: [f64; 14] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// And those of one token, with finer ones for small models.
const TOKEN: [f64; 15] = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// Histograms of how long something took.
pub fn durations() -> Histograms {
    Family::new_with_constructor(|| Histogram::new(DURATION))
}

/// Histograms of how long a token took.
pub fn token_times() -> Histograms {
    Family::new_with_constructor(|| Histogram::new(TOKEN))
}

/// The metrics of a process.
#[derive(Debug)]
pub struct Registry(registry::Registry);

impl Registry {
    /// One that knows the version of this build.
    pub fn new(version: &'static str) -> Self {
        let mut this = Self(registry::Registry::default());
        this.read(metric::BUILD, move || vec![(vec![("version", version.into())], 1.0)]);
        this
    }

    /// Adds a metric that is counted as things happen.
    pub fn add(&mut self, metric: Metric, value: impl registry::Metric) {
        // The encoder writes the suffix of counters itself.
        let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
        self.0.register(name, metric.help, value);
    }

    /// Adds a gauge that is read when somebody asks.
    pub fn read(&mut self, metric: Metric, read: impl Fn() -> Vec<(Vec<Label>, f64)> + Send + Sync + 'static) {
        self.0.register_collector(Box::new(Read { metric, read: Box::new(read) }));
    }

    /// All of them, in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_text::encode(&mut text, &self.0);
        text
    }

    /// The content type of that text.
    pub const CONTENT_TYPE: &'static str = prometheus_text::CONTENT_TYPE;
}

/// Series as they are at the moment: each with its labels.
type ReadSeries = Box<dyn Fn() -> Vec<(Vec<Label>, f64)> + Send + Sync>;

struct Read {
    metric: Metric,
    read: ReadSeries,
}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Read").field(&self.metric.name).finish()
    }
}

impl Collector for Read {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Metric { name, help } = self.metric;
        let help = format!("{help}.");
        let mut gauge = encoder.encode_descriptor(name, &help, None, MetricType::Gauge)?;
        for (labels, value) in (self.read)() {
            ConstGauge::new(value).encode(gauge.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut registry = Registry::new("1.2.3");
        let runs = Counters::<1>::default();
        registry.add(metric::RUNS, runs.clone());
        runs.get_or_create(&[("topology", "a \"b\"".into())]).inc();
        registry.read(metric::NODES, || vec![(vec![("state", "ready".into())], 2.0), (vec![], 0.5)]);
        let seconds = durations();
        registry.add(metric::RUN_SECONDS, seconds.clone());
        seconds.get_or_create(&[("topology", "moa".into())]).observe(0.03);
        let text = registry.text();
        for line in [
            "# HELP synod_build_info The Synod that runs.",
            "# TYPE synod_build_info gauge",
            "synod_build_info{version=\"1.2.3\"} 1.0",
            "# TYPE synod_runs_total counter",
            "synod_runs_total{topology=\"a \\\"b\\\"\"} 1",
            "synod_nodes{state=\"ready\"} 2.0",
            "synod_nodes 0.5",
            "synod_run_seconds_bucket{topology=\"moa\",le=\"0.04\"} 1",
            "synod_run_seconds_count{topology=\"moa\"} 1",
        ] {
            assert!(text.lines().any(|one| one == line), "no `{line}` in\n{text}");
        }
    }
}
