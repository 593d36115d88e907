//! How much is measured.

/// Amounts of one run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Blocks of rounds; in each, every tool has one round.
    pub blocks: u32,
    /// Connections of a round.
    pub connections: u32,
    /// Passes with the kernel's statistics on.
    pub passes: u32,
    /// Connections of a pass.
    pub pass_connections: u32,
    /// Starts of each tool.
    pub starts: u32,
    /// First events after silence, for each tool.
    pub events: u32,
    /// Seconds of a look at idle tools.
    pub idle_seconds: u32,
    /// Groups of starts with and without older sockets.
    pub groups: u32,
    /// Older sockets.
    pub sockets: u32,
    /// Connections in which the agent's memory is to stay what it is, with state changes some 14 events each.
    pub agent_connections: u32,
}

impl Plan {
    /// What goes into docs/benchmarks: a quarter of an hour.
    pub const FULL: Self = Self {
        blocks: 40,
        connections: 8_000,
        passes: 5,
        pass_connections: 40_000,
        starts: 20,
        events: 60,
        idle_seconds: 10,
        groups: 6,
        sockets: 10_000,
        agent_connections: 720_000,
    };

    /// A look in between: two minutes.
    pub const QUICK: Self = Self {
        blocks: 5,
        connections: 4_000,
        passes: 1,
        pass_connections: 20_000,
        starts: 5,
        events: 20,
        idle_seconds: 5,
        groups: 2,
        sockets: 10_000,
        agent_connections: 72_000,
    };
}
