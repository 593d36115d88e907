//! `nodes`: a row a node.

use proto::v1::{NodeState, NodeStatus};

use super::{
    columns::{self, Column},
    words::{quote, say},
};
use crate::{args::name::Named as _, client::cluster::AgentPod, render::object::Object};

/// A node with its agent.
pub struct Row {
    /// The agent's pod, with its namespace.
    pub pod: String,
    /// How it is.
    pub status: NodeStatus,
}

impl Row {
    /// A pod that no node took yet.
    pub fn waiting(pod: &AgentPod) -> Self {
        let status = NodeStatus {
            state: NodeState::Unavailable.into(),
            message: format!("the pod is {} and on no node", pod.phase),
            ..NodeStatus::default()
        };
        Self { pod: format!("{}/{}", pod.namespace, pod.name), status }
    }

    fn state(&self) -> String {
        match self.status.state() {
            NodeState::Unspecified => "unknown".to_owned(),
            state => state.spelled(),
        }
    }
}

const COLUMNS: &[Column] = &[
    Column::new("NODE", 20),
    Column::new("STATE", 11),
    Column::new("VERSION", 8),
    Column::new("POD", 26),
    Column::new("MESSAGE", 0),
];

/// Appends a table.
pub fn table(rows: &[Row], bold: bool, out: &mut Vec<u8>) {
    columns::header(COLUMNS, bold, out);
    for row in rows {
        columns::row(COLUMNS, out, |index, out| match index {
            0 => quote(&row.status.node_name, out),
            1 => say(&row.state(), out),
            2 => quote(&row.status.version, out),
            3 => quote(&row.pod, out),
            _ => quote(&row.status.message, out),
        });
    }
}

/// Appends an object a row.
pub fn json(rows: &[Row], out: &mut Vec<u8>) {
    for row in rows {
        let mut object = Object::begin(out);
        object.name("node", &row.status.node_name);
        object.word("state", &row.state());
        object.name("version", &row.status.version);
        object.name("pod", &row.pod);
        object.name("message", &row.status.message);
        object.end();
        out.push(b'\n');
    }
}
