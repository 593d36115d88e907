//! What /proc says about a process: CPU time to the nanosecond, context switches, memory, BPF programs.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// CPU time in nanoseconds of all threads that the process has. Not from `stat`: that counts ticks of 10 ms.
pub fn cpu_ns(process: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in threads(process)? {
        let path = thread.join("schedstat");
        let text = read(&path)?;
        sum += schedstat(&text).with_context(|| format!("cannot understand {}", path.display()))?;
    }
    Ok(sum)
}

/// How often its threads went to sleep: each time takes a wake-up to end.
pub fn sleeps(process: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in threads(process)? {
        sum += field(&thread.join("status"), "voluntary_ctxt_switches")?;
    }
    Ok(sum)
}

/// Resident memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub resident_bytes: u64,
    /// What it does not share with files and maps.
    pub anonymous_bytes: u64,
}

/// The resident memory of a process.
pub fn memory(process: u32) -> Result<Memory> {
    let path = of(process).join("status");
    Ok(Memory {
        resident_bytes: field(&path, "VmRSS")? * 1024,
        anonymous_bytes: field(&path, "RssAnon")? * 1024,
    })
}

/// The ids of the BPF programs that the process has open.
pub fn programs(process: u32) -> Result<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    for file in entries(&of(process).join("fdinfo"))? {
        // A descriptor may be gone by now.
        if let Ok(text) = fs::read_to_string(&file) {
            ids.extend(program_id(&text));
        }
    }
    Ok(ids)
}

/// What of BPF the process has open, by the names of its descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    pub programs: usize,
    /// Programs attached, by a link.
    pub links: usize,
    /// Programs attached the old way, or rings of the old kind.
    pub perf_events: usize,
}

/// Looks at the descriptors; cheap enough to be asked thousands of times a second.
pub fn open(process: u32) -> Result<Open> {
    let mut open = Open::default();
    for file in entries(&of(process).join("fd"))? {
        let Ok(target) = fs::read_link(&file) else { continue };
        match target.as_os_str().as_encoded_bytes() {
            b"anon_inode:bpf-prog" => open.programs += 1,
            b"anon_inode:bpf_link" => open.links += 1,
            b"anon_inode:[perf_event]" => open.perf_events += 1,
            _ => {}
        }
    }
    Ok(open)
}

fn of(process: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{process}"))
}

fn threads(process: u32) -> Result<Vec<PathBuf>> {
    entries(&of(process).join("task"))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
    });
    entries.with_context(|| format!("cannot look into {}", folder.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn field(path: &Path, name: &str) -> Result<u64> {
    number(&read(path)?, name).with_context(|| format!("no {name} in {}", path.display()))
}

/// `Name:\t  123 kB`: 123.
fn number(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// `2771604 2873546 5`: time on a CPU, time waiting for one, times on one.
fn schedstat(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The id of a program; a link has one, too, but no type of program.
fn program_id(text: &str) -> Option<u32> {
    number(text, "prog_type")?;
    number(text, "prog_id")?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{cpu_ns, memory, number, open, program_id, programs, schedstat, sleeps};

    #[test]
    fn a_program_is_told_from_a_link() {
        let program =
            "pos:\t0\nprog_type:\t26\nprog_jited:\t1\nmemlock:\t4096\nprog_id:\t1789\nrun_cnt:\t0\n";
        let link = "pos:\t0\nlink_type:\traw_tracepoint\nlink_id:\t1036\nprog_id:\t1789\n";
        assert_eq!(program_id(program), Some(1789));
        assert_eq!(program_id(link), None);
        assert_eq!(program_id("pos:\t0\nflags:\t02\n"), None);
    }

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let status = "VmRSS:\t    2432 kB\nRssAnon:\t     300 kB\nnonvoluntary_ctxt_switches:\t9\n\
                      voluntary_ctxt_switches:\t5\n";
        assert_eq!(number(status, "VmRSS"), Some(2432));
        assert_eq!(number(status, "voluntary_ctxt_switches"), Some(5));
        assert_eq!(number(status, "Vm"), None);
        assert_eq!(schedstat("2771604 2873546 5\n"), Some(2_771_604));
        assert_eq!(schedstat("\n"), None);
    }

    #[test]
    fn this_process_has_used_cpu_and_memory_and_has_no_programs() {
        let own = std::process::id();
        assert!(cpu_ns(own).unwrap() > 0);
        assert!(sleeps(own).is_ok());
        let memory = memory(own).unwrap();
        assert!(memory.resident_bytes > memory.anonymous_bytes && memory.anonymous_bytes > 0);
        assert!(programs(own).unwrap().is_empty());
        assert_eq!(open(own).unwrap(), super::Open::default());
    }
}
