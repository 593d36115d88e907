//! What is said on stderr: one line each, nothing on it that could control the terminal. Data never comes here.

use std::io::{self, Write as _};

use agent_common::event::Lost;

use crate::escape;

/// Something that went wrong: the program ends.
pub fn error(text: &str) {
    say("error: ", text);
}

/// Something that the user should know: the program goes on.
pub fn warning(text: &str) {
    say("warning: ", text);
}

/// Something that the user asked to know.
pub fn note(text: &str) {
    say("", text);
}

fn say(prefix: &str, text: &str) {
    // A closed stderr is no reason to fail, let alone to panic.
    let _ = writeln!(io::stderr(), "{prefix}{}", escape::line(text));
}

/// The lines for what was lost: one for what is missing, one for what was repaired.
pub fn losses(lost: &[Lost], ring_bytes: u32) -> Vec<String> {
    let part = |missing| {
        let of_this: Vec<&Lost> = lost.iter().filter(|lost| lost.stage.loses_events() == missing).collect();
        (!of_this.is_empty()).then_some(of_this)
    };
    let mut lines = Vec::new();
    if let Some(missing) = part(true) {
        let count: u64 = missing.iter().map(|lost| lost.count).sum();
        let remedy = missing.iter().find_map(|lost| lost.stage.remedy());
        let advice =
            remedy.map(|remedy| format!("; {remedy} (now {})", size(ring_bytes))).unwrap_or_default();
        lines.push(format!("lost {}: {}{advice}", plural(count, "event"), stages(&missing)));
    }
    if let Some(repaired) = part(false) {
        lines.push(format!(
            "not seen as it happened, repaired where possible and marked: {}",
            stages(&repaired)
        ));
    }
    lines
}

/// `bulk ring full`, or with counts where there are several.
fn stages(lost: &[&Lost]) -> String {
    let name = |lost: &Lost| lost.stage.name().replace('_', " ");
    match lost {
        [one] if one.stage.loses_events() => name(one),
        several => {
            several.iter().map(|lost| format!("{} {}", lost.count, name(lost))).collect::<Vec<_>>().join(", ")
        }
    }
}

fn plural(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// A size as `--buffer-size` takes it.
pub fn size(bytes: u32) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use agent_common::event::{Lost, LostStage};

    use super::{losses, size};

    fn lost(stage: LostStage, count: u64) -> Lost {
        Lost { stage, count, since_wall_ns: 0, until_wall_ns: 1, cpu: None }
    }

    fn named(name: &str) -> LostStage {
        let all = agent_common::loss::Loss::ALL.into_iter().map(LostStage::Kernel);
        all.chain([LostStage::Recursion, LostStage::Decode]).find(|stage| stage.name() == name).unwrap()
    }

    #[test]
    fn a_loss_says_how_many_where_and_what_to_do() {
        assert_eq!(
            losses(&[lost(named("bulk_ring_full"), 12)], 4 << 20),
            ["lost 12 events: bulk ring full; raise --buffer-size (now 4MiB)"]
        );
        assert_eq!(losses(&[lost(LostStage::Decode, 1)], 4 << 20), ["lost 1 event: decode"]);
        assert_eq!(
            losses(&[lost(named("bulk_ring_full"), 12), lost(named("rare_ring_full"), 3)], 65_536),
            ["lost 15 events: 12 bulk ring full, 3 rare ring full; raise --buffer-size (now 64KiB)"]
        );
    }

    #[test]
    fn what_was_repaired_is_no_loss() {
        assert_eq!(
            losses(&[lost(LostStage::Recursion, 2), lost(named("gap_repaired"), 2)], 4096),
            ["not seen as it happened, repaired where possible and marked: 2 recursion, 2 gap repaired"]
        );
    }

    #[test]
    fn sizes_are_written_as_the_option_takes_them() {
        assert_eq!(size(4 << 20), "4MiB");
        assert_eq!(size(4096), "4KiB");
        assert_eq!(size(5000), "5000");
    }
}
