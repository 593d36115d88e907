//! JSON schemas of Kubernetes' objects, for kubeconform. It would fetch them from a web site; we make them from
//! where they come from: the API that each release of Kubernetes publishes in its Go module, and the custom
//! resources in the modules of the Prometheus operator and of cert-manager. Strict: a field that is not in the API is an
//! error, where an API server drops it in silence.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::yaml;
use crate::{tools::Go, workspace};

/// Modules with custom resources, and the files in them.
const CUSTOM: [(&str, &str, &[&str]); 2] = [
    (
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        &[
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        ],
    ),
    ("github.com/cert-manager/cert-manager", "v1.21.2", &["deploy/crds/cert-manager.io_certificates.yaml"]),
];

/// A folder of schemas, and how kubeconform finds them there.
pub struct Schemas {
    folder: PathBuf,
}

impl Schemas {
    /// Schemas of a release of Kubernetes, for these kinds (`apps/v1`, `DaemonSet`).
    pub fn of(kubernetes: &str, kinds: &BTreeSet<(String, String)>, go: &Go) -> Result<Self> {
        let folder = workspace::cache("schemas")?.join(kubernetes);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let api = source("k8s.io/kubernetes", kubernetes, "api/openapi-spec/swagger.json", go)?;
        let api: Value = serde_json::from_str(&api).context("Kubernetes' API is not JSON")?;
        let mut all = builtin(&api);
        for (module, version, paths) in CUSTOM {
            for path in paths {
                all.extend(custom(&yaml::one(&source(module, version, path, go)?)?));
            }
        }
        for (version, kind) in kinds {
            let name = file(version, kind);
            // A kind that no schema has is kubeconform's to report.
            let Some(schema) = all.get(&name) else { continue };
            let path = folder.join(&name);
            fs::write(&path, schema.to_string())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Self { folder })
    }

    /// For `-schema-location`.
    pub fn location(&self) -> String {
        format!("{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", self.folder.display())
    }
}

/// A file of a module, kept in the cache: Go's own cache may be emptied.
fn source(module: &str, version: &str, path: &str, go: &Go) -> Result<String> {
    let name = format!("{}-{version}-{}", module.replace('/', "-"), path.rsplit('/').next().unwrap_or(path));
    let kept = workspace::cache("schemas")?.join(name);
    if let Ok(text) = fs::read_to_string(&kept) {
        return Ok(text);
    }
    eprintln!("schemas: fetching {module} {version} …");
    let original = go.module(module, version)?.join(path);
    let text =
        fs::read_to_string(&original).with_context(|| format!("cannot read {}", original.display()))?;
    let new = kept.with_extension("new");
    fs::write(&new, &text).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
    Ok(text)
}

/// The name by which kubeconform looks for a kind: `daemonset-apps-v1.json`.
fn file(version: &str, kind: &str) -> String {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let group = group.split('.').next().unwrap_or(group);
    let parts = [kind, group, version].into_iter().filter(|part| !part.is_empty());
    format!("{}.json", parts.collect::<Vec<_>>().join("-").to_lowercase())
}

/// Schemas of the kinds in Kubernetes' API, by file name. Each holds the definitions that it needs.
fn builtin(api: &Value) -> BTreeMap<String, Value> {
    let none = Map::new();
    let definitions = api.get("definitions").and_then(Value::as_object).unwrap_or(&none);
    let mut found = BTreeMap::new();
    for (name, definition) in definitions {
        let kinds = definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        for kind in kinds.into_iter().flatten() {
            let text = |key: &str| kind.get(key).and_then(Value::as_str).unwrap_or_default();
            let version = match text("group") {
                "" => text("version").to_owned(),
                group => format!("{group}/{}", text("version")),
            };
            found.insert(file(&version, text("kind")), with_definitions(name, definitions));
        }
    }
    found
}

fn with_definitions(name: &str, definitions: &Map<String, Value>) -> Value {
    let mut needed = Map::new();
    let mut open = vec![name.to_owned()];
    while let Some(name) = open.pop() {
        if needed.contains_key(&name) {
            continue;
        }
        let Some(definition) = definitions.get(&name) else { continue };
        let schema = strict(definition);
        references(&schema, &mut open);
        needed.insert(name, schema);
    }
    json!({ "$ref": format!("#/definitions/{name}"), "definitions": needed })
}

fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            let reference = map.get("$ref").and_then(Value::as_str);
            found.extend(reference.and_then(|text| text.strip_prefix("#/definitions/")).map(str::to_owned));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// Schemas of a custom resource's versions, by file name.
