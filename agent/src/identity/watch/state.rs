//! How the watch goes, for the status, the metrics and readiness. Nobody on the path of an event looks here.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::runtime::watcher;

/// The state, written by the watch and read by whoever wants.
#[derive(Debug, Default)]
pub struct WatchState(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// A list was completed at least once.
    listed: bool,
    pods: usize,
    last_word: Option<Instant>,
    lists: u64,
    errors: u64,
    error: Option<String>,
}

/// The state at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchSnapshot {
    /// All pods of this node are known, and the API server is followed.
    pub synced: bool,
    /// All pods of this node were known once: names are there, maybe old ones.
    pub listed: bool,
    /// Pods that are known.
    pub pods: usize,
    /// Since the API server told of a pod, or completed a list.
    pub since_last_word: Option<Duration>,
    /// Lists that were completed: the first, and one after each loss of the thread.
    pub lists: u64,
    /// Errors since the start.
    pub errors: u64,
    /// Why it does not follow.
    pub error: Option<String>,
}

impl WatchState {
    /// How it goes now.
    pub fn snapshot(&self) -> WatchSnapshot {
        let state = self.lock();
        WatchSnapshot {
            synced: state.listed && state.error.is_none(),
            listed: state.listed,
            pods: state.pods,
            since_last_word: state.last_word.map(|word| word.elapsed()),
            lists: state.lists,
            errors: state.errors,
            error: state.error.clone(),
        }
    }

    /// A list is complete; whether the watch did not follow before.
    pub(super) fn synced(&self, pods: usize) -> bool {
        let mut state = self.lock();
        let news = !state.listed || state.error.is_some();
        state.listed = true;
        state.lists += 1;
        Self::word(&mut state, pods);
        news
    }

    /// The API server told of a pod.
    pub(super) fn followed(&self, pods: usize) {
        Self::word(&mut self.lock(), pods);
    }

    fn word(state: &mut State, pods: usize) {
        state.pods = pods;
        state.last_word = Some(Instant::now());
        state.error = None;
    }

    /// Something went wrong; the text, if it is another than the last.
    pub(super) fn failed(&self, error: &watcher::Error) -> Option<String> {
        let text = describe(error);
        let mut state = self.lock();
        state.errors += 1;
        (state.error.as_ref() != Some(&text)).then(|| state.error.insert(text).clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can leave it half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line about what is wrong and what would be right. What comes from the server is escaped.
fn describe(error: &watcher::Error) -> String {
    let (source, verb) = match error {
        watcher::Error::InitialListFailed(source) => (source, "list"),
        watcher::Error::WatchStartFailed(source) | watcher::Error::WatchFailed(source) => (source, "watch"),
        watcher::Error::WatchError(status) => return of_status(status, "watch"),
        watcher::Error::NoResourceVersion => return "the API server sent a pod without a version".to_owned(),
    };
    match source {
        kube::Error::Api(status) => of_status(status, verb),
        other => format!("the API server does not answer: {}", escaped(&whole(other))),
    }
}

fn of_status(status: &kube::core::Status, verb: &str) -> String {
    match status.code {
        403 => {
            // `pods is forbidden: User "…" cannot list resource "pods" in API group "" at the cluster scope`
            let told = status.message.split_once(" cannot ").map(|(_, told)| told);
            let verb = told.and_then(|told| told.split(' ').next()).unwrap_or(verb);
            let quoted = told.and_then(|told| told.split('"').nth(1)).unwrap_or("pods");
            let user = status.message.split_once("User \"").and_then(|(_, user)| user.split('"').next());
            format!(
                "not allowed to {} the resource {:?} of the whole cluster; a ClusterRole must give {} get, list \
                 and watch on pods",
                escaped(verb),
                quoted,
                user.map_or("the agent's ServiceAccount".into(), escaped),
            )
        }
        401 => "the API server does not accept the agent's credentials (401)".to_owned(),
        410 => "the API server has forgotten where the watch was (410); pods are listed again".to_owned(),
        code => format!("the API server answers {code}: {}", escaped(&status.message)),
    }
}

fn escaped(text: &str) -> String {
    text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// An error with its causes, each said once.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::{core::Status, runtime::watcher::Error};

    use super::describe;

    fn status(code: u16, message: &str) -> Error {
        Error::WatchStartFailed(kube::Error::Api(
            Status { code, message: message.to_owned(), ..Status::default() }.into(),
        ))
    }

    #[test]
    fn a_missing_right_is_named_with_its_verb_and_resource() {
        let told = "pods is forbidden: User \"system:serviceaccount:sockeye:agent\" cannot list resource \"pods\" in \
                    API group \"\" at the cluster scope";
        assert_eq!(
            describe(&status(403, told)),
            "not allowed to list the resource \"pods\" of the whole cluster; a ClusterRole must give \
             system:serviceaccount:sockeye:agent get, list and watch on pods"
        );
        assert_eq!(
            describe(&status(403, "no")),
            "not allowed to watch the resource \"pods\" of the whole cluster; a ClusterRole must give the agent's \
             ServiceAccount get, list and watch on pods"
        );
    }

    #[test]
    fn what_a_server_says_cannot_control_a_terminal() {
        let text = describe(&status(500, "\x1b[2Jbroken \"x\"\n"));
        assert_eq!(text, "the API server answers 500: \\u{1b}[2Jbroken \"x\"\\n");
    }
}
