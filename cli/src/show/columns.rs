//! Aligned columns, for tables of events, sockets and nodes.

use crate::text;

/// A column: its header and how wide it is; what is longer is cut where `cut`, else it pushes the rest.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What stands above it.
    pub header: &'static str,
    /// Its width; 0 = as it comes (the last one).
    pub width: usize,
    /// Numbers stand at its right.
    pub right: bool,
    /// What does not fit is cut.
    pub cut: bool,
}

impl Column {
    /// A column at the left, not cut.
    pub const fn new(header: &'static str, width: usize) -> Self {
        Self { header, width, right: false, cut: false }
    }

    /// A column that is cut.
    pub const fn cut(header: &'static str, width: usize) -> Self {
        Self { cut: true, ..Self::new(header, width) }
    }

    /// A column of numbers.
    pub const fn right(header: &'static str, width: usize) -> Self {
        Self { right: true, ..Self::new(header, width) }
    }
}

/// Appends the headers, emphasized for `bold`.
pub fn header(columns: &[Column], bold: bool, out: &mut Vec<u8>) {
    if bold {
        out.extend_from_slice(b"\x1b[1m");
    }
    row(columns, out, |index, out| out.extend_from_slice(columns[index].header.as_bytes()));
    if bold {
        out.pop();
        out.extend_from_slice(b"\x1b[0m\n");
    }
}

/// Appends a row; `cell` writes the columns by number. No spaces at its end.
pub fn row(columns: &[Column], out: &mut Vec<u8>, mut cell: impl FnMut(usize, &mut Vec<u8>)) {
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        let start = out.len();
        cell(index, out);
        if out.len() == start {
            out.push(b'-');
        }
        if column.cut {
            cut(start, column.width, out);
        }
        text::pad(start, column.width, column.right, out);
    }
    while out.last() == Some(&b' ') {
        out.pop();
    }
    out.push(b'\n');
}

/// Cuts what was appended since `start` to so many characters, the last of them an ellipsis.
pub fn cut(start: usize, width: usize, out: &mut Vec<u8>) {
    let is_first = |byte: &u8| byte & 0xc0 != 0x80;
    if out[start..].iter().filter(|byte| is_first(byte)).count() <= width {
        return;
    }
    let mut firsts = out[start..].iter().enumerate().filter(|(_, byte)| is_first(byte));
    if let Some((end, _)) = firsts.nth(width.saturating_sub(1)) {
        out.truncate(start + end);
        out.extend_from_slice("…".as_bytes());
    }
}
