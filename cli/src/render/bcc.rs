//! The columns of bcc's tools, to the letter of v0.35's Python tools, and what `-o wide` adds. One file per tool.

mod tcpaccept;
mod tcpconnect;
mod tcpconnlat;
mod tcplife;
mod tcpreset;
mod tcpretrans;
mod tcpstates;
mod tcptracer;

use super::{
    Form,
    cell::{self, Cell},
    column::Column,
};
use crate::{
    args::{Format, Options, TimeFormat},
    tool::Tool,
};

/// The columns of a tool.
pub fn columns(tool: Tool, format: Format, options: &Options) -> Vec<Column> {
    let form = Form { format, options };
    match tool {
        Tool::Tcpstates => tcpstates::columns(form),
        Tool::Tcpconnect => tcpconnect::columns(form),
        Tool::Tcpconnlat => tcpconnlat::columns(form),
        Tool::Tcplife => tcplife::columns(form),
        Tool::Tcpaccept => tcpaccept::columns(form),
        Tool::Tcpreset => tcpreset::columns(form),
        Tool::Tcpretrans => tcpretrans::columns(form),
        Tool::Tcptracer => tcptracer::columns(form),
    }
}

/// TIME, where asked for: `gap` characters wider than the text, so that the next column need not care.
fn time_of_day(form: Form<'_>, gap: usize) -> Option<Column> {
    let width = match form.options.time? {
        TimeFormat::Clock => 8,
        TimeFormat::ClockMs => 12,
        TimeFormat::Rfc3339 => 32,
        TimeFormat::Utc => 27,
        TimeFormat::Unix => 17,
    };
    Some(Column::new("TIME", width + gap, cell::time).close())
}

/// TIME(s), where asked for.
fn timestamp(form: Form<'_>, cell: Cell) -> Option<Column> {
    form.options.timestamp.then(|| Column::new("TIME(s)", 9, cell).close())
}

/// Who and where, for every tool's `-o wide`.
fn place() -> [Column; 2] {
    [Column::new("NETNS", 10, cell::netns), Column::new("CGROUP", 8, cell::cgroup)]
}

#[cfg(test)]
mod tests;
