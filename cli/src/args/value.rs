//! Values on the command line as text: ports, numbers, prefixes, durations, sizes. Pure; whether a process or
//! a cgroup exists is asked later, in `machine.rs`. Each message says what would have been right.

use std::{str::FromStr, time::Duration};

use agent_common::prefix::{Prefix, PrefixError};
use jiff::SignedDuration;
use thiserror::Error;

/// Why a value is refused. Shown behind the option's name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ValueError {
    /// Nothing was given.
    #[error("the list is empty; give {what} as {example}")]
    EmptyList { what: &'static str, example: &'static str },
    /// Nothing between two commas.
    #[error("\"{list}\" has an empty item; give {what} as {example}")]
    EmptyItem { list: String, what: &'static str, example: &'static str },
    /// A number that is no port.
    #[error("there is no port {0}; ports are 1 to 65535")]
    PortRange(String),
    /// Something else.
    #[error("\"{0}\" is not a port number (1 to 65535)")]
    NotAPort(String),
    /// Not a number, or not one of that kind.
    #[error("\"{text}\" is not {what}")]
    NotANumber { text: String, what: &'static str },
    /// Not a prefix.
    #[error(transparent)]
    NotAPrefix(#[from] PrefixError),
    /// No duration.
    #[error("\"{0}\" is not a duration; write it as 500ms, 10s, 5m or 1h30m")]
    NotADuration(String),
    /// A negative duration, or none at all.
    #[error("{0} is not longer than no time at all; write a duration as 500ms, 10s or 5m")]
    NoTime(String),
    /// A latency that is none.
    #[error("\"{0}\" is not a minimum latency; write it in milliseconds, 0 or more, as 5 or 0.1")]
    NotALatency(String),
    /// No size.
    #[error("\"{0}\" is not a size; write it as 65536, 512KiB or 4MiB")]
    NotASize(String),
    /// Not a point in time.
    #[error("\"{0}\" is not a time; write it as 5m (ago) or 2026-03-01T14:00:00Z")]
    NotATime(String),
    /// A name that the set does not have.
    #[error("no {what} \"{text}\"; {advice}")]
    Unknown { what: &'static str, text: String, advice: String },
    /// Not a name that Kubernetes allows.
    #[error("\"{text}\" is not {what}; {advice}")]
    NotAName { text: String, what: &'static str, advice: &'static str },
    /// A size out of bounds.
    #[error("{0} is out of bounds; the rings take 4KiB to 1GiB")]
    SizeRange(String),
}

/// Ports of one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(pub Vec<u16>);

impl FromStr for Ports {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        items(text, "ports", "80 or 80,443")?.map(port).collect::<Result<_, _>>().map(Self)
    }
}

/// Process or user ids of one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids(pub Vec<u32>);

/// Process ids: 1 and up.
pub fn pids(text: &str) -> Result<Ids, ValueError> {
    const WHAT: &str = "a process id (1 to 4194304)";
    let numbers = ids(text, "process ids", "181 or 181,182", WHAT)?;
    // PID_MAX_LIMIT of 64-bit kernels; larger ones cannot exist, so they are a slip of the finger.
    match numbers.0.iter().find(|pid| !(1..=4_194_304).contains(*pid)) {
        Some(pid) => Err(ValueError::NotANumber { text: pid.to_string(), what: WHAT }),
        None => Ok(numbers),
    }
}

/// User ids.
pub fn uids(text: &str) -> Result<Ids, ValueError> {
    ids(text, "user ids", "1000 or 0,1000", "a user id (a number)")
}

fn ids(text: &str, what: &'static str, example: &'static str, one: &'static str) -> Result<Ids, ValueError> {
    items(text, what, example)?
        .map(|item| digits(item).ok_or_else(|| ValueError::NotANumber { text: item.to_owned(), what: one }))
        .collect::<Result<_, _>>()
        .map(Ids)
}

/// How many: 1 and up.
pub fn count(text: &str) -> Result<u64, ValueError> {
    let wrong = || ValueError::NotANumber { text: text.to_owned(), what: "a number of events (1 or more)" };
    digits(text).filter(|count| *count > 0).ok_or_else(wrong)
}

/// Prefixes of one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixes(pub Vec<Prefix>);

impl FromStr for Prefixes {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        items(text, "prefixes", "10.0.0.0/8 or 10.0.0.0/8,2001:db8::/32")?
            .map(|item| Ok(item.parse()?))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// A duration longer than nothing. A bare number is seconds, as with bcc's intervals.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    let wrong = || ValueError::NotADuration(text.to_owned());
    let trimmed = text.trim();
    let number = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    let bare = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let spelled = if bare { format!("{trimmed}s") } else { trimmed.to_owned() };
    let signed: SignedDuration = spelled.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from(signed).map_err(|_| ValueError::NoTime(text.to_owned()))?;
    if duration.is_zero() { Err(ValueError::NoTime(text.to_owned())) } else { Ok(duration) }
}

/// Milliseconds with a fraction, down to microseconds (tcpconnlat's argument).
pub fn latency(text: &str) -> Result<Duration, ValueError> {
    let wrong = || ValueError::NotALatency(text.to_owned());
    let ms: f64 = text.parse().map_err(|_| wrong())?;
    // An hour is far above what the kernel's SYN timer can reach.
    if !(0.0..=3_600_000.0).contains(&ms) {
        return Err(wrong());
    }
    Ok(Duration::from_secs_f64(ms / 1000.0))
}

/// A size in bytes for the rings.
pub fn ring_bytes(text: &str) -> Result<u32, ValueError> {
    let bytes = bytes(text)?;
    if !(4096..=1 << 30).contains(&bytes) {
        return Err(ValueError::SizeRange(text.to_owned()));
    }
    u32::try_from(bytes).map_err(|_| ValueError::SizeRange(text.to_owned()))
}

/// A size in bytes.
pub fn bytes(text: &str) -> Result<u64, ValueError> {
    let wrong = || ValueError::NotASize(text.to_owned());
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = digits(&text[..end]).ok_or_else(wrong)?;
    let unit: u64 = match text[end..].trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    Ok(number.saturating_mul(unit))
}

/// The items of a list, none of them empty.
pub fn items<'a>(
    text: &'a str,
    what: &'static str,
    example: &'static str,
) -> Result<impl Iterator<Item = &'a str>, ValueError> {
    if text.trim().is_empty() {
        return Err(ValueError::EmptyList { what, example });
    }
    let items = text.split(',').map(str::trim);
    if items.clone().any(str::is_empty) {
        return Err(ValueError::EmptyItem { list: text.to_owned(), what, example });
    }
    Ok(items)
}

/// Digits only: `from_str` alone would take a plus sign.
pub fn digits<N: FromStr>(text: &str) -> Option<N> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A single port.
pub fn one_port(text: &str) -> Result<u16, ValueError> {
    port(text)
}

fn port(text: &str) -> Result<u16, ValueError> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::NotAPort(text.to_owned()));
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(ValueError::PortRange(text.to_owned())),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests;
