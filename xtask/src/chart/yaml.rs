//! YAML as JSON values.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// One document.
pub fn one(text: &str) -> Result<Value> {
    serde_saphyr::from_str(text).context("not YAML")
}

/// The objects in helm's output.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).context("helm wrote something that is not YAML")?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// What an object is: `apps/v1` and `DaemonSet`.
pub fn kind(object: &Value) -> Option<(&str, &str)> {
    Some((object.get("apiVersion")?.as_str()?, object.get("kind")?.as_str()?))
}

#[cfg(test)]
mod tests {
    use super::{kind, objects};

    #[test]
    fn documents_without_content_are_no_objects() {
        let text =
            "---\n# nothing\n---\napiVersion: v1\nkind: Service\n---\napiVersion: apps/v1\nkind: DaemonSet\n";
        let objects = objects(text).unwrap();
        let kinds: Vec<_> = objects.iter().filter_map(kind).collect();
        assert_eq!(kinds, [("v1", "Service"), ("apps/v1", "DaemonSet")]);
    }
}
