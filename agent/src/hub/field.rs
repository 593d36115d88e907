//! Request fields that cannot be meant: which, and what would be right.

use std::fmt::Display;

/// A field of a request that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct BadField {
    /// The field, as the API names it, with indexes: `allow[0].local_ports[1]`.
    pub path: String,
    /// What is wrong and what would be right.
    pub why: String,
}

impl BadField {
    /// A field and what is wrong with it.
    pub fn new(path: impl Into<String>, why: impl Display) -> Self {
        Self { path: path.into(), why: why.to_string() }
    }
}

/// Checks each value of a repeated field; the error names the one that is wrong.
pub fn each<T, U, E: Display>(
    path: &str,
    values: &[T],
    check: impl Fn(&T) -> Result<U, E>,
) -> Result<Vec<U>, BadField> {
    let checked = values
        .iter()
        .enumerate()
        .map(|(index, value)| check(value).map_err(|why| BadField::new(format!("{path}[{index}]"), why)));
    checked.collect()
}
