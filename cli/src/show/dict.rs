//! Several lines an event: a name and a value each, and a line between two events.

use super::{Item, Show, nanoseconds, words};
use crate::{args::name::Named as _, clock::Clock, text};

/// Writes lines.
pub struct Dict {
    clock: Clock,
    begun: bool,
}

impl Dict {
    /// Lines with times of this clock.
    pub const fn new(clock: Clock) -> Self {
        Self { clock, begun: false }
    }
}

/// Appends a line, unless the value is empty.
fn line(name: &str, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    words::say(name, out);
    text::pad(start, 10, true, out);
    words::say(": ", out);
    let before = out.len();
    value(out);
    if out.len() == before {
        out.truncate(start);
    } else {
        out.push(b'\n');
    }
}

impl Show for Dict {
    fn event(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        let event = &item.event;
        if std::mem::replace(&mut self.begun, true) {
            words::say("------------\n", out);
        }
        line("TIME", out, |out| self.clock.time(nanoseconds(event.time.as_ref()), out));
        line("NODE", out, |out| words::quote(&item.node, out));
        line("EVENT", out, |out| words::what(event, out));
        if let Some(identity) = &event.local {
            line("POD", out, |out| {
                if words::has_pod(identity) {
                    words::pod(identity, out);
                }
            });
            line("CONTAINER", out, |out| words::quote(&identity.container, out));
            line("WORKLOAD", out, |out| {
                if let Some(workload) = &identity.workload {
                    words::quote(&workload.kind.to_lowercase(), out);
                    words::say("/", out);
                    words::quote(&workload.name, out);
                }
            });
            line("NAMED BY", out, |out| words::say(&identity.source().spelled(), out));
        }
        line("PROCESS", out, |out| {
            if event.process.is_some() {
                words::process(event, out);
            }
        });
        let socket = event.socket.as_ref();
        line("LOCAL", out, |out| words::end_point(socket.and_then(|socket| socket.local.as_ref()), out));
        line("PEER", out, |out| words::peer(event, out));
        line("SOCKET", out, |out| {
            let Some(cookie) = socket.and_then(|socket| socket.cookie) else { return };
            words::say("cookie ", out);
            text::number(cookie, out);
            if let Some(netns) = socket.and_then(|socket| socket.netns) {
                words::say(", netns ", out);
                text::number(netns, out);
            }
        });
        line("INFO", out, |out| words::facts(event, out));
        if let Some(explanation) = &event.explanation {
            line("WHY", out, |out| words::quote(&explanation.text, out));
        }
        1
    }
}
