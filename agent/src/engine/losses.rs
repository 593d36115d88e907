//! What was lost since the last look, by stage.

use agent_common::loss::Loss;

use super::Engine;
use crate::event::{Lost, LostStage};

/// The counters as they were at the last report.
pub(super) struct Losses {
    kernel: Vec<Vec<u64>>,
    /// By program.
    recursion: Vec<(&'static str, u64)>,
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
        let mut missed = 0;
        // A program that was taken out and came again counts anew.
        self.recursion.retain(|(program, _)| engine.attached.iter().any(|one| one.program == *program));
        for attached in &engine.attached {
            let Some(now) = engine.object.recursion_misses(attached) else { continue };
            match self.recursion.iter_mut().find(|(program, _)| *program == attached.program) {
                Some((_, before)) => {
                    missed += now.saturating_sub(*before);
                    *before = now;
                }
                None => {
                    missed += now;
                    self.recursion.push((attached.program, now));
                }
            }
        }
        report(LostStage::Recursion, missed, None);
        report(LostStage::Decode, std::mem::take(&mut self.undecoded), None);
        self.wall_ns = now_wall_ns;
    }
}
