//! Every object of every rendering against the API of the oldest and the newest Kubernetes, by kubeconform.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    helm::{Helm, NEWEST, OLDEST, cases},
    schemas::Schemas,
    yaml,
};
use crate::{
    tools::{Go, Have, KUBECONFORM},
    workspace,
};

/// Renders and compares; without Go there is neither program nor schema.
pub fn check(helm: &Helm) -> Result<Have<()>> {
    let (program, go) = match (KUBECONFORM.get()?, Go::get()?) {
        (Have::Yes(program), Have::Yes(go)) => (program, go),
        (Have::No(why), _) | (_, Have::No(why)) => return Ok(Have::No(why)),
    };
    let folder = workspace::target().join("chart");
    for kubernetes in [OLDEST, NEWEST] {
        let folder = folder.join(kubernetes);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut kinds = BTreeSet::new();
        for case in cases()? {
            let objects = yaml::objects(&helm.render(&case.values, kubernetes)?)?;
            kinds.extend(
                objects.iter().filter_map(yaml::kind).map(|(version, kind)| (version.into(), kind.into())),
            );
            write(&folder.join(format!("{}.json", case.name)), &objects)?;
        }
        let schemas = Schemas::of(kubernetes, &kinds, &go)?;
        let verdict = verdict(&program, &schemas, &folder)?;
        ensure!(verdict.fine, "Kubernetes {kubernetes}: kubeconform says:\n{}", verdict.text);
        println!("Kubernetes {kubernetes}: {}", verdict.text);
        refuses_what_is_wrong(&program, &schemas, &folder)?;
    }
    Ok(Have::Yes(()))
}

/// What kubeconform says.
struct Verdict {
    fine: bool,
    text: String,
}

fn verdict(program: &Path, schemas: &Schemas, folder: &Path) -> Result<Verdict> {
    let mut command = Command::new(program);
    command.args(["-strict", "-summary", "-schema-location", &schemas.location()]).arg(folder);
    // What it finds is on stdout, whatever its exit status.
    let output = command.output().context("cannot start kubeconform")?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
    // An empty folder is valid, too, and so is what no schema knows.
    let all = text.contains("Invalid: 0, Errors: 0, Skipped: 0") && !text.contains("Valid: 0");
    Ok(Verdict { fine: output.status.success() && all, text })
}

/// Schemas that take anything would let anything pass: a field that nobody knows, one in the wrong place and a value of
/// the wrong type must not.
fn refuses_what_is_wrong(program: &Path, schemas: &Schemas, folder: &Path) -> Result<()> {
    let text = fs::read_to_string(folder.join("default.json")).context("cannot read a rendering")?;
    for (right, wrong) in [
        ("\"hostPID\":true", "\"hostPid\":true"),
        ("\"hostPID\":true", "\"hostPID\":\"yes\""),
        ("\"clusterIP\":", "\"hostPID\":true,\"clusterIP\":"),
        ("\"containerPort\":", "\"port\":"),
    ] {
        ensure!(text.contains(right), "no rendering has {right} any more");
        let folder = folder.join("wrong");
        fs::create_dir_all(&folder).context("cannot make a folder")?;
        fs::write(folder.join("wrong.json"), text.replace(right, wrong)).context("cannot write")?;
        let verdict = verdict(program, schemas, &folder)?;
        ensure!(!verdict.fine, "kubeconform takes {wrong}: the schemas are no good");
    }
    Ok(())
}

/// As a list, which kubeconform takes apart.
fn write(path: &Path, objects: &[Value]) -> Result<()> {
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    fs::write(path, list.to_string()).with_context(|| format!("cannot write {}", path.display()))
}
