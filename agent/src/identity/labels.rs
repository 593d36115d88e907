//! A pod's labels in one piece of memory.
//!
//! A pod has five to fifteen labels; two boxed strings for each would cost more than the strings themselves.
//! Keys and values stand one after the other here, each ended by a NUL, which no label can have in it.

/// Labels, sorted by key, each key once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Labels(Box<str>);

impl Labels {
    /// Keys and values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut parts = self.0.split_terminator('\0');
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }

    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|(known, value)| (known == key).then_some(value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes keys and values have.
    pub fn bytes(&self) -> usize {
        self.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Labels {
    /// In any order; of a key that comes twice the last value counts. What has a NUL in it is no label.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        let mut labels: Vec<(K, V)> = labels
            .into_iter()
            .filter(|(key, value)| !key.as_ref().contains('\0') && !value.as_ref().contains('\0'))
            .collect();
        // A stable sort, so that of equal keys the last is last.
        labels.sort_by(|(one, _), (other, _)| one.as_ref().cmp(other.as_ref()));
        let mut text = String::with_capacity(
            labels.iter().map(|(key, value)| key.as_ref().len() + value.as_ref().len() + 2).sum(),
        );
        for (place, (key, value)) in labels.iter().enumerate() {
            if labels.get(place + 1).is_some_and(|(next, _)| next.as_ref() == key.as_ref()) {
                continue;
            }
            for part in [key.as_ref(), value.as_ref()] {
                text.push_str(part);
                text.push('\0');
            }
        }
        Self(text.into())
    }
}

impl std::fmt::Debug for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Labels;

    #[test]
    fn labels_come_back_sorted_with_empty_values_too() {
        let labels: Labels = [("tier", "web"), ("app", "cart"), ("debug", "")].into_iter().collect();
        let all: Vec<_> = labels.iter().collect();
        assert_eq!(all, [("app", "cart"), ("debug", ""), ("tier", "web")]);
        assert_eq!(labels.get("debug"), Some(""));
        assert_eq!(labels.get("none"), None);
        assert_eq!(labels.bytes(), 19);
        assert_eq!(format!("{labels:?}"), r#"{"app": "cart", "debug": "", "tier": "web"}"#);
    }

    #[test]
    fn no_labels_are_no_labels() {
        let none: Labels = [("", ""); 0].into_iter().collect();
        assert!(none.is_empty() && none == Labels::default());
        assert_eq!(none.iter().count(), 0);
    }

    #[test]
    fn a_key_is_there_once_with_its_last_value_and_a_nul_is_no_label() {
        let labels: Labels = [("a", "1"), ("b", "x"), ("a", "2"), ("c\0d", "e")].into_iter().collect();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "x")]);
    }
}
