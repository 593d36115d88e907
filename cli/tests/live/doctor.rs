//! The doctor on this kernel: its facts are true, its verdicts are what the tools then do.

use std::process::Command;

use crate::{
    bed::{kernel, trace::Trace},
    begin,
};

const TOOLS: [&str; 8] =
    ["tcpstates", "tcpconnect", "tcpconnlat", "tcplife", "tcpaccept", "tcptracer", "tcpretrans", "tcpreset"];

#[test]
fn the_doctor_knows_every_tool_and_each_that_works_starts() {
    begin!();
    let report = kernel::doctor();
    for tool in TOOLS {
        let tools = report["tools"].as_array().unwrap();
        let verdict =
            tools.iter().find(|verdict| verdict["tool"] == tool).unwrap_or_else(|| panic!("{tool}"));
        let health = verdict["health"].as_str().unwrap();
        assert!(["ok", "degraded"].contains(&health), "a supported kernel: {verdict}");
        if health == "degraded" {
            let notes = verdict["notes"].as_array().unwrap();
            assert!(!notes.is_empty(), "why is said: {verdict}");
            for note in notes {
                for part in ["effect", "reason"] {
                    assert!(note[part].as_str().is_some_and(|words| !words.is_empty()), "{note}");
                }
            }
        }
        let ended = Trace::start(&[tool]).stop();
        assert!(ended.status.success(), "{tool}: {}", ended.stderr);
    }
}

#[test]
fn the_doctors_exit_code_tells_the_worst_tool() {
    begin!();
    let status = Command::new(kernel::sockeye()).args(["doctor", "-o", "json"]).output().unwrap().status;
    let report = kernel::doctor();
    let worst =
        report["tools"].as_array().unwrap().iter().map(|tool| match tool["health"].as_str().unwrap() {
            "ok" => 0,
            "degraded" => 1,
            _ => 2,
        });
    assert_eq!(status.code(), worst.max());
}

#[test]
fn the_doctors_facts_are_those_of_the_machine() {
    begin!();
    let report = kernel::doctor();
    let facts = report["facts"].as_array().unwrap();
    let fact = |name: &str| {
        let fact = facts.iter().find(|fact| fact["name"] == name).unwrap_or_else(|| panic!("{name}"));
        fact["value"].as_str().unwrap().to_owned()
    };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(fact("kernel").contains(release.trim()), "{}", fact("kernel"));
    if let Ok(modes) = std::fs::read_to_string("/sys/kernel/security/lockdown") {
        let mode = modes.split_once('[').and_then(|(_, rest)| rest.split_once(']')).unwrap().0;
        assert!(fact("lockdown").contains(mode), "{} is not {mode}", fact("lockdown"));
    }
    for name in ["btf", "capabilities", "cgroup"] {
        assert!(!fact(name).is_empty());
    }
}

#[test]
fn the_doctors_text_names_every_tool() {
    begin!();
    let output = Command::new(kernel::sockeye()).arg("doctor").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for tool in TOOLS {
        assert!(text.contains(tool), "{text}");
    }
}
