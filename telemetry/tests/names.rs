//! The names that others rely on: a change to them is seen here, and nobody speaks of one that does not exist.
// clippy.toml allows these in tests, but does not see that helpers here are part of them.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

use regex::Regex;
use synod_telemetry::names::{attribute, metric, span};

#[test]
fn names_change_only_on_purpose() {
    let metrics = metric::ALL.iter().map(|metric| format!("{}: {}.", metric.name, metric.help));
    let lines: Vec<String> = span::ALL.iter().chain(attribute::ALL).map(ToString::to_string).chain(metrics).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn metrics_have_base_units_and_one_prefix() {
    let names: BTreeSet<&str> = metric::ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), metric::ALL.len(), "a name is given twice");
    let right = Regex::new("^synod_[a-z]+(_[a-z]+)*$").unwrap();
    assert!(names.iter().all(|name| right.is_match(name)), "{names:?}");
    assert!(!names.iter().any(|name| ["_ms", "_mb", "_percent"].iter().any(|unit| name.contains(unit))), "{names:?}");
}

/// A file of the project.
fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The metrics that a text speaks of, without what histograms add to their names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let known: BTreeSet<&str> = metric::ALL.iter().map(|metric| metric.name).collect();
    let names = Regex::new(r"\bsynod_[a-z_]+").unwrap();
    let base = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        let base = ends.iter().find_map(|end| name.strip_suffix(end)).filter(|base| known.contains(base));
        base.unwrap_or(name).to_owned()
    };
    names.find_iter(text).map(|name| base(name.as_str())).collect()
}

#[test]
fn dashboards_alerts_and_documentation_speak_of_metrics_that_exist() {
    let known: BTreeSet<String> = metric::ALL.iter().map(|metric| metric.name.to_owned()).collect();
    for path in ["deploy/grafana-dashboard.json", "deploy/prometheus-alerts.yml", "docs/telemetry.md"] {
        let named = metrics_in(&read(path));
        assert!(named.len() > 5, "{path} names {named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
}

#[test]
fn all_names_are_documented_and_all_metrics_are_on_the_dashboard() {
    let documentation = read("docs/telemetry.md");
    let metrics = metric::ALL.iter().map(|metric| metric.name);
    let missing: Vec<_> = span::ALL
        .iter()
        .chain(attribute::ALL)
        .copied()
        .chain(metrics.clone())
        .filter(|name| !documentation.contains(&format!("`{name}")))
        .collect();
    assert!(missing.is_empty(), "docs/telemetry.md does not name {missing:?}");
    let shown = metrics_in(&read("deploy/grafana-dashboard.json"));
    let hidden: Vec<_> = metrics.filter(|name| !shown.contains(*name) && *name != metric::BUILD.name).collect();
    assert!(hidden.is_empty(), "the dashboard does not show {hidden:?}");
}
