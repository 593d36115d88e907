//! The engine: probes attached, filters in place, snapshot taken; events come out.
//!
//! ```text
//! Engine::load(config) -> Engine               changes the kernel: programs loaded and attached
//! engine.run(&mut sink, shutdown).await        rings -> decode -> sink, until the sink or shutdown ends it
//! drop(engine)                                 the kernel is as before: links are owned, nothing is pinned
//! ```

mod iterator;
mod losses;
mod places;
mod plan;
mod run;
mod snapshot;

use std::{io, ops::ControlFlow, path::PathBuf, sync::OnceLock};

use agent_common::fields::{FIELDS, Need};
use thiserror::Error;

use self::losses::Losses;
pub use self::{places::TaskPlace, snapshot::Found};
use crate::{
    bpf::{Attached, Counts, LoadError, Loader, Object, ProgramFault, Ring, Settings},
    decode::{self, CgroupMade, Context},
    event::{Event, Kinds, Lost},
    filter::{
        Filter,
        compile::{Compiled, Request, compile},
    },
    host::{
        Roots,
        btf::{self, Btf, BtfError, ResolveError, Resolved},
        cgroup::Cgroups,
    },
    probes::{self, Probe},
};

/// What to load, and for whom.
#[derive(Clone, Debug)]
pub struct Config {
    /// Event kinds that are wanted; decides which probes are attached.
    pub kinds: Kinds,
    /// The filter.
    pub filter: Filter,
    /// Size of the bulk ring in bytes; rounded up to a power of two of pages. The rare ring is an eighth.
    pub ring_bytes: u32,
    /// Also connects that fail before any state (no route, denied): two more programs, on system calls.
    pub syscall_failures: bool,
    /// Look for sockets that are older than the engine, so that they have an owner.
    pub snapshot: bool,
    /// Tell of new cgroups ([`Sink::cgroup`]), and of the processes that are there ([`Engine::take_places`]):
    /// what containers are named by.
    pub names: bool,
    /// Where the machine shows itself.
    pub roots: Roots,
    /// A pinned hash map whose keys are cgroup ids (bcc's `--cgroupmap`).
    pub pinned_cgroup: Option<PathBuf>,
    /// A pinned hash map whose keys are inodes of mount namespaces (bcc's `--mntnsmap`).
    pub pinned_mntns: Option<PathBuf>,
    /// Filters and kinds will change while it runs: see [`Engine::set_filter`] and [`Engine::adjust`].
    pub shared: bool,
}

impl Config {
    fn request(&self) -> Request<'_> {
        Request { filter: &self.filter, kinds: self.kinds }
    }
}

/// The default of [`Config::ring_bytes`].
pub const DEFAULT_RING_BYTES: u32 = 4 << 20;

/// Something that the engine has to do without on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// The probe or feature, by its name in the probe table.
    pub what: &'static str,
    /// What the user will notice.
    pub effect: &'static str,
    /// Why: the kernel's or the table's own words.
    pub reason: String,
}

/// Where events go.
pub trait Sink {
    /// One event. `Break` ends the run (a count was reached, the pipe is closed).
    fn event(&mut self, event: &Event) -> ControlFlow<()>;

    /// One record, with what the kernel said about who wants it. Unless it is overridden, the first subscriber
    /// gets it as an event.
    fn record(&mut self, event: &mut Event, routing: &Routing<'_>) -> ControlFlow<()> {
        match routing.compiled.route(routing.verdict, event.kinds).next() {
            Some((_, kinds)) => {
                event.kinds = kinds;
                self.event(event)
            }
            None => ControlFlow::Continue(()),
        }
    }

    /// A cgroup was made, with [`Config::names`]. It comes before the events of its processes.
    fn cgroup(&mut self, _made: &CgroupMade) {}

    /// All events that were there have been given: flush. Also called when a deadline passed.
    fn idle(&mut self, now_boot_ns: u64) -> ControlFlow<()>;

    /// When `idle` must be called at the latest (CLOCK_BOOTTIME), for events that the sink holds back.
    fn deadline(&self) -> Option<u64> {
        None
    }

    /// What was lost since the last call; at most once a second, never empty.
    fn lost(&mut self, lost: &[Lost]) -> ControlFlow<()>;
}

/// What the kernel said about who wants a record.
pub struct Routing<'a> {
    /// The filter in force.
    pub compiled: &'a Compiled,
    /// The conjunctions that accept the socket.
    pub verdict: u64,
    /// The verdict is by the filter in force; else by one before it, and whoever routes must look again.
    pub is_current: bool,
}

