//! Kernels that are too old: refused in one clear sentence. Runs only with `SOCKEYE_EXPECT=refusal`.

use std::process::Command;

use crate::bed::kernel;

#[test]
fn an_old_kernel_is_refused_in_one_clear_sentence() {
    if !kernel::refusal_expected() {
        return;
    }
    let mut tools = vec![vec!["doctor"]];
    for tool in [
        "tcpstates",
        "tcpconnect",
        "tcpconnlat",
        "tcplife",
        "tcpaccept",
        "tcptracer",
        "tcpretrans",
        "tcpreset",
    ] {
        tools.push(vec!["trace", tool]);
    }
    for arguments in tools {
        let output = Command::new(kernel::sockeye()).args(&arguments).output().unwrap();
        let words =
            String::from_utf8_lossy(if arguments == ["doctor"] { &output.stdout } else { &output.stderr });
        assert!(words.contains("5.15"), "{arguments:?} must name the oldest kernel that works: {words:?}");
        assert!(!words.contains("panicked"), "{words}");
        if arguments != ["doctor"] {
            assert_eq!(output.status.code(), Some(1), "{words}");
            assert_eq!(words.trim_end().lines().count(), 1, "one line: {words:?}");
            assert!(output.stdout.is_empty(), "no header before a refusal");
        }
    }
}
