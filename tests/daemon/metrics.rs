//! What is said of the metrics: docs/metrics.md, the alerts and the dashboard. `UPDATE_DOCS=1` rewrites the first.

use std::collections::{BTreeMap, BTreeSet};

use crate::docs::anchors;
use crate::harness::Vault;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const ALERTS: &str = include_str!("../../manifests/alerts.yaml");
const DASHBOARD: &str = include_str!("../../manifests/dashboard.json");
/// The prefixes of the metrics that the alerts and the dashboard use.
const OURS: [&str; 2] = ["azure_kms_", "kubernetes_healthcheck"];
const RUNBOOK: &str = "docs/troubleshooting.md";
const HEAD: &str = "# Metrics\n\nThe daemon exports these at `:8095/metrics`, as OpenMetrics text. `just docs` writes this \
                    page from what a daemon exports.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n";

/// One family of the registry.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// The families of a daemon that has answered every kind of call.
async fn families() -> BTreeMap<String, Family> {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    daemon.client().round_trips().await.unwrap();
    parse(&daemon.metrics().await)
}

fn parse(metrics: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut latest = String::new();
    for line in metrics.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            latest = name.to_owned();
            families.entry(latest.clone()).or_default().help = help.trim_end_matches('.').to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((labels, _)) = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')) {
            let names = labels.split("\",").map(|pair| pair.split('=').next().unwrap().to_owned());
            families.get_mut(&latest).unwrap().labels.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

/// The names of a family's samples.
fn samples(name: &str, kind: &str) -> Vec<String> {
    match kind {
        "counter" => vec![format!("{name}_total")],
        "histogram" => ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")).to_vec(),
        _ => vec![name.to_owned()],
    }
}

#[tokio::test]
async fn the_documented_metrics_are_those_of_the_registry() {
    let row = |(name, family): (&String, &Family)| {
        let name = if family.kind == "counter" { format!("{name}_total") } else { name.clone() };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{name}` | {} | {} | {} |\n", family.kind, labels.join(", "), family.help)
    };
    let expected = families().await.iter().map(row).fold(HEAD.to_owned(), |page, row| page + &row);
    let path = format!("{ROOT}/docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(path, expected).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page == expected, "docs/metrics.md is out of date: run `just docs`");
}

/// The metrics that a file names.
fn named(file: &str) -> Vec<&str> {
    let words = file.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| OURS.iter().any(|ours| word.starts_with(ours))).collect()
}

#[tokio::test]
async fn the_alerts_and_the_dashboard_name_metrics_that_exist() {
    let families = families().await;
    let known: Vec<String> = families.iter().flat_map(|(name, family)| samples(name, &family.kind)).collect();
    for file in [ALERTS, DASHBOARD] {
        let named = named(file);
        assert!(named.len() >= 7, "{named:?}");
        for name in named {
            assert!(known.iter().any(|known| known == name), "{name} is not in {known:?}");
        }
    }
}

/// The labels that a file asks of metrics: the metric, and the label of each matcher behind it.
fn matchers(file: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    for (at, _) in OURS.iter().flat_map(|ours| file.match_indices(ours)) {
        let rest = &file[at..];
        let name = named(rest)[0];
        let Some(inside) = rest[name.len()..].strip_prefix('{').and_then(|rest| rest.split('}').next())
        else {
            continue;
        };
        let labels = inside.split(',').map(|pair| pair.split(['=', '!']).next().unwrap().to_owned());
        found.extend(labels.map(|label| (name, label)));
    }
    found
}

#[tokio::test]
async fn the_alerts_and_the_dashboard_ask_for_labels_that_exist() {
    let families = families().await;
    for file in [ALERTS, DASHBOARD] {
        let matchers = matchers(file);
        assert!(!matchers.is_empty());
        // Prometheus adds the instance
        for (metric, label) in matchers.into_iter().filter(|(_, label)| label != "instance") {
            let has = |(name, family): (&String, &Family)| {
                samples(name, &family.kind).iter().any(|sample| sample == metric)
                    && family.labels.contains(&label)
            };
            assert!(families.iter().any(has), "{metric} has no label {label}");
        }
    }
}

#[test]
fn the_dashboard_is_json_and_each_panel_has_a_query() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(!panels.is_empty());
    for panel in panels {
        assert!(!named(&panel["targets"].to_string()).is_empty(), "{panel}");
    }
}

#[test]
fn every_alert_leads_to_its_place_in_the_runbook() {
    let anchors = anchors(&std::path::Path::new(ROOT).join(RUNBOOK));
    let values = |key: &'static str| ALERTS.lines().filter_map(move |line| line.trim().strip_prefix(key));
    let (alerts, urls): (Vec<&str>, Vec<&str>) =
        (values("- alert: ").collect(), values("runbook_url: ").collect());
    assert_eq!(urls.len(), alerts.len());
    for (alert, url) in alerts.iter().zip(urls) {
        let (page, anchor) = url.split_once('#').unwrap();
        assert!(page.ends_with(RUNBOOK) && anchors.contains(&anchor.to_owned()), "{url}");
        assert_eq!(anchor, alert.to_lowercase(), "the heading of {alert}");
    }
}
