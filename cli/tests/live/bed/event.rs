//! An event as `-o json` prints it.

use std::time::Instant;

use serde_json::Value;

/// One line of JSON and when it came.
#[derive(Clone, Debug)]
pub struct Event {
    /// The object.
    pub json: Value,
    /// When the line was read.
    pub at: Instant,
}

impl Event {
    /// The value at a path of members with dots between; absent ones are null.
    pub fn get(&self, path: &str) -> &Value {
        path.split('.').fold(&self.json, |value, name| &value[name])
    }

    /// A text, empty where there is none.
    pub fn text(&self, path: &str) -> &str {
        self.get(path).as_str().unwrap_or_default()
    }

    /// A whole number that must be there.
    pub fn number(&self, path: &str) -> u64 {
        self.maybe(path).unwrap_or_else(|| panic!("{path} is no number in {}", self.json))
    }

    /// A whole number, where there is one.
    pub fn maybe(&self, path: &str) -> Option<u64> {
        self.get(path).as_u64()
    }

    /// Whether a member is true.
    pub fn is(&self, path: &str) -> bool {
        self.get(path).as_bool().unwrap_or_default()
    }

    /// Whether it is of this socket.
    pub fn of(&self, cookie: u64) -> bool {
        self.maybe("cookie") == Some(cookie)
    }

    /// `address:port` of one end.
    pub fn end(&self, side: &str) -> String {
        let address = self.text(&format!("{side}.address"));
        let port = self.number(&format!("{side}.port"));
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
    }
}
