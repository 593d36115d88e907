//! What was lost since the last look, by stage.

use agent_common::loss::Loss;

use super::Engine;
use crate::{
    event::{Lost, LostStage},
    probes::{STATE, STATE_AGAIN},
};

/// The counters as they were at the last report.
pub(super) struct Losses {
    kernel: Vec<Vec<u64>>,
    /// By program.
    recursion: Vec<(&'static str, u64)>,
    hidden: Hidden,
    pub undecoded: u64,
    wall_ns: u64,
}

impl Losses {
    pub(super) fn new(wall_ns: u64) -> Self {
        Self {
            kernel: vec![Vec::new(); Loss::ALL.len()],
            recursion: Vec::new(),
            hidden: Hidden::default(),
            undecoded: 0,
            wall_ns,
        }
    }

    /// Fills `into` with what came since the last call. `is_last` if there may be no other.
    pub(super) fn since_last(
        &mut self,
        engine: &Engine,
        now_wall_ns: u64,
        is_last: bool,
        into: &mut Vec<Lost>,
    ) {
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
        let has_second = engine.attached.iter().any(|one| one.program == STATE_AGAIN.program);
        for attached in &engine.attached {
            let Some(now) = engine.object.recursion_misses(attached) else { continue };
            match attached.program {
                // The first one handled it, or missed it, too.
                program if program == STATE_AGAIN.program => continue,
                program if program == STATE.program && has_second => {
                    let caught = engine.object.losses().caught().unwrap_or_default();
                    missed += self.hidden.since_last(now, caught, is_last);
                    continue;
                }
                _ => {}
            }
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

/// Transitions that neither of the two programs saw: missed by the first one and not caught by the second one.
#[derive(Debug, Default)]
struct Hidden {
    before: u64,
    told: u64,
}

impl Hidden {
    /// What came since the last call, by counters since the load. The second program counts a moment after the first
    /// one missed: what is new is told only if it is still so at the next look.
    fn since_last(&mut self, missed: u64, caught: u64, is_last: bool) -> u64 {
        let now = missed.saturating_sub(caught);
        let settled = if is_last { now } else { now.min(self.before) };
        self.before = now;
        let new = settled.saturating_sub(self.told);
        self.told += new;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::Hidden;

    #[test]
    fn what_the_second_program_caught_was_not_hidden() {
        let mut hidden = Hidden::default();
        assert_eq!(hidden.since_last(7, 7, false), 0);
        assert_eq!(hidden.since_last(9, 9, true), 0);
    }

    #[test]
    fn what_is_being_caught_is_not_told() {
        let mut hidden = Hidden::default();
        assert_eq!(hidden.since_last(1, 0, false), 0);
        assert_eq!(hidden.since_last(1, 1, false), 0);
        assert_eq!(hidden.since_last(1, 1, true), 0);
    }

    #[test]
    fn what_nobody_caught_is_told_once() {
        let mut hidden = Hidden::default();
        let told = [(3, 1, false), (3, 1, false), (3, 1, false), (8, 5, false), (9, 5, true), (9, 5, true)];
        let told = told.map(|(missed, caught, is_last)| hidden.since_last(missed, caught, is_last));
        assert_eq!(told, [0, 2, 0, 0, 2, 0]);
    }
}
