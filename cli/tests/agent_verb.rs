//! `sockeye agent` as a process: what is wrong with its configuration is one line and exit code 64, before anything is
//! loaded; what it does not need it gives up; SIGTERM ends it.

#![cfg(feature = "node")]
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// A folder of a test's own, gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sockeye-agent-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn agent(words: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    command.arg("agent").args(words).env_clear().envs(environment.iter().copied());
    command
}

/// The one line on stderr, and the exit code.
fn ended(output: &Output) -> (String, Option<i32>) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(output.stdout.is_empty());
    let lines: Vec<&str> = said.lines().filter(|line| !line.contains(" INFO ")).collect();
    let [line] = lines.as_slice() else { panic!("not one line: {said}") };
    (line.strip_prefix("error: ").expect("an error").to_owned(), output.status.code())
}

fn refused(words: &[&str], environment: &[(&str, &str)]) -> String {
    let (line, code) = ended(&agent(words, environment).output().unwrap());
    assert_eq!(code, Some(64), "{line}");
    line
}

#[test]
fn a_wrong_flag_variable_or_file_is_one_line_and_64() {
    assert_eq!(
        refused(&["--listn", "x"], &[]),
        "no option --listn; did you mean --listen? (sockeye agent --help lists them)"
    );
    assert_eq!(refused(&["--log-level"], &[]), "--log-level needs a value");
    assert_eq!(refused(&["--log-level", "info", "--log-level", "info"], &[]), "--log-level is given twice");
    assert_eq!(
        refused(&["--node-name", "Node 1"], &[]),
        "--node-name: \"Node 1\" is no node's name: lower-case letters, digits, - and ., at most 253, as `kubectl get \
         nodes` shows it"
    );
    assert_eq!(
        refused(&[], &[("SOCKEYE_QUEUE_SIZE", "many")]),
        "SOCKEYE_QUEUE_SIZE: \"many\" is not a number from 1 to 16777216"
    );
    let folder = Folder::new();
    let file = folder.write("agent.yaml", "listen: auto\nlisen: x\n");
    let line = refused(&["--config", &file], &[]);
    assert_eq!(line, format!("{file}:2: no setting \"lisen\"; did you mean listen?"));
    let line = refused(&["--kubeconfig", "/nonexistent", "--node-name", "n1"], &[]);
    assert_eq!(line, "--kubeconfig: /nonexistent: no such file or directory");
    let broken = folder.write("kubeconfig", "clusters: 5\n");
    let line = refused(&["--kubeconfig", &broken, "--node-name", "n1"], &[]);
    assert!(line.starts_with(&format!("kubernetes: {broken}: ")), "{line}");
}

#[test]
fn a_wrong_certificate_is_one_line_with_its_file_and_64() {
    let folder = Folder::new();
    let cert = folder.write("tls.crt", "nothing");
    let key = folder.write("tls.key", "nothing");
    let words = ["--listen", "0.0.0.0:0", "--tls-cert-file", &cert, "--tls-key-file", &key];
    let words =
        [words.as_slice(), &["--tls-client-ca-file", "/nonexistent", "--admin-listen", "off"]].concat();
    let line = refused(&words, &[]);
    assert_eq!(line, format!("tls: {cert}: has no certificate in PEM (-----BEGIN CERTIFICATE-----)"));
}

#[test]
fn a_taken_port_is_a_failure_and_no_mistake() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _holds = TcpListener::bind(taken).unwrap();
    let words = ["--listen", &taken.to_string(), "--admin-listen", "off"];
    let (line, code) = ended(&agent(&words, &[]).output().unwrap());
    // The C libraries differ in a word.
    assert!(line.starts_with(&format!("listen: {taken}: address ")) && line.ends_with("in use"), "{line}");
    assert_eq!(code, Some(1));
}

/// An agent that runs; killed with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(got) = get() {
            return got;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ask(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit(':').next().unwrap().trim().to_owned()
}

#[test]
fn an_agent_keeps_three_capabilities_answers_probes_and_ends_when_told() {
    let folder = Folder::new();
    let socket = folder.0.join("run/agent.sock");
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = format!("unix:{}", socket.display());
    let words = ["--listen", &listen, "--admin-listen", &admin.to_string(), "--stop-timeout", "2s"];
    let child = agent(&words, &[]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut running = Running(child);
    let alive = until("/healthz", || ask(admin, "/healthz"));
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
    assert!(ask(admin, "/metrics").unwrap().contains("\nsockeye_build_info{version="));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    // BPF, PERFMON and SYS_PTRACE, as far as this test has them itself: in every thread.
    const NEEDED: u64 = 1 << 39 | 1 << 38 | 1 << 19;
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = u64::from_str_radix(&field(&own, "CapPrm"), 16).unwrap();
    let threads = fs::read_dir(Path::new("/proc").join(running.0.id().to_string()).join("task")).unwrap();
    for thread in threads {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        for set in ["CapPrm", "CapEff"] {
            let has = u64::from_str_radix(&field(&status, set), 16).unwrap();
            assert_eq!(has & !(own & NEEDED), 0, "{set}: {has:x}");
        }
        assert_eq!(field(&status, "NoNewPrivs"), "1");
    }

    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let code = until("its end", || running.0.try_wait().unwrap());
    assert_eq!(code.code(), Some(0));
    assert!(!socket.exists());
    let mut said = String::new();
    running.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("stopping signal=\"SIGTERM\""), "{said}");
}
