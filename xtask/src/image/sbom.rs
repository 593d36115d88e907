//! What the binary is made of: a CycloneDX document from cargo's own resolution. Without a time and a serial
//! number, both optional there: the same Cargo.lock gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use serde_json::{Value, json};

use crate::{lint, workspace};

/// The document for one package of the workspace and the kernel programs that its binary embeds.
pub fn of_package(name: &str, target: &str) -> Result<Vec<u8>> {
    let metadata = MetadataCommand::new()
        .current_dir(workspace::root())
        .other_options(["--locked", "--filter-platform", target].map(str::to_owned))
        .exec()
        .context("cargo does not say what the binary is made of")?;
    let document = document(&metadata, &[name, lint::KERNEL_CRATE])?;
    serde_json::to_vec_pretty(&document).context("cannot write the list of what the binary is made of")
}

/// The packages that these need to run, and the edges between them; the first is what the document is about.
fn document(metadata: &Metadata, names: &[&str]) -> Result<Value> {
    let members = metadata.workspace_packages();
    let find = |name: &&str| {
        let package = members.iter().find(|package| package.name.as_str() == *name);
        package.map(|package| package.id.clone()).with_context(|| format!("no package {name} here"))
    };
    let roots: Vec<PackageId> = names.iter().map(find).collect::<Result<_>>()?;
    let about = roots.first().context("a document about nothing")?;
    let edges = edges(metadata, &roots)?;
    let packages: BTreeMap<&PackageId, &Package> =
        metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let package =
        |id: &PackageId| packages.get(id).copied().context("cargo names a package that it does not list");
    let mut components = BTreeMap::new();
    let mut dependencies = BTreeMap::new();
    for (id, to) in &edges {
        let one = package(id)?;
        if id != about {
            components.insert(purl(one), component(one, "library"));
        }
        let to: BTreeSet<String> = to.iter().map(|id| package(id).map(purl)).collect::<Result<_>>()?;
        dependencies.insert(purl(one), to);
    }
    let dependencies: Vec<Value> =
        dependencies.iter().map(|(from, to)| json!({ "ref": from, "dependsOn": to })).collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(package(about)?, "application") },
        "components": components.values().collect::<Vec<_>>(),
        "dependencies": dependencies,
    }))
}

/// From each package that is reached to what it needs when it runs: not to build and test it.
fn edges(metadata: &Metadata, roots: &[PackageId]) -> Result<BTreeMap<PackageId, Vec<PackageId>>> {
    let resolve = metadata.resolve.as_ref().context("cargo resolved nothing")?;
    let mut edges = BTreeMap::new();
    let mut todo = roots.to_vec();
    while let Some(id) = todo.pop() {
        if edges.contains_key(&id) {
            continue;
        }
        let node = resolve.nodes.iter().find(|node| node.id == id).context("cargo resolved only a part")?;
        let runs = |kinds: &[cargo_metadata::DepKindInfo]| {
            kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
        };
        let to: Vec<PackageId> =
            node.deps.iter().filter(|dep| runs(&dep.dep_kinds)).map(|dep| dep.pkg.clone()).collect();
        todo.extend(to.iter().cloned());
        edges.insert(id, to);
    }
    Ok(edges)
}

fn component(package: &Package, kind: &str) -> Value {
    let mut value = json!({
        "type": kind,
        "bom-ref": purl(package),
        "name": package.name.as_str(),
        "version": package.version.to_string(),
        "purl": purl(package),
    });
    if let Some(license) = &package.license {
        // The old way to say "or" is no expression.
        value["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    value
}

fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::of_package;

    fn names(document: &Value) -> BTreeSet<&str> {
        let components = document["components"].as_array().unwrap();
        components.iter().map(|component| component["name"].as_str().unwrap()).collect()
    }

    fn example() -> Vec<u8> {
        of_package("cli", concat!("x86_64", "-unknown-linux-musl")).unwrap()
    }

    #[test]
    fn it_names_what_runs_and_not_what_builds_and_tests() {
        let document: Value = serde_json::from_slice(&example()).unwrap();
        assert_eq!(document["metadata"]["component"]["name"], "cli");
        let names = names(&document);
        for there in ["agent", "aya", "clap", "agent-ebpf", "aya-ebpf"] {
            assert!(names.contains(there), "{there}");
        }
        for not_there in ["xtask", "proptest", "aya-build", "cargo_metadata"] {
            assert!(!names.contains(not_there), "{not_there}");
        }
    }

    #[test]
    fn whatever_depends_on_something_depends_on_a_component_of_the_document() {
        let document: Value = serde_json::from_slice(&example()).unwrap();
        let components = document["components"].as_array().unwrap();
        let known: BTreeSet<&str> =
            components.iter().map(|component| component["bom-ref"].as_str().unwrap()).collect();
        let edges = document["dependencies"].as_array().unwrap();
        assert_eq!(edges.len(), known.len() + 1, "every component, and what the document is about");
        for to in edges.iter().flat_map(|edge| edge["dependsOn"].as_array().unwrap()) {
            assert!(known.contains(to.as_str().unwrap()), "{to}");
        }
    }

    #[test]
    fn it_is_the_same_each_time() {
        assert_eq!(example(), example());
    }
}