/// Why the engine does not run.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The kernel does not show its types.
    #[error(
        "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF): {0}; Sockeye needs Linux 5.15 or later with BTF"
    )]
    NoBtf(BtfError),
    /// The kernel's types contradict themselves.
    #[error(transparent)]
    Field(#[from] ResolveError),
    /// A field without which nothing works is not there.
    #[error(
        "this kernel's types lack {field}, without which the {need} cannot work; Sockeye needs Linux 5.15 or later"
    )]
    MissingField {
        /// Its name in the field table.
        field: &'static str,
        /// What needs it.
        need: &'static str,
    },
    /// The kernel is too old.
    #[error("kernel {release} is too old: {reason}; Sockeye needs Linux 5.15 or later")]
    TooOld {
        /// `uname -r`.
        release: String,
        /// What it does not have.
        reason: String,
    },
    /// The object could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A program without which nothing works was refused.
    #[error(transparent)]
    Program(#[from] ProgramFault),
    /// The runtime could not watch a ring.
    #[error("cannot wait for events")]
    Wait(#[source] io::Error),
}

/// Everything that is loaded and attached for one configuration.
pub struct Engine {
    object: Object,
    rings: [Ring; 2],
    attached: Vec<Attached>,
    degraded: Vec<Degraded>,
    found: Found,
    places: Vec<TaskPlace>,
    compiled: Compiled,
    fields: Resolved,
    losses: Option<Losses>,
    /// See [`Context::reset_reasons`].
    reset_reasons: &'static [(u32, &'static str)],
    /// Looks at the rings in a row that found nothing.
    empty_looks: u32,
}

impl Engine {
    /// Loads and attaches what `config` needs, puts the filter in force and takes the snapshot.
    pub fn load(config: &Config) -> Result<Self, EngineError> {
        let loader = Loader::start();
        let types =
            Btf::from_file(&config.roots.sys.join("kernel/btf/vmlinux")).map_err(EngineError::NoBtf)?;
        let fields = btf::resolve(&types, FIELDS)?;
        if let Some(absent) = fields.absent.iter().find(|absent| absent.need == Need::Engine) {
            return Err(EngineError::MissingField { field: absent.field, need: absent.need.name() });
        }
        // Only the cgroups asked for, so that those made from now on are followed; what is below them
        // already is looked for once the probe that follows is attached.
        let compiled = compile(&[config.request()], |cgroup| vec![cgroup]);
        let bulk_bytes = ring_size(config.ring_bytes);
        let rare_bytes = ring_size(bulk_bytes / 8);
        let plan = plan::Plan::new(config, &types, &fields);
        let settings = Settings {
            fields: &fields,
            bulk_bytes,
            rare_bytes,
            syscall_connect: plan.wants(&probes::EXIT_CONNECT),
            pinned_cgroup: config.pinned_cgroup.clone(),
            pinned_mntns: config.pinned_mntns.clone(),
            follows_cgroups: plan.wants(&probes::CGROUP),
            shared: config.shared,
            filter: &compiled,
            hooks: &btf::excerpt(&types, &plan.hooks()),
        };
        let mut object = Object::load(&settings, loader)?;
        let rings = object.rings(bulk_bytes, rare_bytes)?;
        object.write_filter(&compiled).map_err(LoadError::from)?;
        let mut engine = Self {
            object,
            rings,
            attached: Vec::new(),
            degraded: plan.degraded.clone(),
            found: Found::default(),
            places: Vec::new(),
            compiled,
            fields: Resolved::default(),
            losses: None,
            reset_reasons: reset_reasons(&types),
            empty_looks: 0,
        };
        engine.attach(&plan)?;
        engine.object.attached_all();
        drop(types);
        engine.add_existing_cgroups(config)?;
        engine.degraded.extend(missing_fields(&fields, config));
        engine.fields = fields;
        if plan.wants(&probes::TASKS) {
            engine.read_places();
        }
        if config.snapshot {
            engine.found = snapshot::take(&mut engine.object, |probe| plan.wants(probe), &config.roots);
        }
        Ok(engine)
    }

