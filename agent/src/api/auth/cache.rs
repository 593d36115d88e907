//! Answers that are believed for a while. Who asks what is being asked already waits for that answer.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::time::Instant;

type Answer<V, E> = Shared<BoxFuture<'static, Result<V, E>>>;

/// Answers by question; at most `most` of them.
pub(super) struct Cache<K, V, E> {
    entries: Mutex<HashMap<K, Entry<V, E>>>,
    most: usize,
}

struct Entry<V, E> {
    answer: Answer<V, E>,
    asked: Instant,
    number: u64,
}

impl<V: Clone, E: Clone> Entry<V, E> {
    /// Under way, or a good answer that is not too old.
    fn usable(&self, now: Instant, believed: &impl Fn(&V) -> Duration) -> bool {
        match self.answer.peek() {
            None => true,
            Some(Ok(answer)) => now.duration_since(self.asked) < believed(answer),
            Some(Err(_)) => false,
        }
    }
}

impl<K, V, E> Cache<K, V, E>
where
    K: Clone + Eq + Hash,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    pub(super) fn new(most: usize) -> Self {
        Self { entries: Mutex::default(), most }
    }

    /// The answer to `key`: the one that is known, or that of `ask`. Errors are not kept.
    pub(super) async fn get(
        &self,
        key: &K,
        believed: impl Fn(&V) -> Duration,
        ask: impl FnOnce() -> BoxFuture<'static, Result<V, E>>,
    ) -> Result<V, E> {
        let answer = {
            let now = Instant::now();
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            match entries.get(key).filter(|entry| entry.usable(now, &believed)) {
                Some(entry) => entry.answer.clone(),
                None => {
                    let number = entries.values().map(|entry| entry.number).max().unwrap_or(0) + 1;
                    entries.remove(key);
                    if entries.len() >= self.most {
                        entries.retain(|_, entry| entry.usable(now, &believed));
                    }
                    if entries.len() >= self.most {
                        let oldest =
                            entries.iter().min_by_key(|(_, entry)| entry.number).map(|(key, _)| key.clone());
                        oldest.map(|oldest| entries.remove(&oldest));
                    }
                    let answer = ask().shared();
                    entries.insert(key.clone(), Entry { answer: answer.clone(), asked: now, number });
                    answer
                }
            }
        };
        answer.await
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl<K, V, E> std::fmt::Debug for Cache<K, V, E> {
    /// Without its content: keys are tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("most", &self.most).finish_non_exhaustive()
    }
}
