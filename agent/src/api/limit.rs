//! Who may connect now: so many connections in all, so many from one address, so many handshakes at once.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::{config::Limits, metrics::Refusal};

/// What is taken up.
#[derive(Debug)]
pub(super) struct Gate {
    limits: Limits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    connections: usize,
    handshakes: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, taken: Mutex::default() })
    }

    /// Lets a connection of this machine in.
    pub(super) fn local(self: &Arc<Self>) -> Result<Admission, Refusal> {
        self.admit(None)
    }

    /// Lets a connection from the network in, to shake hands.
    pub(super) fn network(self: &Arc<Self>, address: IpAddr) -> Result<(Admission, Handshake), Refusal> {
        {
            let mut taken = self.taken();
            if taken.handshakes >= self.limits.handshakes {
                return Err(Refusal::Handshakes);
            }
            taken.handshakes += 1;
        }
        let handshake = Handshake(Arc::clone(self));
        Ok((self.admit(Some(network_of(address)))?, handshake))
    }

    fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Admission, Refusal> {
        let mut taken = self.taken();
        if taken.connections >= self.limits.connections {
            return Err(Refusal::Connections);
        }
        if let Some(address) = address {
            let of_address = taken.by_address.entry(address).or_default();
            if *of_address >= self.limits.connections_per_address {
                return Err(Refusal::Address);
            }
            *of_address += 1;
        }
        taken.connections += 1;
        Ok(Admission { gate: Arc::clone(self), address })
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        // Counting does not panic half way.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An IPv6 client has 2^64 addresses of its own.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A connection's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    gate: Arc<Gate>,
    address: Option<IpAddr>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut taken = self.gate.taken();
        taken.connections -= 1;
        if let Some(address) = self.address
            && let Some(of_address) = taken.by_address.get_mut(&address)
        {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

/// A handshake's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Handshake(Arc<Gate>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.taken().handshakes -= 1;
    }
}
