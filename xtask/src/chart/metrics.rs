//! Alerts and dashboard: what they ask for must exist (docs/metrics.md, which the agent's own tests compare with its
//! registry), and promtool must be able to read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    folder,
    helm::{Helm, NEWEST},
    promtool, yaml,
};
use crate::{tools::Have, workspace};

/// What all our metrics begin with.
const PREFIX: &str = "sockeye_";

/// Alerts and dashboard name only metrics that there are.
pub fn known() -> Result<()> {
    let documented = documented(&read(&workspace::root().join("docs/metrics.md"))?);
    ensure!(!documented.is_empty(), "docs/metrics.md names no metric");
    let mut used: BTreeMap<String, &str> = BTreeMap::new();
    for path in ["dashboards/sockeye.json", "alerts/sockeye.yaml"] {
        used.extend(names(&read(&folder().join(path))?).into_iter().map(|name| (name, path)));
    }
    ensure!(!used.is_empty(), "neither dashboard nor alerts name a metric");
    let unknown: Vec<String> = used
        .iter()
        .filter(|(name, _)| !exists(name, &documented))
        .map(|(name, path)| format!("{name} ({path})"))
        .collect();
    ensure!(unknown.is_empty(), "docs/metrics.md has no {}", unknown.join(", "));
    Ok(())
}

/// promtool reads every query, and sees each alert fire when it should and only then.
pub fn queries(helm: &Helm) -> Result<Have<()>> {
    let promtool = match promtool::get()? {
        Have::Yes(program) => program,
        Have::No(why) => return Ok(Have::No(why)),
    };
    let work = workspace::target().join("chart");
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let write = |name: &str, text: &str| {
        let path = work.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display())).map(|()| path)
    };
    let dashboard: Value = serde_json::from_str(&read(&folder().join("dashboards/sockeye.json"))?)
        .context("the dashboard is not JSON")?;
    // The tests name the file of alerts that stands beside them.
    let tests = read(&folder().join("tests/alerts.yaml"))?;
    for (name, text, verb) in [
        ("dashboard.json", recorded(&dashboard)?.to_string(), "check"),
        ("alerts.json", alerts(helm)?.to_string(), "check"),
        ("alerts.yaml", tests, "test"),
    ] {
        let path = write(name, &text)?;
        let output = Command::new(&promtool).args([verb, "rules"]).arg(&path).output();
        let output = output.context("cannot start promtool")?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let found = text.lines().find(|line| line.contains("SUCCESS"));
        ensure!(output.status.success() && found.is_some(), "promtool says: {}", text.trim());
        println!("{name}: {}", found.unwrap_or_default().trim());
    }
    Ok(Have::Yes(()))
}

/// The rules as Prometheus itself takes them.
fn alerts(helm: &Helm) -> Result<Value> {
    let text = helm.render(&folder().join("ci/monitoring-values.yaml"), NEWEST)?;
    let objects = yaml::objects(&text)?;
    let rules =
        objects.iter().find(|object| yaml::kind(object).is_some_and(|(_, kind)| kind == "PrometheusRule"));
    let groups =
        rules.and_then(|rules| rules.pointer("/spec/groups")).context("no PrometheusRule is rendered")?;
    Ok(json!({ "groups": groups }))
}

/// The dashboard's queries as rules that record, with values for Grafana's variables.
fn recorded(dashboard: &Value) -> Result<Value> {
    let mut expressions = Vec::new();
    collect(dashboard, &mut expressions);
    ensure!(!expressions.is_empty(), "the dashboard asks for nothing");
    let rule = |(number, expression): (usize, &String)| {
        let expression = filled_in(expression);
        json!({ "record": format!("dashboard:query_{number}"), "expr": expression })
    };
    let rules: Vec<Value> = expressions.iter().enumerate().map(rule).collect();
    if let Some(rule) = rules.iter().find(|rule| rule["expr"].as_str().is_some_and(|text| text.contains('$')))
    {
        bail!("the dashboard uses a variable that nobody knows: {}", rule["expr"]);
    }
    Ok(json!({ "groups": [{ "name": "dashboard", "rules": rules }] }))
}

fn filled_in(expression: &str) -> String {
    [("$__rate_interval", "5m"), ("$__range", "1h"), ("$job", "sockeye"), ("$node", ".*")]
        .iter()
        .fold(expression.to_owned(), |text, (name, value)| text.replace(name, value))
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// Metrics with a row of their own: `` | `sockeye_…` | ``
fn documented(text: &str) -> BTreeSet<String> {
    let row = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    text.lines().filter_map(row).filter(|name| name.starts_with(PREFIX)).collect()
}

/// All metrics of ours in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words.filter(|word| word.starts_with(PREFIX)).map(str::to_owned).collect()
}

/// Whether a series is one of a documented metric: histograms have several.
fn exists(name: &str, documented: &BTreeSet<String>) -> bool {
    let parts = ["", "_bucket", "_count", "_sum"];
    parts.iter().filter_map(|part| name.strip_suffix(part)).any(|name| documented.contains(name))
}

fn read(path: &PathBuf) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{documented, exists, filled_in, names, recorded};
    use serde_json::json;

    #[test]
    fn a_series_of_a_histogram_is_that_histogram() {
        let all = documented("| `sockeye_a_seconds` | histogram | x |\n| `other` | x |\ntext `sockeye_b`\n");
        assert!(exists("sockeye_a_seconds_bucket", &all) && exists("sockeye_a_seconds", &all));
        assert!(!exists("sockeye_a", &all) && !exists("sockeye_b", &all) && !exists("other", &all));
    }

    #[test]
    fn every_alert_is_seen_to_fire() {
        let text = |path| std::fs::read_to_string(crate::chart::folder().join(path)).unwrap();
        let tests = text("tests/alerts.yaml");
        let alerts = text("alerts/sockeye.yaml");
        let alerts: Vec<&str> = alerts.lines().filter_map(|line| line.strip_prefix("- alert: ")).collect();
        assert!(alerts.len() >= 10, "{alerts:?}");
        for alert in alerts {
            assert!(tests.contains(&format!("{{alertname=\"{alert}\"}}")), "tests/alerts.yaml lacks {alert}");
        }
    }

    #[test]
    fn metrics_are_found_inside_of_queries() {
        let found = names("sum by (node) (rate(sockeye_x_total{job=\"$job\"}[5m])) / sockeye_y");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["sockeye_x_total", "sockeye_y"]);
    }

    #[test]
    fn every_query_of_a_dashboard_is_checked_and_unknown_variables_are_named() {
        assert_eq!(filled_in("x{node=~\"$node\"}[$__rate_interval]"), "x{node=~\".*\"}[5m]");
        let rules =
            recorded(&json!({ "panels": [{ "targets": [{ "expr": "a" }, { "expr": "b" }] }] })).unwrap();
        assert_eq!(rules["groups"][0]["rules"].as_array().unwrap().len(), 2);
        assert!(recorded(&json!({ "panels": [{ "targets": [{ "expr": "$mine" }] }] })).is_err());
        assert!(recorded(&json!({})).is_err());
    }
}
