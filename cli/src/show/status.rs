//! `status`: one screen, whatever there is to say.

use proto::v1::{BufferStatus, GetServerStatusResponse, Health, SubscriberStatus};

use super::{
    columns::{self, Column},
    jsonpb,
    words::{count, duration, quote, say, span},
};
use crate::{
    args::name::Named as _,
    client::{ClientError, cluster::AgentPod, session::loss},
    escape,
    render::object::Object,
    text,
};

/// What a server answered.
pub struct Answer {
    /// The node, or the address.
    pub node: String,
    /// Its pod, in a cluster.
    pub pod: Option<AgentPod>,
    /// The answer.
    pub status: Result<GetServerStatusResponse, ClientError>,
}

/// How well a server is. In the order of the exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// All of it works.
    Healthy,
    /// Something is missing.
    Degraded,
    /// It does not answer.
    Unreachable,
}

impl Condition {
    const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Answer {
    /// How well it is.
    pub fn condition(&self) -> Condition {
        match &self.status {
            Err(_) => Condition::Unreachable,
            Ok(status) if complaints(status).is_empty() => Condition::Healthy,
            Ok(_) => Condition::Degraded,
        }
    }

    /// What is wrong, on one line.
    pub fn complaint(&self) -> Option<String> {
        let text = match &self.status {
            Ok(status) => complaints(status).join("; "),
            Err(error) => error.to_string(),
        };
        (!text.is_empty()).then_some(text)
    }
}

/// What keeps a server from being healthy. Losses do not: they are told to whom they concern.
fn complaints(status: &GetServerStatusResponse) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for tool in &status.tools {
        if matches!(tool.health(), Health::Degraded | Health::Unavailable) {
            let reasons = tool.reasons.join("; ");
            let separator = if reasons.is_empty() { "" } else { ": " };
            all.push(format!("{} {}{separator}{reasons}", tool.tool, tool.health().spelled()));
        }
    }
    if let Some(watch) = status.watch.as_ref().filter(|watch| !watch.synced) {
        let reason = if watch.error.is_empty() { "not read yet" } else { &watch.error };
        all.push(format!("pods have no names: {reason}"));
    }
    all
}

/// All answers.
pub struct Report(Vec<Answer>);

impl Report {
    /// A report.
    pub const fn new(answers: Vec<Answer>) -> Self {
        Self(answers)
    }

    fn condition(&self) -> Condition {
        self.0.iter().map(Answer::condition).max().unwrap_or(Condition::Unreachable)
    }

    /// 0 healthy, 1 degraded (unless that is good enough), 2 unreachable.
    pub fn exit_code(&self, accept_degraded: bool) -> u8 {
        match self.condition() {
            Condition::Healthy => 0,
            Condition::Degraded if accept_degraded => 0,
            Condition::Degraded => 1,
            Condition::Unreachable => 2,
        }
    }

    /// What is said on stderr: who does not answer.
    pub fn complaints(&self) -> Vec<String> {
        let silent = self.0.iter().filter(|answer| answer.condition() == Condition::Unreachable);
        silent
            .map(|answer| match (answer.node.as_str(), answer.complaint().unwrap_or_default()) {
                ("", why) => why,
                (node, why) => format!("{node}: {why}"),
            })
            .collect()
    }

    /// For people.
    pub fn text(&self, bold: bool, out: &mut Vec<u8>) {
        match self.0.as_slice() {
            [Answer { status: Ok(status), node, pod }] => {
                one(node, pod.as_ref(), status, self.condition(), bold, out);
            }
            [_] => {}
            several => many(several, bold, out),
        }
    }

    /// One JSON object: what is found out here, and each server's own answer as protobuf JSON.
    pub fn json(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        object.word("health", self.condition().word());
        object.key("nodes");
        object.out.push(b'[');
        for (index, answer) in self.0.iter().enumerate() {
            if index > 0 {
                object.out.push(b',');
            }
            let mut inner = Object::begin(object.out);
            inner.name("node", &answer.node);
            let pod = answer.pod.as_ref();
            inner.name("namespace", pod.map_or("", |pod| &pod.namespace));
            inner.name("pod", pod.map_or("", |pod| &pod.name));
            inner.word("health", answer.condition().word());
            inner.name("message", &answer.complaint().unwrap_or_default());
            inner.optional("status", answer.status.as_ref().ok(), |status, out| {
                jsonpb::write_as("GetServerStatusResponse", &prost::Message::encode_to_vec(status), out);
                // It ends a line of its own elsewhere.
                out.pop();
            });
            inner.end();
        }
        object.out.push(b']');
        object.end();
        out.push(b'\n');
    }
}

/// A line with its name in front.
fn line(name: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    say(name, out);
    text::pad(start, 12, false, out);
    write(out);
    out.push(b'\n');
}

