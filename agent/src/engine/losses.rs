//! What was lost since the last look, by stage.

use agent_common::loss::Loss;

use super::Engine;
use crate::event::{Lost, LostStage};

/// Counters at the last look.
pub(super) struct Losses {
    kernel: Vec<Vec<u64>>,
    recursion: Vec<u64>,
    pub undecoded: u64,
    wall_ns: u64,
}

impl Losses {
    pub(super) fn new(wall_ns: u64) -> Self {
        Self { kernel: vec![Vec::new(); Loss::ALL.len()], recursion: Vec::new(), undecoded: 0, wall_ns }
    }

    /// Fills `into` with what came since the last call.
    pub(super) fn since_last(&mut self, engine: &Engine, now_wall_ns: u64, into: &mut Vec<Lost>) {
        into.clear();
        let (since, until) = (self.wall_ns, now_wall_ns);
        let mut report = |stage, count, cpu| {
            if count > 0 {
                into.push(Lost { stage, count, since_wall_ns: since, until_wall_ns: until, cpu });
            }
        };
        for (index, loss) in Loss::ALL.into_iter().enumerate() {
            let Ok(now) = engine.object.losses().read(loss) else { continue };
            let before = &mut self.kernel[index];
            before.resize(now.len(), 0);
            let grown: Vec<u64> = now.iter().zip(&*before).map(|(now, before)| now - before).collect();
            let cpus: Vec<usize> = (0..grown.len()).filter(|cpu| grown[*cpu] > 0).collect();
            let cpu = match cpus.as_slice() {
                [one] => Some(*one as u32),
                _ => None,
            };
            report(LostStage::Kernel(loss), grown.iter().sum(), cpu);
            *before = now;
        }
        self.recursion.resize(engine.attached.len(), 0);
        let mut missed = 0;
        for (attached, before) in engine.attached.iter().zip(&mut self.recursion) {
            if let Some(now) = engine.object.recursion_misses(attached) {
                missed += now - *before;
                *before = now;
            }
        }
        report(LostStage::Recursion, missed, None);
        report(LostStage::Decode, std::mem::take(&mut self.undecoded), None);
        self.wall_ns = now_wall_ns;
    }
}
