//! The columns of bcc's tools, with the namespace and the pod in front: the views and renderers of `trace`, fed with
//! the API's events.
//!
//! The kernel programs make one record of one or more kinds, and the API gives each kind as an event of its own; the
//! views want them together. So events of one socket and one moment are joined again.

mod convert;

use std::{collections::VecDeque, sync::Arc};

use agent_common::event::Event as KernelEvent;

use self::convert::convert;
use super::{Item, Show, columns::cut, words};
use crate::{
    args::{Format, Options, TimeFormat},
    escape,
    render::{self, Render},
    text,
    tool::Tool,
    view::{self, View},
};

/// Widths of NAMESPACE and POD.
const NAMESPACE: usize = 12;
const POD: usize = 24;
/// Events whose pod is remembered: more than a view holds back.
const REMEMBERED: usize = 4096;

/// Writes a tool's rows.
pub struct Bcc {
    view: Box<dyn View>,
    render: Box<dyn Render>,
    pods: Option<Pods>,
    joined: Option<Joined>,
    bold: bool,
}

/// Events of one socket and one moment.
struct Joined {
    node: Arc<str>,
    event: KernelEvent,
}

impl Bcc {
    /// Rows of this tool.
    pub fn new(tool: Tool, no_pod: bool, time: Option<TimeFormat>, bold: bool) -> Self {
        let options = Options { time, ..Options::default() };
        let pods = (!no_pod).then(Pods::default);
        // What the header is emphasized with would not reach the two columns in front: it is done here.
        let render = render::of(tool, Format::Table, &options, bold && no_pod);
        Self { view: view::of(tool, &options), render, pods, joined: None, bold: bold && !no_pod }
    }

    fn give(&mut self, out: &mut Vec<u8>) -> u64 {
        let Some(joined) = self.joined.take() else { return 0 };
        let (pods, render) = (&self.pods, &mut self.render);
        let mut rows = 0;
        self.view.event(&joined.event, &mut |row| {
            rows += 1;
            front(pods.as_ref(), row.event, out);
            render.row(row, out);
        });
        rows
    }
}

impl Show for Bcc {
    fn header(&mut self, out: &mut Vec<u8>) {
        if self.bold {
            words::say("\x1b[1m", out);
        }
        if self.pods.is_some() {
            words::say(&format!("{:NAMESPACE$} {:POD$} ", "NAMESPACE", "POD"), out);
        }
        self.render.header(out);
        if self.bold {
            out.pop();
            words::say("\x1b[0m\n", out);
        }
    }

    fn event(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        let Some(mut event) = convert(&item.event) else { return 0 };
        if let Some(joined) = &mut self.joined
            && joined.node == item.node
            && joined.event.wall_ns == event.wall_ns
            && joined.event.cookie == event.cookie
            && event.cookie.is_some()
        {
            convert::join(&mut joined.event, &event);
            return 0;
        }
        let rows = self.give(out);
        if let Some(pods) = &mut self.pods {
            pods.remember(item, &mut event);
        }
        self.joined = Some(Joined { node: Arc::clone(&item.node), event });
        rows
    }

    fn idle(&mut self, up_to_ns: u64, out: &mut Vec<u8>) -> u64 {
        let mut rows = match &self.joined {
            Some(joined) if joined.event.wall_ns <= up_to_ns => self.give(out),
            _ => 0,
        };
        let (pods, render) = (&self.pods, &mut self.render);
        self.view.idle(up_to_ns, &mut |row| {
            rows += 1;
            front(pods.as_ref(), row.event, out);
            render.row(row, out);
        });
        rows
    }

    fn waits(&self) -> bool {
        self.joined.is_some() || self.view.deadline().is_some()
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> u64 {
        let mut rows = self.give(out);
        let (pods, render) = (&self.pods, &mut self.render);
        self.view.finish(&mut |row| {
            rows += 1;
            front(pods.as_ref(), row.event, out);
            render.row(row, out);
        });
        self.render.finish(out);
        rows
    }
}

/// Whose the events are that a view may hold back. A view passes events on as they are, so the number of the entry
/// travels in the cgroup's id, which no column of these tables shows.
#[derive(Default)]
struct Pods {
    /// The newest ones.
    entries: VecDeque<(String, String)>,
    /// Number of the first of them.
    first: u64,
}

impl Pods {
    fn remember(&mut self, item: &Item, event: &mut KernelEvent) {
        let identity = item.event.local.as_ref();
        let namespace = identity.map_or("", |identity| &identity.namespace).to_owned();
        let pod = match identity {
            Some(identity) if !identity.pod.is_empty() => identity.pod.clone(),
            Some(identity) if identity.host => "host".to_owned(),
            Some(identity) => identity.pod_uid.clone(),
            None => String::new(),
        };
        if self.entries.len() == REMEMBERED {
            self.entries.pop_front();
            self.first += 1;
        }
        event.cgroup_id = Some(self.first + self.entries.len() as u64);
        self.entries.push_back((namespace, pod));
    }

    fn of(&self, event: &KernelEvent) -> Option<&(String, String)> {
        let index = event.cgroup_id?.checked_sub(self.first)?;
        self.entries.get(usize::try_from(index).ok()?)
    }
}

/// Appends the two columns in front of a row.
fn front(pods: Option<&Pods>, event: &KernelEvent, out: &mut Vec<u8>) {
    let Some(pods) = pods else { return };
    let (namespace, pod) = pods.of(event).map_or(("", ""), |(namespace, pod)| (namespace, pod));
    for (name, width) in [(namespace, NAMESPACE), (pod, POD)] {
        let start = out.len();
        if name.is_empty() {
            out.push(b'-');
        }
        escape::terminal(name.as_bytes(), usize::MAX, out);
        cut(start, width, out);
        text::pad(start, width, false, out);
        out.push(b' ');
    }
}
