//! Any text as a cgroup's path and as a label selector.

#![no_main]

use agent::identity::{
    cgroup_path::{node_of, place, relative, resolve},
    labels::Labels,
    selector::Selector,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let node = node_of(text);
    let _ = (place(text, None), place(text, Some(node)), place(text, Some("/")), relative(text));
    if let Some((own, path)) = text.split_once('\n') {
        let _ = (resolve(own, path), place(path, Some(own)));
    }
    let labels: Labels = text.split(',').filter_map(|pair| pair.split_once('=')).collect();
    if let Ok(selector) = text.parse::<Selector>() {
        selector.matches(&labels);
    }
});
