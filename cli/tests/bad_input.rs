//! Mistakes on the command line, against the built program: one line on stderr, nothing on stdout, exit code
//! 64, and all of it before any right is asked for.

use std::process::{Command, Output};

fn sockeye(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sockeye")).args(words).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("messages are UTF-8")
}

/// The one line that the words are answered with, without `error: `.
fn refused(words: &[&str]) -> String {
    let output = sockeye(words);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{words:?}: {said}");
    assert!(output.stdout.is_empty(), "{words:?} printed {}", text(&output.stdout));
    let line = said.strip_suffix('\n').unwrap_or_else(|| panic!("{words:?}: no line: {said:?}"));
    assert!(!line.contains('\n'), "{words:?}: more than one line: {said}");
    line.strip_prefix("error: ").unwrap_or_else(|| panic!("{words:?}: {line}")).to_owned()
}

/// The same for a tool with one string of words.
fn tool(words: &str) -> String {
    let words: Vec<&str> = ["trace"].into_iter().chain(words.split_whitespace()).collect();
    refused(&words)
}

#[test]
fn unknown_names_come_with_the_nearest_one() {
    assert_eq!(tool("tcplif"), "no tool \"tcplif\"; did you mean tcplife? (sockeye trace --help lists them)");
    assert_eq!(
        tool("tcpstate"),
        "no tool \"tcpstate\"; did you mean tcpstates? (sockeye trace --help lists them)"
    );
    assert_eq!(tool("xyz"), "no tool \"xyz\" (sockeye trace --help lists them)");
    assert_eq!(refused(&["doctr"]), "no command \"doctr\"; did you mean doctor? (sockeye --help lists them)");
    assert_eq!(
        tool("tcplife --widee"),
        "no option --widee; did you mean --wide? (sockeye trace tcplife --help lists them)"
    );
    assert_eq!(tool("life -q"), "no option -q (sockeye trace life --help lists them)");
    assert_eq!(refused(&["--tcplife"]), "no option --tcplife (sockeye --help lists them)");
}

#[test]
fn missing_and_superfluous_words_are_named() {
    assert_eq!(refused(&["trace"]), "which tool? (sockeye trace --help lists them)");
    assert_eq!(tool("tcplife 5"), "\"5\" is one argument too many (sockeye trace tcplife --help says more)");
    assert_eq!(tool("tcplife -o"), "--output needs a value");
    assert_eq!(tool("tcplife --wide=3"), "--wide takes no value");
    assert_eq!(tool("tcplife -o json -o csv"), "--output is given twice");
    assert_eq!(
        refused(&["completion"]),
        "sockeye completion needs a shell (sockeye completion --help says more)"
    );
    assert_eq!(refused(&["completion", "tcsh"]), "no \"tcsh\"; there are bash, zsh, fish");
    assert_eq!(refused(&["doctor", "-o", "xml"]), "--output: no \"xml\"; there are text, json");
}

#[test]
fn ports_are_1_to_65535_in_every_tool_and_under_every_letter() {
    for option in [
        "tcpstates -L",
        "tcpstates -D",
        "tcpconnect -P",
        "tcpconnect --localport",
        "tcpconnlat -D",
        "tcplife -L",
        "tcplife -D",
        "tcpaccept -P",
        "tcpaccept -L",
        "tcptracer -L",
        "tcpretrans -L",
        "tcpreset -L",
        "tcpreset -D",
        "tcpretrans -D",
        "tcptracer -D",
    ] {
        for (value, reason) in [
            ("0", "there is no port 0; ports are 1 to 65535"),
            ("70000", "there is no port 70000; ports are 1 to 65535"),
            ("-1", "there is no port -1; ports are 1 to 65535"),
            ("http", "\"http\" is not a port number (1 to 65535)"),
            ("80,,443", "\"80,,443\" has an empty item; give ports as 80 or 80,443"),
            ("80,443,", "\"80,443,\" has an empty item; give ports as 80 or 80,443"),
        ] {
            let said = tool(&format!("{option} {value}"));
            assert!(
                said.starts_with("--") && said.ends_with(&format!(": {reason}")),
                "{option} {value}: {said}"
            );
        }
    }
    assert_eq!(
        refused(&["trace", "tcplife", "-L", ""]),
        "--localport: the list is empty; give ports as 80 or 80,443"
    );
    assert_eq!(tool("tcpaccept -P http"), "--port: \"http\" is not a port number (1 to 65535)");
}

