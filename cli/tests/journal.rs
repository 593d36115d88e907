//! `tcpstates -Y` against a real journald: one of its own, on a private /run in a mount namespace of its own,
//! read back with journalctl. Needs root and systemd; elsewhere it says why it does not run.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Starts journald, traces a connection to itself, prints what the journal then has as JSON.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
"$JOURNALD" >/dev/null 2>&1 &
journald=$!
trap 'kill $journald' EXIT
for _ in $(seq 200); do [ -S /run/systemd/journal/socket ] && break; sleep 0.05; done
"$SOCKEYE" trace tcpstates -Y -4 -L "$PORT" --ready-file /run/ready >/run/rows 2>/run/errors &
tool=$!
for _ in $(seq 200); do [ -e /run/ready ] && break; sleep 0.05; done
[ -e /run/ready ] || { cat /run/errors >&2; exit 1; }
"$SELF" talk --exact --ignored --nocapture >/dev/null
sleep 0.5
kill -INT $tool
wait $tool
journalctl --directory=/run/log/journal --sync >/dev/null 2>&1 || true
for _ in $(seq 100); do
    entries=$(journalctl --directory=/run/log/journal --no-pager -o json -t tcpstates 2>/dev/null || true)
    [ "$(echo "$entries" | grep -c OBJECT_TCP_NEW_STATE)" -ge 5 ] && break
    sleep 0.05
done
echo "$entries"
"#;

const JOURNALDS: [&str; 2] = ["/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald"];
/// Far from the ports that the kernel gives to clients.
const PORT: u16 = 17_771;

#[test]
#[ignore = "the connection that the other test traces; run by it"]
fn talk() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", PORT)).expect("the port is free");
    let client = std::net::TcpStream::connect(("127.0.0.1", PORT)).expect("it listens");
    let (server, _) = listener.accept().expect("it is connected");
    drop(client);
    drop(server);
}

#[test]
fn every_state_change_is_an_entry_of_a_real_journal() {
    let Some(journald) = JOURNALDS.into_iter().find(|path| Path::new(path).exists()) else {
        return println!("SKIP journal: systemd-journald is not installed");
    };
    let may_mount = Command::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        return println!("SKIP journal: mount namespaces need root");
    }
    let output = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", SCRIPT])
        .env("JOURNALD", journald)
        .env("SOCKEYE", env!("CARGO_BIN_EXE_sockeye"))
        .env("SELF", std::env::current_exe().expect("this test has a path"))
        .env("PORT", PORT.to_string())
        .output()
        .expect("unshare runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("needs CAP_BPF") {
        return println!("SKIP journal: {errors}");
    }
    assert!(output.status.success(), "{errors}");
    let entries: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("journalctl prints JSON"))
        .collect();
    let changes: Vec<String> = entries
        .iter()
        .map(|entry| {
            let field = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
            assert_eq!(field("OBJECT_IPV4_SOURCE_ADDRESS"), "127.0.0.1");
            assert_eq!(field("OBJECT_TCP_SOURCE_PORT"), PORT.to_string());
            assert!(field("MESSAGE").contains(" → "), "{entry}");
            assert!(field("OBJECT_PID").parse::<u32>().is_ok(), "{entry}");
            format!("{} {}", field("OBJECT_TCP_OLD_STATE"), field("OBJECT_TCP_NEW_STATE"))
        })
        .collect();
    for change in
        ["CLOSE LISTEN", "SYN_RECV ESTABLISHED", "ESTABLISHED CLOSE_WAIT", "LAST_ACK CLOSE", "LISTEN CLOSE"]
    {
        assert_eq!(changes.iter().filter(|seen| *seen == change).count(), 1, "{change} in {changes:?}");
    }
}
