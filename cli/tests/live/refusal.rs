//! Kernels that are too old: refused in one clear sentence. Runs only with `SOCKEYE_EXPECT=refusal`.

use std::env;

#[test]
fn an_old_kernel_is_refused_in_one_clear_sentence() {
    if env::var_os("SOCKEYE_EXPECT").is_none_or(|value| value != "refusal") {
        return;
    }
    println!("SKIP refusal::an_old_kernel_is_refused_in_one_clear_sentence: sockeye does nothing yet");
}
