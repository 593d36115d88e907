//! What the pages say of the code is held against the code: hooks, files, tests, links, and the one law that
//! no lint can hold. Reads the source tree, so it needs one.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use agent::probes;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is around the crate").to_owned()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder whose name ends so, but for what cargo and git put there.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("a folder can be read to its end").path()) {
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, end));
        } else if name.ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Files directly in a folder, without the end of their names.
fn names(folder: &Path, end: &str) -> BTreeSet<String> {
    files(folder, end)
        .iter()
        .filter(|path| path.parent() == Some(folder))
        .filter_map(|path| Some(path.file_name()?.to_str()?.strip_suffix(end)?.to_owned()))
        .collect()
}

/// What stands in backquotes in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The cells of a table's row.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(row.split(" | ").collect())
}

/// The pages that this test holds.
fn pages() -> Vec<PathBuf> {
    let root = root();
    let mut pages = vec![root.join("ARCHITECTURE.md"), root.join("docs/kernels.md")];
    pages.extend(files(&root.join("docs/decisions"), ".md"));
    pages
}

#[test]
fn every_hook_is_on_the_page_with_what_is_missing_without_it() {
    let page = text(&root().join("docs/kernels.md"));
    let rows: Vec<_> = page.lines().filter_map(cells).collect();
    let mut hooks = BTreeSet::new();
    for probe in probes::ALL {
        let hook = format!("`{}`", probe.hook.describe());
        let (name, effect) = (format!("`{}`", probe.name), probe.effect);
        let there =
            rows.iter().any(|row| matches!(row[..], [h, _, n, e] if h == hook && n == name && e == effect));
        assert!(there, "docs/kernels.md needs the row: | {hook} | <kernels> | {name} | {effect} |");
        hooks.insert(hook);
    }
    for row in rows.iter().filter(|row| row.len() == 4 && row[0].contains('/')) {
        assert!(hooks.contains(row[0]), "no probe attaches to {}, but docs/kernels.md has it", row[0]);
    }
}

#[test]
fn every_probe_has_its_file_and_every_file_its_probe() {
    let table: BTreeSet<String> = probes::ALL.iter().map(|probe| probe.name.to_owned()).collect();
    assert_eq!(names(&root().join("agent-ebpf/src/probes"), ".rs"), table);
}

#[test]
fn the_kernels_of_the_matrix_are_on_the_page() {
    let matrix = text(&root().join("xtask/src/test/matrix.rs"));
    let entries = matrix.split("const MATRIX").nth(1).and_then(|rest| rest.split("];").next());
    let entries = entries.expect("xtask/src/test/matrix.rs has the list MATRIX");
    let page = text(&root().join("docs/kernels.md"));
    let mut seen = 0;
    for entry in entries.split("(Series::").skip(1) {
        let lockdown = entry.split('"').nth(1).expect("an entry has a lockdown mode");
        let kernel = match entry.strip_prefix("Numbered(").and_then(|rest| rest.split(')').next()) {
            Some(numbers) => numbers.replace(", ", "."),
            None => "newest".to_owned(),
        };
        let row = format!("| {kernel} | {lockdown} |");
        assert!(page.contains(&row), "docs/kernels.md needs a row that begins with: {row}");
        seen += 1;
    }
    assert!(seen > 0, "this test no longer understands how MATRIX is written");
}

#[test]
fn what_the_architecture_names_is_there() {
    let root = root();
    let sources: String = files(&root, ".rs").iter().map(|path| text(path)).collect();
    let lints = text(&root.join("Cargo.toml"));
    let page = text(&root.join("ARCHITECTURE.md"));
    let mut section = "";
    for line in page.lines() {
        section = line.strip_prefix("## ").unwrap_or(section);
        let mut folder = root.clone();
        for word in quoted(line) {
            if word.contains('/') {
                let path = root.join(word);
                assert!(path.exists(), "ARCHITECTURE.md names {word}, which is not there");
                folder = path.parent().unwrap_or(&root).to_owned();
            } else if word.ends_with(".rs") {
                assert!(folder.join(word).exists(), "{word} is not in {}", folder.display());
            } else if section == "Laws" && word.contains('_') {
                let is_test = sources.contains(&format!("fn {word}("));
                assert!(
                    is_test || lints.contains(&format!("{word} = ")),
                    "no test and no lint is called {word}"
                );
            }
        }
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    for page in pages() {
        let folder = page.parent().expect("a file is in a folder");
        for link in text(&page).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let missing = !link.contains("://") && !folder.join(link).exists();
            assert!(!missing, "{}: {link} is not there", page.display());
        }
    }
}

#[test]
fn decisions_that_the_code_refers_to_are_there() {
    let root = root();
    for path in files(&root, ".rs") {
        for rest in text(&path).split("docs/decisions/").skip(1) {
            let name: String =
                rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).collect();
            if let Some(decision) = name.trim_end_matches('.').strip_suffix(".md") {
                let file = root.join("docs/decisions").join(format!("{decision}.md"));
                assert!(file.exists(), "{}: no docs/decisions/{decision}.md", path.display());
            }
        }
    }
}

#[test]
fn decisions_are_numbered_in_a_row_and_have_the_same_four_parts() {
    for (index, path) in files(&root().join("docs/decisions"), ".md").iter().enumerate() {
        let page = text(path);
        let number = index + 1;
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        assert!(name.starts_with(&format!("{number:04}-")), "{name} comes at place {number}");
        assert!(page.starts_with(&format!("# {number}. ")), "{name} begins with its number");
        let parts: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(parts, ["Context", "Choice", "Rejected", "Consequence"], "{name}");
    }
}

#[test]
fn the_kernel_is_changed_in_one_module() {
    let root = root();
    let inside = root.join("agent/src/bpf");
    for path in [root.join("agent/src"), root.join("cli/src")].iter().flat_map(|folder| files(folder, ".rs"))
    {
        if path.starts_with(&inside) || path == inside.with_extension("rs") {
            continue;
        }
        let names_it =
            text(&path).lines().any(|line| !line.trim_start().starts_with("//") && line.contains("aya::"));
        assert!(!names_it, "{}: only agent/src/bpf may load, attach and write maps (aya)", path.display());
    }
}
