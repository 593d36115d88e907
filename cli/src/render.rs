//! Rows as text: bcc's columns, more columns, CSV, JSON. Renderers append to a buffer and do no I/O.

mod bcc;
pub mod cell;
mod column;
mod counts;
mod json;
pub mod object;
mod retransmits;
pub mod word;

use crate::{
    args::{Format, Options, TimeFormat},
    clock::Clock,
    tool::Tool,
    view::Row,
};

/// What a cell writes on.
pub struct Paper<'a> {
    /// Where the text goes.
    pub out: &'a mut Vec<u8>,
    /// How times look.
    pub clock: &'a mut Clock,
    /// Whether fields are separated by commas: what contains one must be quoted.
    pub csv: bool,
}

/// Turns rows into text.
pub trait Render {
    /// What comes before the first row.
    fn header(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// A row, with its line end.
    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>);

    /// What comes after the last row.
    fn finish(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }
}

/// The renderer of a tool. `bold`: the header may be emphasized.
pub fn of(tool: Tool, format: Format, options: &Options, bold: bool) -> Box<dyn Render> {
    if options.count && tool == Tool::Tcpretrans {
        return Box::new(retransmits::Retransmits::new(format, bold));
    }
    if options.count {
        return Box::new(counts::Counts::new(format, options.sport, bold));
    }
    match format {
        Format::Json => Box::new(json::Json::new(tool, options)),
        Format::Table | Format::Wide | Format::Csv => {
            let columns = bcc::columns(tool, format, options);
            let clock = Clock::new(options.time.unwrap_or(TimeFormat::Clock));
            Box::new(column::Columns::new(columns, format == Format::Csv, bold, clock))
        }
    }
}

/// The form of the columns of a tool.
#[derive(Clone, Copy)]
struct Form<'a> {
    format: Format,
    options: &'a Options,
}

impl Form<'_> {
    fn wide(self) -> bool {
        self.format == Format::Wide
    }

    fn csv(self) -> bool {
        self.format == Format::Csv
    }
}