fn one(
    node: &str,
    pod: Option<&AgentPod>,
    status: &GetServerStatusResponse,
    condition: Condition,
    bold: bool,
    out: &mut Vec<u8>,
) {
    line("node", out, |out| {
        quote(if status.node_name.is_empty() { node } else { &status.node_name }, out);
        if let Some(pod) = pod {
            say(", pod ", out);
            quote(&pod.namespace, out);
            say("/", out);
            quote(&pod.name, out);
        }
    });
    line("health", out, |out| {
        say(if bold { "\x1b[1m" } else { "" }, out);
        say(condition.word(), out);
        say(if bold { "\x1b[0m" } else { "" }, out);
    });
    line("sockeye", out, |out| {
        quote(&status.version, out);
        if let Some(uptime) = duration(status.uptime.as_ref()) {
            say(", up ", out);
            span(uptime, out);
        }
    });
    line("kernel", out, |out| {
        quote(&status.kernel_release, out);
        say(" ", out);
        quote(&status.architecture, out);
    });
    if let Some(watch) = &status.watch {
        line("pods", out, |out| {
            text::number(watch.pods, out);
            say(" known, ", out);
            if watch.synced {
                say("in step with the API server", out);
            } else {
                say("not in step: ", out);
                quote(if watch.error.is_empty() { "not read yet" } else { &watch.error }, out);
            }
            if let Some(since) = duration(watch.since_last_event.as_ref()) {
                say(", last word ", out);
                span(since, out);
                say(" ago", out);
            }
        });
    }
    line("events", out, |out| {
        say(&format!("{:.1}", status.events_per_second), out);
        say(" a second in the last minute", out);
    });
    for (index, tool) in status.tools.iter().enumerate() {
        line(if index == 0 { "tools" } else { "" }, out, |out| {
            let start = out.len();
            quote(&tool.tool, out);
            text::pad(start, 12, false, out);
            say(
                if tool.health() == Health::Unspecified {
                    "not known".to_owned()
                } else {
                    tool.health().spelled()
                }
                .as_str(),
                out,
            );
            if !tool.reasons.is_empty() {
                say("  ", out);
                quote(&tool.reasons.join("; "), out);
            }
        });
    }
    line("programs", out, |out| match status.programs.len() {
        0 => say("none attached: nobody is subscribed", out),
        attached => {
            text::number(attached, out);
            say(" attached", out);
            let missed: u64 = status.programs.iter().filter_map(|program| program.recursion_misses).sum();
            if missed > 0 {
                say(", skipped ", out);
                count(missed, "time", out);
                say(" by the kernel", out);
            }
        }
    });
    for (index, buffer) in status.buffers.iter().enumerate() {
        line(if index == 0 { "buffers" } else { "" }, out, |out| buffer_line(buffer, out));
    }
    if status.subscribers.is_empty() {
        line("subscribers", out, |out| say("none", out));
    }
    for (index, subscriber) in status.subscribers.iter().enumerate() {
        line(if index == 0 { "subscribers" } else { "" }, out, |out| subscriber_line(subscriber, out));
    }
    for (index, lost) in status.lost.iter().enumerate() {
        line(if index == 0 { "lost" } else { "" }, out, |out| quote(&loss(lost), out));
    }
}

fn buffer_line(buffer: &BufferStatus, out: &mut Vec<u8>) {
    let start = out.len();
    quote(&buffer.name, out);
    text::pad(start, 16, false, out);
    if let Some(used) = buffer.used.filter(|_| buffer.size > 0) {
        text::number(used.saturating_mul(100) / buffer.size, out);
        say("% of ", out);
    }
    text::number(buffer.size, out);
    if buffer.lost > 0 {
        say(", ", out);
        text::number(buffer.lost, out);
        say(" did not fit", out);
    }
}

fn subscriber_line(subscriber: &SubscriberStatus, out: &mut Vec<u8>) {
    say("#", out);
    text::number(subscriber.id, out);
    say(" ", out);
    quote(&subscriber.client, out);
    if let Some(age) = duration(subscriber.age.as_ref()) {
        say(", for ", out);
        span(age, out);
    }
    for (number, what) in
        [(subscriber.sent, " sent"), (subscriber.queued, " waiting"), (subscriber.lost, " lost")]
    {
        say(", ", out);
        text::number(number, out);
        say(what, out);
    }
    if !subscriber.in_user_space.is_empty() {
        say("; not in the kernel: ", out);
        quote(&subscriber.in_user_space.join(", "), out);
    }
}

const NODES: &[Column] = &[
    Column::cut("NODE", 20),
    Column::new("HEALTH", 11),
    Column::new("VERSION", 8),
    Column::right("EVENTS/S", 8),
    Column::right("SUBSCR", 6),
    Column::cut("WHAT", 22),
];

fn many(answers: &[Answer], bold: bool, out: &mut Vec<u8>) {
    columns::header(NODES, bold, out);
    for answer in answers {
        let status = answer.status.as_ref().ok();
        columns::row(NODES, out, |index, out| match (index, status) {
            (0, _) => quote(&answer.node, out),
            (1, _) => say(answer.condition().word(), out),
            (2, Some(status)) => quote(&status.version, out),
            (3, Some(status)) => say(&format!("{:.1}", status.events_per_second), out),
            (4, Some(status)) => text::number(status.subscribers.len(), out),
            (5, _) => quote(&answer.complaint().unwrap_or_default(), out),
            _ => {}
        });
    }
    // What did not fit the last column, once for each.
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for answer in answers.iter().filter(|answer| answer.condition() == Condition::Degraded) {
        let Some(text) = answer.complaint() else { continue };
        match said.iter_mut().find(|(known, _)| *known == text) {
            Some((_, nodes)) => nodes.push(&answer.node),
            None => said.push((text, vec![&answer.node])),
        }
    }
    for (text, nodes) in said {
        say("\n", out);
        escape::terminal(nodes.join(", ").as_bytes(), usize::MAX, out);
        say(": ", out);
        quote(&text, out);
        say("\n", out);
    }
}
