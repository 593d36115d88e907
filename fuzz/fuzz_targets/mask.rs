//! Any paths as a field mask, up to the first NUL, and any bytes behind it as an event.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::mask::Mask;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let paths = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let event = parts.next().unwrap_or_default();
    match Mask::new(paths.split('\n')) {
        Ok(mask) => {
            if let Ok(once) = mask.filter(event) {
                assert_eq!(mask.filter(&once).as_ref(), Ok(&once), "what is kept is kept again");
            }
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1),
    }
});