    /// Attaches what other kinds need, and detaches what nobody needs any more. A probe that this kernel refuses
    /// is in [`Engine::degraded`] from then on.
    pub fn adjust(&mut self, config: &Config) -> Result<(), EngineError> {
        let types =
            Btf::from_file(&config.roots.sys.join("kernel/btf/vmlinux")).map_err(EngineError::NoBtf)?;
        let mut plan = plan::Plan::new(config, &types, &self.fields);
        let is_wanted = |program: &str| {
            let stands_in = program == probes::CGROUP_UNNAMED.program && plan.wants(&probes::CGROUP_NAMED);
            stands_in || plan.probes.iter().any(|probe| probe.program == program)
        };
        let (kept, superfluous) =
            self.attached.drain(..).partition::<Vec<_>, _>(|attached| is_wanted(attached.program));
        self.attached = kept;
        for attached in superfluous {
            self.object.detach(attached)?;
        }
        self.degraded = std::mem::take(&mut plan.degraded);
        plan.probes.retain(|probe| !self.attached.iter().any(|one| one.program == probe.program));
        if !plan.probes.is_empty() {
            self.object.set_hooks(&btf::excerpt(&types, &plan.hooks()))?;
            self.attach(&plan)?;
            self.object.attached_all();
        }
        self.degraded.extend(missing_fields(&self.fields, config));
        Ok(())
    }

    /// Puts the filters of other subscribers in force. What was sent before is told from what comes after by
    /// [`Routing::is_current`]. Where it fails, everything passes, and nothing is current.
    ///
    /// `is_known` tells whether a cgroup was thought of when `compiled` was made: one that the kernel alone knows
    /// (it was made a moment ago) passes.
    pub fn set_filter(
        &mut self,
        compiled: Compiled,
        is_known: &dyn Fn(u64) -> bool,
    ) -> Result<(), LoadError> {
        if self.compiled == compiled && self.object.generation().is_some() {
            // While it changes everything passes for a moment: not for nothing.
            return Ok(());
        }
        self.compiled = compiled;
        Ok(self.object.replace_filter(&self.compiled, is_known)?)
    }

    /// The rings: name, size, and how much waits to be read, in bytes.
    pub fn rings(&self) -> [(&'static str, u64, u64); 2] {
        let [bulk, rare] = &self.rings;
        [("RING_BULK", bulk), ("RING_RARE", rare)].map(|(name, ring)| (name, ring.size(), ring.pending()))
    }

    /// Gives every socket of this machine to `visit`, as a synthetic event with its counters so far. Tells how many
    /// network namespaces could not be entered.
    pub fn sockets(
        &mut self,
        roots: &Roots,
        context: &Context,
        visit: &mut (dyn FnMut(&Event) + Send),
    ) -> Result<usize, LoadError> {
        let attached: Vec<&'static str> = self.attached.iter().map(|one| one.program).collect();
        let has = |probe: &Probe| attached.contains(&probe.program);
        snapshot::list(&mut self.object, has, roots, &mut |bytes| {
            if let Ok(decoded) = decode::decode(bytes, context) {
                visit(&decoded.event);
            }
        })
    }

    /// The programs that are attached, with what the kernel counted of each.
    pub fn programs(&self) -> impl Iterator<Item = (&'static str, Counts)> {
        self.object.counts(&self.attached)
    }

    fn attach(&mut self, plan: &plan::Plan) -> Result<(), EngineError> {
        for probe in &plan.probes {
            match self.object.attach(probe.program, &probe.hook) {
                Ok(attached) => self.attached.push(attached),
                Err(fault) if *probe == probes::STATE => return Err(too_old(fault)),
                Err(fault) => {
                    self.refused(probe, &fault);
                    // Without the names there is still the news.
                    if *probe == probes::CGROUP_NAMED
                        && let Ok(attached) =
                            self.object.attach(probes::CGROUP_UNNAMED.program, &probes::CGROUP_UNNAMED.hook)
                    {
                        self.attached.push(attached);
                    }
                }
            }
        }
        Ok(())
    }

    fn refused(&mut self, probe: &Probe, fault: &ProgramFault) {
        if let Some(log) = fault.verifier_log() {
            tracing::debug!(program = probe.program, log, "program refused");
        }
        self.degraded.push(Degraded {
            what: probe.name,
            effect: probe.effect,
            reason: format!("{}: {}", probe.hook.describe(), fault.reason),
        });
    }

    fn read_places(&mut self) {
        match places::take(&mut self.object) {
            Ok(places) => self.places = places,
            Err(reason) => self.degraded.push(Degraded {
                what: probes::TASKS.name,
                effect: probes::TASKS.effect,
                reason: format!("{}: {reason}", probes::TASKS.hook.describe()),
            }),
        }
    }

    /// Takes in the cgroups that were below the filtered ones before the programs.
    fn add_existing_cgroups(&mut self, config: &Config) -> Result<(), EngineError> {
        if self.compiled.cgroup.is_empty() {
            return Ok(());
        }
        let Ok(cgroups) = Cgroups::find(&config.roots) else {
            return Ok(());
        };
        let compiled = compile(&[config.request()], |cgroup| cgroups.subtree(cgroup));
        self.object.write_filter(&compiled).map_err(LoadError::from)?;
        self.compiled = compiled;
        Ok(())
    }

    /// What this kernel cannot give, of what the configuration asked for.
    pub fn degraded(&self) -> &[Degraded] {
        &self.degraded
    }

    /// What the start-up snapshot found.
    pub fn found(&self) -> Found {
        self.found
    }

    /// The processes that were there when the engine was loaded, by pid; empty the second time, and without
    /// [`Config::names`].
    pub fn take_places(&mut self) -> Vec<TaskPlace> {
        std::mem::take(&mut self.places)
    }

    /// The filter in force, as the kernel has it.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }
}

/// The size of a ring: a power of two of pages, at least one page.
fn ring_size(bytes: u32) -> u32 {
    let page = rustix::param::page_size() as u32;
    bytes.clamp(page, 1 << 30).next_power_of_two()
}

/// Why the running kernel sends RSTs, in its own words. Kept for good, so that events, which own no memory, can have
/// them: the kernel stays the same as long as this process lives.
fn reset_reasons(types: &Btf) -> &'static [(u32, &'static str)] {
    static NAMES: OnceLock<Vec<(u32, &'static str)>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let all = btf::enumerators(types, "sk_rst_reason");
        let named = all.into_iter().filter_map(|(name, number)| {
            let name = name.strip_prefix("SK_RST_REASON_")?.to_owned();
            Some((u32::try_from(number).ok()?, &*name.leak()))
        });
        named.filter(|(_, name)| *name != "MAX").collect()
    })
}