#[test]
fn prefixes_have_no_host_bits() {
    assert_eq!(
        tool("tcplife --local 10.1.2.3/8"),
        "--local: 10.1.2.3/8 has host bits set; the network is 10.0.0.0/8, the single address 10.1.2.3"
    );
    assert_eq!(
        tool("tcplife --remote 2001:db8::1/32"),
        "--remote: 2001:db8::1/32 has host bits set; the network is 2001:db8::/32, the single address 2001:db8::1"
    );
    assert_eq!(
        tool("tcplife --remote example.org"),
        "--remote: \"example.org\" is not an address prefix; write it as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"
    );
    assert_eq!(
        tool("tcplife --local 10.0.0.0/33"),
        "--local: \"10.0.0.0/33\": IPv4 prefixes have 0 to 32 bits"
    );
}

#[test]
fn contradictions_are_refused() {
    assert_eq!(tool("tcplife -4 -6"), "-4 and -6 exclude each other");
    assert_eq!(tool("tcpconnlat -46"), "-4 and -6 exclude each other");
    assert_eq!(tool("tcpconnect -c -d"), "-c/--count and -d/--dns exclude each other");
    assert_eq!(tool("tcpconnect -c --failed"), "-c/--count and --failed exclude each other");
    assert_eq!(tool("tcpstates -s -o json"), "-s/--csv and another -o/--output exclude each other");
}

#[test]
fn durations_are_positive_and_have_a_unit() {
    assert_eq!(
        refused(&["trace", "tcplife", "--for", "5 parsecs"]),
        "--for: \"5 parsecs\" is not a duration; write it as 500ms, 10s, 5m or 1h30m"
    );
    for words in ["tcplife --for -5s", "tcplife --for=-5s"] {
        assert_eq!(
            tool(words),
            "--for: -5s is not longer than no time at all; write a duration as 500ms, 10s or 5m"
        );
    }
    for (words, value) in [
        ("tcpconnlat -5", "-5"),
        ("connlat -0.5", "-0.5"),
        ("tcpconnlat slow", "slow"),
        ("tcpconnlat -- -1", "-1"),
    ] {
        assert_eq!(
            tool(words),
            format!("\"{value}\" is not a minimum latency; write it in milliseconds, 0 or more, as 5 or 0.1")
        );
    }
}

#[test]
fn other_values_say_what_would_be_right() {
    assert_eq!(tool("tcplife -o xml"), "--output: no \"xml\"; there are table, wide, json, csv, bcc");
    assert_eq!(tool("tcplife --color blue"), "--color: no \"blue\"; there are auto, always, never");
    assert_eq!(
        tool("tcplife --time-format iso"),
        "--time-format: no \"iso\"; there are clock, clock-ms, rfc3339, utc, unix"
    );
    assert_eq!(tool("tcplife --max-events 0"), "--max-events: \"0\" is not a number of events (1 or more)");
    assert_eq!(tool("tcplife --max-events -1"), "--max-events: \"-1\" is not a number of events (1 or more)");
    assert_eq!(
        tool("tcplife --buffer-size lots"),
        "--buffer-size: \"lots\" is not a size; write it as 65536, 512KiB or 4MiB"
    );
    assert_eq!(
        tool("tcplife --buffer-size 1"),
        "--buffer-size: 1 is out of bounds; the rings take 4KiB to 1GiB"
    );
    assert_eq!(tool("tcplife -p nginx"), "--pid: \"nginx\" is not a process id (1 to 4194304)");
    assert_eq!(tool("tcplife -p -1"), "--pid: \"-1\" is not a process id (1 to 4194304)");
    assert_eq!(tool("tcplife -u root"), "--uid: \"root\" is not a user id (a number)");
}

