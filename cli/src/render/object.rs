//! JSON objects, written key by key: the order of the keys is part of the schema.

use std::time::Duration;

use super::cell;
use crate::{escape, text};

/// Not known.
pub fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

/// An object that is being written.
pub struct Object<'a> {
    /// Where the text goes.
    pub out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    /// An object without keys yet.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// The end of it.
    pub fn end(self) {
        self.out.push(b'}');
    }

    /// A key; the caller writes its value.
    pub fn key(&mut self, key: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A key whose value is an object.
    pub fn object(&mut self, key: &str) -> Object<'_> {
        self.key(key);
        Object::begin(self.out)
    }

    /// A key and a word of ours, which needs no escaping.
    pub fn word(&mut self, key: &str, word: &str) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(word.as_bytes());
        self.out.push(b'"');
    }

    /// A key and a number.
    pub fn number(&mut self, key: &str, number: impl itoa::Integer) {
        self.key(key);
        text::number(number, self.out);
    }

    /// A key and a value, or null.
    pub fn optional<T>(&mut self, key: &str, value: Option<T>, write: impl FnOnce(T, &mut Vec<u8>)) {
        self.key(key);
        match value {
            Some(value) => write(value, self.out),
            None => null(self.out),
        }
    }

    /// A key and nanoseconds, or null.
    pub fn duration(&mut self, key: &str, duration: Option<Duration>) {
        self.optional(key, duration, |duration, out| text::number(text::nanoseconds(duration), out));
    }

    /// The keys of an error number.
    pub fn errno(&mut self, errno: Option<u32>) {
        self.optional("errno", errno, text::number);
        self.optional("errno_name", errno, |errno, out| {
            out.push(b'"');
            cell::errno_name(errno, out);
            out.push(b'"');
        });
    }

    /// A key and a truth.
    pub fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        self.out.extend_from_slice(if flag { b"true" } else { b"false" });
    }

    /// A key and a string of others, which is escaped.
    pub fn string(&mut self, key: &str, string: &str) {
        self.key(key);
        escape::json(string.as_bytes(), self.out);
    }

    /// The same, or null for an empty one.
    pub fn name(&mut self, key: &str, name: &str) {
        self.optional(key, (!name.is_empty()).then_some(name), |name, out| {
            _ = escape::json(name.as_bytes(), out);
        });
    }
}