/// A kernel that refuses the state program for want of a helper is an old one.
fn too_old(fault: ProgramFault) -> EngineError {
    let helper = fault.reason.contains("unknown func") || fault.reason.contains("invalid func");
    let opcode = fault.reason.contains("unknown opcode") || fault.reason.contains("uses reserved fields");
    if helper || opcode {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        EngineError::TooOld { release, reason: fault.reason }
    } else {
        EngineError::Program(fault)
    }
}

/// Fields that are absent and whose absence the configuration notices.
fn missing_fields(fields: &Resolved, config: &Config) -> Vec<Degraded> {
    let uses_cgroups = config
        .filter
        .allow
        .iter()
        .chain(&config.filter.deny)
        .any(|filter| !filter.cgroups.is_empty() || filter.pinned_cgroup);
    let mut needs: Vec<Need> = Vec::new();
    for absent in &fields.absent {
        let noticed = match absent.need {
            Need::Counters => config.kinds.has(crate::event::EventKind::Close),
            Need::Backlog => config.kinds.has(crate::event::EventKind::Accept),
            Need::SocketError => config.kinds.has(crate::event::EventKind::SocketError),
            Need::Packet => config.kinds.has(crate::event::EventKind::Reset),
            Need::Retransmit => config.kinds.has(crate::event::EventKind::Retransmit),
            Need::CgroupTree => uses_cgroups || config.names,
            Need::SyscallConnect => config.syscall_failures,
            Need::CgroupNames | Need::Places => config.names,
            Need::Snapshot => config.snapshot,
            Need::Engine => false,
            Need::Cgroup | Need::MountNamespace | Need::StartTime => true,
        };
        if noticed && !needs.contains(&absent.need) {
            needs.push(absent.need);
        }
    }
    needs
        .into_iter()
        .map(|need| Degraded {
            what: "fields",
            effect: need.name(),
            reason: fields
                .absent
                .iter()
                .filter(|absent| absent.need == need)
                .map(|absent| format!("{} {}", absent.field, absent.reason))
                .collect::<Vec<_>>()
                .join("; "),
        })
        .collect()
}

/// Whether a probe's fields are all there.
fn has_fields(probe: &Probe, fields: &Resolved) -> bool {
    probe.needs.iter().all(|need| fields.has(*need))
}
