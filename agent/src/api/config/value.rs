//! Values of settings as text. Each message says what would have been right.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::SignedDuration;

use super::{Authorize, Endpoint, LogFormat, LogLevel};

/// The text without the space around it.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim()
}

/// An error of the file system without Rust's "(os error 2)".
pub(super) fn io(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_ascii_lowercase()
}

/// A node's name: a DNS subdomain, as the API server asks for.
pub(super) fn node_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !label.is_empty()
            && label.bytes().all(|byte| inside(byte) || byte == b'-')
            && label.bytes().next().is_some_and(inside)
            && label.bytes().last().is_some_and(inside)
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "\"{}\" is no node's name: lower-case letters, digits, - and ., at most 253, as `kubectl get nodes` shows it",
        shown(text)
    ))
}

/// A name that goes out as it is.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fine = !text.is_empty() && text.len() <= 253 && !text.chars().any(char::is_control);
    fine.then(|| text.to_owned()).ok_or_else(|| format!("\"{}\" is no name of 1 to 253 letters", shown(text)))
}

/// An audience of a token.
pub(super) fn audience(text: &str) -> Result<String, String> {
    let fine = !text.is_empty() && !text.chars().any(|letter| letter.is_control() || letter.is_whitespace());
    fine.then(|| text.to_owned())
        .ok_or_else(|| format!("\"{}\" is no audience: a name without spaces, such as sockeye", shown(text)))
}

/// A file's path.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("is empty; give a file's path".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// A file that must be readable now.
pub(super) fn file(text: &str, what: &str) -> Result<PathBuf, String> {
    let path = path(text)?;
    match std::fs::File::open(&path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_dir() => Err(format!("{} is a folder; give {what}", path.display())),
        Ok(_) => Ok(path),
        Err(error) => Err(format!("{}: {}", path.display(), io(&error))),
    }
}

/// The longest path that a unix socket's address holds, without its final zero (unix(7)).
const UNIX_PATH: usize = 107;

/// A place to serve gRPC at.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if !Path::new(path).is_absolute() {
            return Err(format!("\"{}\" needs an absolute path: unix:/run/sockeye/agent.sock", shown(text)));
        }
        if path.len() > UNIX_PATH {
            return Err(format!(
                "\"{}\" is longer than a socket's path may be ({UNIX_PATH} bytes)",
                shown(text)
            ));
        }
        return Ok(Endpoint::Unix(PathBuf::from(path)));
    }
    address(text).map(Endpoint::Tcp)
}

/// The admin port's place, if there is to be one.
pub(super) fn admin(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" || text == "false" { Ok(None) } else { address(text).map(Some) }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!(
            "\"{}\" is no address; write 127.0.0.1:4250, [::1]:4250 or unix:PATH",
            shown(text)
        ));
    };
    let Ok(port) = port.parse::<u16>() else {
        return Err(format!("\"{}\": ports are 0 to 65535", shown(text)));
    };
    let ip = match host {
        // As Go's programs take it: every address.
        "" | "*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => {
            return Err(format!(
                "\"{}\": names are not looked up here; write the address, as in 127.0.0.1:{port}",
                shown(text)
            ));
        }
    };
    Ok(SocketAddr::new(ip, port))
}

/// Yes or no.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" => Ok(true),
        "false" | "off" | "no" => Ok(false),
        _ => Err(format!("\"{}\" is neither true nor false", shown(text))),
    }
}

/// Yes, no, or what the surroundings say.
pub(super) fn wanted(text: &str) -> Result<Option<bool>, String> {
    if text == "auto" {
        return Ok(None);
    }
    switch(text).map(Some).map_err(|_| format!("no \"{}\"; there are auto, on, off", shown(text)))
}

/// Whose rights are asked for.
pub(super) fn authorize(text: &str) -> Result<Authorize, String> {
    match text {
        "tokens" => Ok(Authorize::Tokens),
        "all" => Ok(Authorize::All),
        _ => Err(format!("no \"{}\"; there are tokens, all", shown(text))),
    }
}

/// How much is logged.
pub(super) fn log_level(text: &str) -> Result<LogLevel, String> {
    match text {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        _ => Err(format!("no \"{}\"; there are error, warn, info, debug", shown(text))),
    }
}

/// How it is logged.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("no \"{}\"; there are text, json", shown(text))),
    }
}

/// How many.
pub(super) fn count(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = plain.then(|| text.parse().ok()).flatten();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("\"{}\" is not a number from {least} to {most}", shown(text)))
}

/// More than no time, at most a day.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(24 * 60 * 60);
    let wrong = || format!("\"{}\" is not a duration; write it as 500ms, 10s, 5m or 1h30m", shown(text));
    let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let spelled = if bare { format!("{text}s") } else { text.to_owned() };
    let signed: SignedDuration = spelled.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from(signed).map_err(|_| wrong())?;
    if duration.is_zero() || duration > MOST {
        return Err(format!("{} is out of bounds: more than no time, at most 24h", shown(text)));
    }
    Ok(duration)
}

/// A size in bytes.
pub(super) fn bytes<N: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<N, String> {
    let wrong = || format!("\"{}\" is not a size; write it as 65536, 512KiB or 4MiB", shown(text));
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().map_err(|_| wrong())?;
    let unit: u64 = match text[end..].trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" | "ki" => 1 << 10,
        "m" | "mib" | "mi" => 1 << 20,
        "g" | "gib" | "gi" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let bytes = number.saturating_mul(unit);
    let fits = (least..=most).contains(&bytes).then(|| N::try_from(bytes).ok()).flatten();
    fits.ok_or_else(|| format!("{} is out of bounds: {} to {}", shown(text), size(least), size(most)))
}

/// The ring's size.
pub(super) fn ring_bytes(text: &str) -> Result<u32, String> {
    bytes(text, 4 << 10, 1 << 30)
}

/// The history's size, 0 for none.
pub(super) fn history_bytes(text: &str) -> Result<u64, String> {
    if matches!(text, "off" | "false" | "0") { Ok(0) } else { bytes(text, 64 << 10, 1 << 30) }
}

fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => bytes.to_string(),
    }
}

/// A value as a message shows it: not endless, and nothing that ends the line.
fn shown(text: &str) -> String {
    const MOST: usize = 100;
    let cut: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    // A quotation mark of JSON's is no reason for a backslash here.
    let cut = cut.replace("\\'", "'");
    if text.chars().nth(MOST).is_some() { format!("{cut}…") } else { cut }
}
