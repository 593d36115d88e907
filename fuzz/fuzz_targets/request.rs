//! Any bytes as an `ObserveRequest`.

#![no_main]

use agent::hub::wish::Wish;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use proto::v1::ObserveRequest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = ObserveRequest::decode(bytes)
        && let Err(error) = Wish::read(&request)
    {
        let text = error.to_string();
        assert!(!text.contains(char::is_control), "an error is one line: {text:?}");
    }
});