#[test]
fn what_is_not_on_this_machine_is_named() {
    // 4194304 is PID_MAX_LIMIT: pids end one below it.
    assert_eq!(tool("tcplife -p 4194304"), "--pid: 4194304: no such process");
    assert_eq!(
        tool("tcplife --netns no-such-netns"),
        "--netns: no-such-netns: no network namespace has this name; give a name of `ip netns`, a path, an inode \
         or a pid"
    );
    assert_eq!(
        tool("tcplife --netns /etc/passwd"),
        "--netns: /etc/passwd: is no network namespace (not on nsfs)"
    );
    assert_eq!(tool("tcplife --cgroup /etc"), "--cgroup: /etc: is no cgroup (not on a cgroup2 filesystem)");
    assert_eq!(tool("tcplife --cgroup /no/such"), "--cgroup: /no/such: is no cgroup (no such directory)");
    assert_eq!(
        tool("tcplife -C /etc"),
        "--cgroupmap: /etc: is no cgroup (not on a cgroup2 filesystem), and no pinned BPF map"
    );
    assert_eq!(tool("tcplife -M /etc"), "--mntnsmap: /etc: is no pinned BPF map (not on a BPF file system)");
}

#[test]
fn what_the_user_typed_does_not_control_the_terminal() {
    assert_eq!(
        refused(&["trace", "tcplife", "-N", "\u{1b}[2J\nx"]),
        "--netns: \\x1b[2J x: no network namespace has this name; give a name of `ip netns`, a path, an \
         inode or a pid"
    );
}

#[test]
fn help_and_version_go_to_stdout_and_are_no_mistake() {
    for words in [
        vec![],
        vec!["--help"],
        vec!["-V"],
        vec!["trace", "--help"],
        vec!["trace", "tcplife", "-h"],
        vec!["trace", "tcplife", "-?"],
        vec!["trace", "tcplife", "--help"],
        vec!["trace", "tcplife", "--usage"],
        vec!["trace", "tcplife", "--version"],
        vec!["trace", "tcplife", "--explain"],
        vec!["trace", "tcplife", "--ebpf"],
        vec!["completion", "bash"],
        vec!["completion", "zsh"],
        vec!["completion", "fish"],
    ] {
        let output = sockeye(&words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(output.stderr.is_empty(), "{words:?}: {}", text(&output.stderr));
        assert!(!output.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn every_option_of_bcc_is_taken_under_every_name() {
    // --explain: the whole command line is checked, and no right is needed.
    for words in [
        "tcpstates -T -t -w -L 80 -D 443 -Y -4",
        "tcpstates --time --timestamp --wide --csv --localport 1,2 --remoteport 3 --journal --ipv6",
        "tcpstates -s -v",
        "tcpconnect -t -p 1 -P 80,81 -L -U -u 0 -c -s -v -4",
        "tcpconnect --timestamp --pid 1 --port 80 --lport --print-uid --uid 0 --dns --source-port --verbose -6",
        "tcpconnect -d",
        "tcpconnlat -t -p 1 -L -v -4 0.1",
        "tcpconnlat --timestamp --pid 1 --lport --verbose --ipv6 5",
        "tcplife -T -t -w -s -p 1 -L 1,2 -D 3 -4 -v",
        "tcplife --time --timestamp --wide --csv --pid 1 --localport 1 --remoteport 2 --ipv6 --verbose",
        "tcptracer -t -p 1 -N SELF -v -U -u 0 -4",
        "tcptracer --timestamp --pid 1 --netns SELF --verbose --print-uid --uid 0 --ipv6",
        "tcpretrans -s -l -c -4",
        "tcpretrans --sequence --lossprobe --count --ipv6",
        "tcpaccept -T -t -p 1 -P 80,81 -4",
        "tcpaccept --time --timestamp --pid 1 --port 80 --ipv6",
    ] {
        for prefix in ["", "tcp"] {
            let words = words.replace("SELF", &std::process::id().to_string());
            let words = format!("{prefix}{} --explain", &words[3..]);
            let words: Vec<&str> = ["trace"].into_iter().chain(words.split_whitespace()).collect();
            let output = sockeye(&words);
            assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output.stderr));
        }
    }
}
