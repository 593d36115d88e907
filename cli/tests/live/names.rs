//! What containers are named by: new cgroups with their names, older processes with their places.
//!
//! No tool shows these, so here alone the engine is loaded into the test itself.

use std::{
    fs,
    ops::ControlFlow,
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

use agent::{
    decode::{CgroupMade, Context},
    engine::{Config, Engine, Sink, TaskPlace},
    event::{Event, EventKind, Lost},
    filter::Filter,
    host::{Roots, clock::boot_ns, netns},
};
use tokio::sync::oneshot;

use crate::{
    bed::{
        self, PATIENCE,
        actor::Actor,
        cgroup::Cgroup,
        kernel::{Requirement, lacks},
        netns::Pair,
    },
    begin,
};

/// A container is known this long after it was made. Its first connection comes about 10 ms after that, and what
/// comes sooner waits: emulated machines are busy with other things.
const BOUND: Duration = Duration::from_millis(50);
const BOUND_EMULATED: Duration = Duration::from_millis(500);

/// The engine at work, telling of new cgroups.
struct Watch {
    told: Receiver<(CgroupMade, u64)>,
    places: Vec<TaskPlace>,
    degraded: Vec<(&'static str, String)>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Teller(Sender<(CgroupMade, u64)>);

impl Sink for Teller {
    fn event(&mut self, _: &Event) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn cgroup(&mut self, made: &CgroupMade) {
        let _ = self.0.send((*made, boot_ns()));
    }

    fn idle(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn lost(&mut self, lost: &[Lost]) -> ControlFlow<()> {
        panic!("lost: {lost:?}");
    }
}

impl Watch {
    fn new(names: bool) -> Self {
        let config = Config {
            kinds: [EventKind::Close].into_iter().collect(),
            filter: Filter::default(),
            ring_bytes: 1 << 20,
            syscall_failures: false,
            snapshot: false,
            names,
            roots: Roots::default(),
            pinned_cgroup: None,
            pinned_mntns: None,
            shared: true,
        };
        let (tell, told) = channel();
        let (ready, loaded) = channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut engine = Engine::load(&config).unwrap();
                let degraded = engine.degraded().iter().map(|less| (less.what, less.reason.clone()));
                ready.send((degraded.collect(), engine.take_places())).unwrap();
                let mut context =
                    Context { wall_offset_ns: 0, host_netns: None, root_cgroup: 1, reset_reasons: &[] };
                let shutdown = async { drop(stopped.await) };
                engine.run(&mut Teller(tell), &mut context, shutdown).await.unwrap();
            });
        });
        let (degraded, places) = loaded.recv().expect("the engine loads");
        Self { told, places, degraded, stop: Some(stop), thread: Some(thread) }
    }

    /// Why this probe does less than it could.
    fn less(&self, probe: &str) -> Vec<&str> {
        let degraded = self.degraded.iter().filter(|(what, _)| *what == probe);
        degraded.map(|(_, reason)| reason.as_str()).collect()
    }

    /// What was told of this cgroup.
    fn made(&self, id: u64) -> CgroupMade {
        loop {
            let (made, at) = self.told.recv_timeout(PATIENCE).expect("told of a new cgroup");
            if made.id == id {
                let took = Duration::from_nanos(at - made.boot_ns);
                let bound = if is_emulated() { BOUND_EMULATED } else { BOUND };
                assert!(took < bound, "told after {took:?}");
                return made;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the engine panicked");
        }
    }
}

fn is_emulated() -> bool {
    fs::read_to_string("/proc/cpuinfo").unwrap().contains("QEMU TCG")
}

fn names(made: &CgroupMade) -> Vec<(String, bool)> {
    made.levels().map(|level| (String::from_utf8(level.name.to_vec()).unwrap(), level.cut)).collect()
}

fn name_of(path: &Path) -> (String, bool) {
    (path.file_name().unwrap().to_str().unwrap().to_owned(), false)
}

#[test]
fn a_new_container_is_told_of_with_the_names_around_it() {
    begin!(Requirement::ProbeReads);
    let watch = Watch::new(true);
    assert!(watch.less("cgroup").is_empty(), "{:?}", watch.degraded);
    let root = Cgroup::new("kubepods.slice");
    let pod = root.child("kubepods-besteffort-pod9f1b2c3d_0000_4444_8888_123456789abc.slice");
    let container = pod.child(&format!("cri-containerd-{}.scope", "0123456789abcdef".repeat(4)));

    let made = watch.made(container.id);
    assert_eq!((made.parent, made.whole), (Some(pod.id), true));
    let whole = [name_of(&container.path), name_of(&pod.path), name_of(&root.path)];
    assert_eq!(names(&made), whole);

    // Deeper than there is room for: what is nearest to the container is there.
    let mut inside = vec![container];
    for level in ["a", "b", "c"] {
        let below = inside.last().unwrap().child(level);
        inside.push(below);
    }
    let made = watch.made(inside.last().unwrap().id);
    assert!(!made.whole);
    let nearest: Vec<_> = inside.iter().rev().chain([&pod]).map(|cgroup| name_of(&cgroup.path)).collect();
    assert_eq!(names(&made), nearest);

    // Children are removed before their parents.
    while inside.pop().is_some() {}
    drop(pod);
}

#[test]
fn a_long_name_is_cut_and_says_so_and_one_that_just_fits_is_not() {
    begin!(Requirement::ProbeReads);
    let watch = Watch::new(true);
    let root = Cgroup::new("long");
    for (length, shown) in [(126, 126), (127, 127), (128, 127), (255, 127)] {
        let child = root.child(&"n".repeat(length));
        let made = watch.made(child.id);
        assert_eq!(names(&made)[0], ("n".repeat(shown), length > shown), "{length}");
        assert_eq!(names(&made)[1..], [name_of(&root.path)]);
    }
}

#[test]
fn a_new_cgroup_is_told_of_where_its_names_are_kept_secret() {
    begin!();
    if lacks(Requirement::ProbeReads).is_none() {
        return;
    }
    let watch = Watch::new(true);
    let [reason] = watch.less("cgroup")[..] else { panic!("{:?}", watch.degraded) };
    assert!(reason.starts_with("tp_btf/cgroup_mkdir: "), "{reason}");
    let parent = Cgroup::new("secret");
    let child = parent.child("leaf");
    let made = watch.made(child.id);
    assert_eq!((made.parent, names(&made), made.whole), (Some(parent.id), Vec::new(), false));
}

#[test]
fn nobody_is_told_of_names_who_did_not_ask() {
    begin!();
    let watch = Watch::new(false);
    assert_eq!(watch.places, []);
    let asked = Watch::new(true);
    let cgroup = Cgroup::new("unasked");
    asked.made(cgroup.id);
    assert!(watch.told.recv_timeout(Duration::from_millis(50)).is_err());
}

#[test]
fn every_older_process_has_its_cgroup_and_its_network_namespace() {
    begin!();
    let cgroup = Cgroup::new("older-place");
    let pair = Pair::new();
    let actor = Actor::in_cgroup("older-place", &pair.a, Some(&cgroup));
    let idle = std::thread::spawn(|| std::thread::park_timeout(PATIENCE));
    let watch = Watch::new(true);
    assert!(watch.less("snapshot").is_empty(), "{:?}", watch.degraded);
    idle.thread().unpark();

    let place = |pid: u32| {
        let mut found = watch.places.iter().filter(|place| place.pid == pid);
        let place = *found.next().unwrap_or_else(|| panic!("process {pid} is there"));
        assert_eq!(found.next(), None);
        place
    };
    let inside = place(actor.pid);
    assert_eq!((inside.cgroup_id, inside.netns), (Some(cgroup.id), Some(pair.a.inode)));
    let ticks = started_ticks(actor.pid);
    let hertz = rustix::param::clock_ticks_per_second();
    assert_eq!(inside.start_ns.unwrap() / (1_000_000_000 / hertz), ticks);

    let own = place(std::process::id());
    assert_eq!(own.netns, Some(netns::own(&Roots::default()).unwrap()));
    // A kernel thread is where the host is.
    assert_eq!(place(2).netns, netns::host(&Roots::default()));

    // As many as procfs shows, without their threads; a few come and go meanwhile.
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str().unwrap().parse::<u32>().ok());
    let known: Vec<u32> = watch.places.iter().map(|place| place.pid).collect();
    let missing: Vec<u32> = processes.filter(|pid| !known.contains(pid)).collect();
    let born_later = |pid: &u32| started_ticks(*pid) >= started_ticks(actor.pid);
    // Some hosts keep their first process to themselves, as they keep its links in procfs from root.
    let hidden = |pid: &u32| fs::read_link(format!("/proc/{pid}/ns/net")).is_err();
    let unexplained = missing.iter().any(|pid| !born_later(pid) && !hidden(pid));
    assert!(!unexplained, "not told of: {missing:?}");
    for thread in fs::read_dir("/proc/self/task").unwrap() {
        let thread: u32 = thread.unwrap().file_name().to_str().unwrap().parse().unwrap();
        assert!(thread == std::process::id() || !known.contains(&thread), "thread {thread}");
    }
    bed::until(PATIENCE, || idle.is_finished().then_some(())).unwrap();
}

/// Field 22 of `/proc/<pid>/stat`; the end of time for a process that is gone.
fn started_ticks(pid: u32) -> u64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return u64::MAX };
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(19).unwrap().parse().unwrap()
}
