//! `/metrics`, read as Prometheus reads it, and strictly: whatever is not as it must be fails the test.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::cluster::{PATIENCE, get};

/// Series and their values.
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// The value of the series with exactly these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        self.0.get(&series(name, labels)).copied()
    }
}

/// What is said once `gauge`, of what is under way, is nought: a client knows of its end a moment before it is counted.
pub(crate) async fn at_rest(address: &str, gauge: &str, labels: &[(&str, &str)]) -> Metrics {
    let began = Instant::now();
    loop {
        let metrics = metrics(address).await;
        if metrics.value(gauge, labels) == Some(0.0) {
            return metrics;
        }
        assert!(began.elapsed() < PATIENCE, "{gauge} is never nought");
    }
}

/// What is there now.
pub(crate) async fn metrics(address: &str) -> Metrics {
    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, 200, "{text}");
    let (mut types, mut helps, mut values) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(types.insert(name, kind).is_none(), "twice: {line}");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.ends_with('.') && !help.ends_with(".."), "{line}");
            helps.push(name);
        } else {
            let (head, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match head.strip_suffix('}') {
                Some(head) => head.split_once('{').unwrap(),
                None => (head, ""),
            };
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let kind = types.get(family).unwrap_or_else(|| panic!("no type before {line}"));
            assert_eq!(*kind == "histogram", family != name, "{line}");
            assert!(helps.contains(&family), "no help before {line}");
            let labels = labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
            let value = value.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(values.insert(series(name, labels), value).is_none(), "twice: {line}");
        }
    }
    Metrics(values)
}

fn series(name: &str, mut labels: Vec<String>) -> String {
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}
