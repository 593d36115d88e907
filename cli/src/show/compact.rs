//! One readable line an event: time, pod, what, both ends, why.

use super::{
    Item, Show, nanoseconds,
    words::{self, Trouble},
};
use crate::clock::Clock;

/// Writes lines.
pub struct Compact {
    clock: Clock,
    colour: bool,
    part: Vec<u8>,
}

impl Compact {
    /// Lines with times of this clock.
    pub const fn new(clock: Clock, colour: bool) -> Self {
        Self { clock, colour, part: Vec::new() }
    }
}

/// The colour of a word; the word says it too.
pub const fn colour_of(trouble: Trouble) -> Option<&'static str> {
    match trouble {
        Trouble::None => None,
        Trouble::Some => Some("\x1b[33m"),
        Trouble::Failure => Some("\x1b[31m"),
    }
}

/// The end of a colour.
pub const PLAIN: &str = "\x1b[0m";

impl Show for Compact {
    fn event(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        let event = &item.event;
        let colour = if self.colour { colour_of(words::trouble(event)) } else { None };
        self.clock.time(nanoseconds(event.time.as_ref()), out);
        words::say("  ", out);
        words::who(event, out);
        words::say("  ", out);
        words::say(colour.unwrap_or_default(), out);
        words::what(event, out);
        words::say(colour.map_or("", |_| PLAIN), out);
        words::say("  ", out);
        words::ends(event, out);
        self.part.clear();
        words::facts(event, &mut self.part);
        if !self.part.is_empty() {
            words::say("  ", out);
            out.extend_from_slice(&self.part);
        }
        if let Some(explanation) = event.explanation.as_ref().filter(|why| !why.text.is_empty()) {
            words::say("  (", out);
            words::quote(&explanation.text, out);
            words::say(")", out);
        }
        out.push(b'\n');
        1
    }
}
