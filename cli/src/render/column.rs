//! Columns: headers, widths and cells; written as an aligned table or as CSV.

use super::{Paper, Render, cell::Cell};
use crate::{clock::Clock, text, view::Row};

/// A column.
#[derive(Clone, Copy)]
pub struct Column {
    /// Its header; an empty one leaves the column out of the header (bcc's tcpconnect has such a one).
    header: &'static str,
    width: usize,
    right: bool,
    /// What stands between the column and the one before it.
    before: &'static str,
    /// Decoration of the table that is no value.
    table_only: bool,
    cell: Cell,
}

impl Column {
    /// A column after a space, padded behind to `width`; 0 = not padded.
    pub fn new(header: &'static str, width: usize, cell: Cell) -> Self {
        Self { header, width, right: false, before: " ", table_only: false, cell }
    }

    /// Padded before.
    pub fn right(mut self) -> Self {
        self.right = true;
        self
    }

    /// Without a space before: bcc's prefix columns carry it in their width.
    pub fn close(mut self) -> Self {
        self.before = "";
        self
    }

    /// Only in tables.
    pub fn table_only(mut self) -> Self {
        self.table_only = true;
        self
    }
}

/// Rows of columns.
pub struct Columns {
    columns: Vec<Column>,
    csv: bool,
    bold: bool,
    clock: Clock,
}

impl Columns {
    /// A table, or CSV. `bold`: the header is emphasized.
    pub fn new(columns: Vec<Column>, csv: bool, bold: bool, clock: Clock) -> Self {
        let columns = columns.into_iter().filter(|column| !(csv && column.table_only)).collect();
        Self { columns, csv, bold, clock }
    }
}

impl Render for Columns {
    fn header(&mut self, out: &mut Vec<u8>) {
        if self.bold {
            out.extend_from_slice(b"\x1b[1m");
        }
        let shown = self.columns.iter().filter(|column| !column.header.is_empty());
        for (index, column) in shown.enumerate() {
            separate(index, column, self.csv, out);
            let start = out.len();
            out.extend_from_slice(column.header.as_bytes());
            if !self.csv {
                text::pad(start, column.width, column.right, out);
            }
        }
        if self.bold {
            out.extend_from_slice(b"\x1b[0m");
        }
        out.push(b'\n');
    }

    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) {
        for (index, column) in self.columns.iter().enumerate() {
            separate(index, column, self.csv, out);
            let start = out.len();
            (column.cell)(row, &mut Paper { out: &mut *out, clock: &mut self.clock, csv: self.csv });
            if !self.csv {
                text::pad(start, column.width, column.right, out);
            }
        }
        out.push(b'\n');
    }
}

fn separate(index: usize, column: &Column, csv: bool, out: &mut Vec<u8>) {
    if index > 0 {
        out.extend_from_slice(if csv { b"," } else { column.before.as_bytes() });
    }
}
