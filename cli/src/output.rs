//! Where events end: the sink of the engine. View, renderer, one reused buffer, standard output.
//!
//! Rows gather in the buffer while events keep coming, and leave when there is nothing more to read: a busy
//! tool writes rarely, an idle one at once.

use std::{
    io::{self, Write},
    ops::ControlFlow,
};

use agent::engine::Sink;
use agent_common::event::{Event, Lost};

use crate::{
    journal::Journal,
    message, patient,
    render::Render,
    view::{Row, View},
};

/// A buffer this full is written even if more events wait.
const FULL: usize = 64 << 10;

/// The sink of one tool.
pub struct Output<W> {
    view: Box<dyn View>,
    page: Page<W>,
}

/// What rows are written on; apart from the view, which hands rows to it.
struct Page<W> {
    render: Box<dyn Render>,
    journal: Option<Journal>,
    buffer: Vec<u8>,
    writer: W,
    left: Option<u64>,
    ring_bytes: u32,
    broken: Option<io::Error>,
}

impl<W: Write> Output<W> {
    /// A sink that ends the run after `max_rows`.
    pub fn new(
        view: Box<dyn View>,
        render: Box<dyn Render>,
        journal: Option<Journal>,
        max_rows: Option<u64>,
        ring_bytes: u32,
        writer: W,
    ) -> Self {
        let buffer = Vec::with_capacity(2 * FULL);
        Self {
            view,
            page: Page { render, journal, buffer, writer, left: max_rows, ring_bytes, broken: None },
        }
    }

    /// Writes the header, so that the user sees that it runs.
    pub fn begin(&mut self) -> ControlFlow<()> {
        self.page.render.header(&mut self.page.buffer);
        self.page.flush()
    }

    /// Writes what is still held back. The error is one of standard output; a reader that went away is none.
    pub fn finish(mut self) -> io::Result<()> {
        let page = &mut self.page;
        self.view.finish(&mut |row| page.row(row));
        page.render.finish(&mut page.buffer);
        let _ = page.flush();
        patient::verdict(self.page.broken)
    }
}

impl<W: Write> Sink for Output<W> {
    fn event(&mut self, event: &Event) -> ControlFlow<()> {
        let page = &mut self.page;
        self.view.event(event, &mut |row| page.row(row));
        if page.buffer.len() >= FULL || page.left == Some(0) {
            return page.flush();
        }
        ControlFlow::Continue(())
    }

    fn idle(&mut self, now_boot_ns: u64) -> ControlFlow<()> {
        let page = &mut self.page;
        self.view.idle(now_boot_ns, &mut |row| page.row(row));
        page.flush()
    }

    fn deadline(&self) -> Option<u64> {
        self.view.deadline()
    }

    fn lost(&mut self, lost: &[Lost]) -> ControlFlow<()> {
        for line in message::losses(lost, self.page.ring_bytes) {
            message::warning(&line);
        }
        ControlFlow::Continue(())
    }
}

impl<W: Write> Page<W> {
    fn row(&mut self, row: &Row<'_>) {
        match &mut self.left {
            // The view may hand out several rows for one event.
            Some(0) => return,
            Some(left) => *left -= 1,
            None => {}
        }
        self.render.row(row, &mut self.buffer);
        if let Some(journal) = &mut self.journal {
            journal.send(row);
        }
    }

    fn flush(&mut self) -> ControlFlow<()> {
        if let Some(journal) = &mut self.journal
            && let Some(line) = journal.losses()
        {
            message::warning(&line);
        }
        if !self.buffer.is_empty() && self.broken.is_none() {
            self.broken = patient::write_all(&mut self.writer, &self.buffer).err();
        }
        self.buffer.clear();
        if self.broken.is_some() || self.left == Some(0) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