fn custom(definition: &Value) -> BTreeMap<String, Value> {
    let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    let schema = |version: &Value| {
        let name = version.get("name")?.as_str()?;
        let schema = strict(version.pointer("/schema/openAPIV3Schema")?);
        Some((file(&format!("{group}/{name}"), kind), schema))
    };
    versions.into_iter().flatten().filter_map(schema).collect()
}

/// A schema as JSON schema means it, that takes no field it does not name.
fn strict(schema: &Value) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let flag = |key: &str| map.get(key).and_then(Value::as_bool) == Some(true);
    let either = map.get("format").and_then(Value::as_str) == Some("int-or-string");
    if either || flag("x-kubernetes-int-or-string") {
        return json!({ "type": ["integer", "string"] });
    }
    // A quantity is text in the API's words, and a number in everybody's files.
    let quantity = map.get("description").and_then(Value::as_str);
    if quantity.is_some_and(|text| text.starts_with("Quantity is a fixed-point")) {
        return json!({ "type": ["number", "string"] });
    }
    let mut new = Map::new();
    for (key, value) in map {
        match key.as_str() {
            "description" | "default" | "example" => {}
            _ if key.starts_with("x-kubernetes") => {}
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                let properties = properties.map(|(name, schema)| (name.clone(), strict(schema)));
                new.insert(key.clone(), Value::Object(properties.collect()));
            }
            "items" | "additionalProperties" | "not" => drop(new.insert(key.clone(), strict(value))),
            // Parts of a schema that name some of its fields only: closed, none would fit.
            _ => drop(new.insert(key.clone(), value.clone())),
        }
    }
    let named = new.contains_key("properties") && !new.contains_key("additionalProperties");
    // The metadata of a custom resource is an object without fields in its own schema.
    if named && !flag("x-kubernetes-preserve-unknown-fields") {
        new.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    Value::Object(new)
}

#[cfg(test)]
mod tests {
    use super::{builtin, custom, file, strict};
    use serde_json::json;

    #[test]
    fn kinds_have_the_file_names_that_kubeconform_looks_for() {
        assert_eq!(file("v1", "Service"), "service-v1.json");
        assert_eq!(file("apps/v1", "DaemonSet"), "daemonset-apps-v1.json");
        assert_eq!(file("rbac.authorization.k8s.io/v1", "Role"), "role-rbac-v1.json");
        assert_eq!(file("monitoring.coreos.com/v1", "PodMonitor"), "podmonitor-monitoring-v1.json");
    }

    #[test]
    fn an_object_takes_the_fields_that_it_names_and_a_map_takes_any() {
        let schema = strict(&json!({
            "description": "x",
            "properties": {
                "labels": { "additionalProperties": { "type": "string" }, "type": "object" },
                "port": { "x-kubernetes-int-or-string": true },
                "items": { "items": { "properties": { "a": {} } }, "type": "array" },
                "free": { "properties": { "a": {} }, "x-kubernetes-preserve-unknown-fields": true },
            },
            "type": "object"
        }));
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["labels"]["additionalProperties"], json!({ "type": "string" }));
        assert_eq!(schema["properties"]["port"], json!({ "type": ["integer", "string"] }));
        assert_eq!(schema["properties"]["items"]["items"]["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["free"].get("additionalProperties"), None);
    }

    #[test]
    fn a_kind_brings_the_definitions_that_it_needs_and_no_others() {
        let api = json!({ "definitions": {
            "a.Pod": {
                "properties": { "spec": { "$ref": "#/definitions/a.Spec" } },
                "x-kubernetes-group-version-kind": [{ "group": "", "kind": "Pod", "version": "v1" }]
            },
            "a.Spec": { "properties": { "again": { "$ref": "#/definitions/a.Spec" } } },
            "a.Other": {}
        }});
        let found = builtin(&api);
        let schema = &found["pod-v1.json"];
        assert_eq!(schema["$ref"], json!("#/definitions/a.Pod"));
        let names: Vec<_> = schema["definitions"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["a.Pod", "a.Spec"]);
    }

    #[test]
    fn a_custom_resource_has_a_schema_for_each_version() {
        let found = custom(&json!({ "spec": {
            "group": "monitoring.coreos.com",
            "names": { "kind": "PodMonitor" },
            "versions": [{ "name": "v1", "schema": { "openAPIV3Schema": { "properties": { "spec": {} } } } }]
        }}));
        assert_eq!(found["podmonitor-monitoring-v1.json"]["additionalProperties"], json!(false));
    }
}
