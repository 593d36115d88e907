//! Which probes a configuration needs, of those that this kernel's types show. Pure.

use crate::{
    event::EventKind,
    host::{
        btf::{self, Btf, Kept, Resolved},
        kernel::Kernel,
    },
    probes::{self, Hook, Probe},
};

use super::{Config, Degraded, has_fields};

/// The probes to attach, in order.
pub(super) struct Plan {
    pub probes: Vec<Probe>,
    pub degraded: Vec<Degraded>,
}

impl Plan {
    pub(super) fn new(config: &Config, types: &Btf, fields: &Resolved) -> Self {
        let mut plan = Self { probes: vec![probes::STATE], degraded: Vec::new() };
        if Kernel::read(&config.roots).is_ok_and(|kernel| kernel.preempts_tracepoints()) {
            // Behind the first.
            plan.probes.push(probes::STATE_AGAIN);
        }
        plan.probes.push(probes::DESTROY);
        let wants = |kind| config.kinds.has(kind);
        let users = [EventKind::Accept, EventKind::Closing, EventKind::Close, EventKind::StateChange];
        if users.into_iter().any(wants) {
            plan.accept(types, fields);
            plan.usage(types, fields);
        }
        if wants(EventKind::Retransmit) {
            plan.retransmit(types, fields);
        }
        if wants(EventKind::Reset) {
            plan.reset(types, fields);
        }
        if wants(EventKind::SocketError) {
            plan.add(probes::SOCKET_ERROR, types, fields);
        }
        let filters = config.filter.allow.iter().chain(&config.filter.deny);
        if config.shared || filters.clone().any(|filter| !filter.cgroups.is_empty()) {
            plan.add(probes::CGROUP, types, fields);
        }
        if config.snapshot {
            plan.add(probes::FILES, types, fields);
            plan.add(probes::SOCKETS, types, fields);
        }
        if config.names {
            plan.names(types, fields);
        }
        if config.syscall_failures {
            plan.add(probes::ENTER_CONNECT, types, fields);
            plan.add(probes::EXIT_CONNECT, types, fields);
        }
        plan
    }

    /// What aya has to find in the kernel's types.
    pub(super) fn hooks(&self) -> Vec<Kept> {
        let kept = self.probes.iter().filter_map(|probe| match probe.hook {
            Hook::TpBtf(name) => Some(Kept::Tracepoint(name.to_owned())),
            Hook::Fexit(name) => Some(Kept::Function(name.to_owned())),
            Hook::Iter(target) => Some(Kept::Function(format!("bpf_iter_{target}"))),
            Hook::Tracepoint { .. } => None,
        });
        kept.collect()
    }

    pub(super) fn wants(&self, probe: &Probe) -> bool {
        self.probes.contains(probe)
    }

    fn accept(&mut self, types: &Btf, fields: &Resolved) {
        let shape = btf::function(types, "inet_csk_accept").map(|function| function.arguments);
        match shape {
            Some(2) => self.add(probes::ACCEPT_TWO_ARGS, types, fields),
            Some(4) => self.add(probes::ACCEPT_FOUR_ARGS, types, fields),
            other => self.degraded.push(Degraded {
                what: probes::ACCEPT_TWO_ARGS.name,
                effect: probes::ACCEPT_TWO_ARGS.effect,
                reason: other.map_or_else(
                    || "inet_csk_accept is not in this kernel's types".to_owned(),
                    |count| format!("inet_csk_accept takes {count} arguments here; known are 2 and 4"),
                ),
            }),
        }
    }

    fn usage(&mut self, types: &Btf, fields: &Resolved) {
        if btf::tracepoint(types, "sock_recv_length").is_some() {
            self.add(probes::RECV, types, fields);
        } else {
            self.add(probes::SPACE_ADJUST, types, fields);
        }
        self.add(probes::SEND, types, fields);
    }

    fn retransmit(&mut self, types: &Btf, fields: &Resolved) {
        let shape = btf::tracepoint(types, "tcp_retransmit_skb");
        let has_error = shape.is_some_and(|arguments| arguments > 2);
        let probe = if has_error { probes::RETRANSMIT_THREE_ARGS } else { probes::RETRANSMIT_TWO_ARGS };
        self.add(probe, types, fields);
        self.add(probes::RETRANSMIT_SYNACK, types, fields);
    }

    fn reset(&mut self, types: &Btf, fields: &Resolved) {
        self.add(probes::RECEIVE_RESET, types, fields);
        let shape = btf::tracepoint(types, "tcp_send_reset");
        if shape.is_some_and(|arguments| arguments > 2) {
            self.add(probes::SEND_RESET_THREE_ARGS, types, fields);
            self.add(probes::SEND_RESET_PACKET, types, fields);
            return;
        }
        self.add(probes::SEND_RESET_TWO_ARGS, types, fields);
        self.degraded.push(Degraded {
            what: probes::SEND_RESET_PACKET.name,
            effect: probes::SEND_RESET_PACKET.effect,
            reason: "tp_btf/tcp_send_reset tells only of sockets here".to_owned(),
        });
    }

    fn names(&mut self, types: &Btf, fields: &Resolved) {
        self.add(probes::CGROUP_NAMED, types, fields);
        if !self.wants(&probes::CGROUP_NAMED) && has_fields(&probes::CGROUP_UNNAMED, fields) {
            self.add(probes::CGROUP_UNNAMED, types, fields);
        }
        self.add(probes::TASKS, types, fields);
    }

    fn add(&mut self, probe: Probe, types: &Btf, fields: &Resolved) {
        let missing = match probe.hook {
            Hook::TpBtf(name) if btf::tracepoint(types, name).is_none() => {
                Some(format!("{} is not in this kernel", probe.hook.describe()))
            }
            _ if !has_fields(&probe, fields) => Some("kernel fields are missing".to_owned()),
            _ => None,
        };
        match missing {
            None => self.probes.push(probe),
            Some(reason) => {
                self.degraded.push(Degraded { what: probe.name, effect: probe.effect, reason });
            }
        }
    }
}
