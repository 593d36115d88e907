//! The options that every tool has.

use std::{path::PathBuf, time::Duration};

use agent::engine::DEFAULT_RING_BYTES;
use clap::{ArgAction, Args, ValueEnum};

use super::{
    ColorChoice, TimeFormat,
    value::{self, Ids, Prefixes},
};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// bcc's columns (the default)
    Table,
    /// bcc's columns and more
    Wide,
    /// one JSON object a line
    Json,
    /// comma-separated values with a header
    Csv,
    /// the same as table
    Bcc,
}

/// Options of every tool. `allow_hyphen_values`: a negative value is answered by the value's parser, which
/// knows what would be right, and not as an unknown option.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Only these processes; several with commas
    #[arg(short, long, value_name = "PID", value_parser = value::pids, allow_hyphen_values = true)]
    #[arg(help_heading = FILTERS)]
    pub pid: Vec<Ids>,
    /// Only processes of these users, by number
    #[arg(short, long, value_name = "UID", value_parser = value::uids, allow_hyphen_values = true)]
    #[arg(help_heading = FILTERS)]
    pub uid: Vec<Ids>,
    /// Only IPv4, v4-mapped addresses included
    #[arg(short = '4', long, help_heading = FILTERS)]
    pub ipv4: bool,
    /// Only IPv6
    #[arg(short = '6', long, help_heading = FILTERS)]
    pub ipv6: bool,
    /// Only local addresses in these networks: 10.0.0.0/8, 192.0.2.7, 2001:db8::/32
    #[arg(long, value_name = "CIDR", help_heading = FILTERS)]
    pub local: Vec<Prefixes>,
    /// Only remote addresses in these networks
    #[arg(long, value_name = "CIDR", help_heading = FILTERS)]
    pub remote: Vec<Prefixes>,
    /// Only this network namespace: a path, an inode, a pid or a name of `ip netns`
    #[arg(short = 'N', long, value_name = "NETNS", help_heading = FILTERS)]
    pub netns: Vec<String>,
    /// Only this cgroup and everything below it, now and later: a path or a v2 id
    #[arg(long, value_name = "CGROUP", help_heading = FILTERS)]
    pub cgroup: Vec<String>,
    /// Only the cgroups in this pinned BPF map; a cgroup's path or id is taken too
    #[arg(short = 'C', long, value_name = "PATH", help_heading = FILTERS)]
    pub cgroupmap: Option<String>,
    /// Only the mount namespaces in this pinned BPF map
    #[arg(short = 'M', long, value_name = "PATH", help_heading = FILTERS)]
    pub mntnsmap: Option<PathBuf>,

    /// How rows are written
    #[arg(short, long, value_name = "FORMAT", help_heading = OUTPUT)]
    pub output: Option<Output>,
    /// Print the time of day (HH:MM:SS)
    #[arg(short = 'T', long, help_heading = OUTPUT)]
    pub time: bool,
    /// Print the time since the first row, in seconds
    #[arg(short = 't', long, help_heading = OUTPUT)]
    pub timestamp: bool,
    /// The form of the time of day; implies -T
    #[arg(long, value_name = "FORM", help_heading = OUTPUT)]
    pub time_format: Option<TimeFormat>,
    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = OUTPUT)]
    pub color: ColorChoice,

    /// End after this long: 10s, 5m
    #[arg(long = "for", value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    #[arg(help_heading = RUN)]
    pub duration: Option<Duration>,
    /// End after this many rows
    #[arg(long, value_name = "N", value_parser = value::count, allow_hyphen_values = true)]
    #[arg(help_heading = RUN)]
    pub max_events: Option<u64>,
    /// Size of the ring that events come through; raise it when events get lost
    #[arg(long, value_name = "SIZE", value_parser = value::ring_bytes, allow_hyphen_values = true)]
    #[arg(default_value_t = DEFAULT_RING_BYTES, hide_default_value = true, help_heading = RUN)]
    pub buffer_size: u32,
    /// Say what runs in the kernel for these options, and end
    #[arg(long, help_heading = RUN)]
    pub explain: bool,
    /// bcc's hidden option to show its program: the same as --explain
    #[arg(long, hide = true)]
    pub ebpf: bool,
    /// Create this file when everything from now on is seen: for tests and scripts that must not miss anything
    #[arg(long, value_name = "PATH", hide = true)]
    pub ready_file: Option<PathBuf>,
    /// Print the usage line (as bcc's C tools)
    #[arg(long, hide = true)]
    pub usage: bool,
    /// Print help
    #[arg(short = 'h', long, short_alias = '?', action = ArgAction::Help, help_heading = RUN)]
    pub help: Option<bool>,
}

const FILTERS: &str = "Filters (all run in the kernel)";
const OUTPUT: &str = "Output";
const RUN: &str = "Run";
