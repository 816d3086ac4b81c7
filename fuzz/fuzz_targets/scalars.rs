#![no_main]
//! Quantities, durations and dates: what is read can be printed and read again.

use libfuzzer_sys::fuzz_target;
use seatrial_api::calendar::Timestamp;
use seatrial_api::duration;
use seatrial_api::quantity::Quantity;

fuzz_target!(|text: &str| {
    if let Ok(quantity) = Quantity::parse(text) {
        assert_eq!(Quantity::parse(&quantity.to_string()), Ok(quantity));
    }
    if let Ok(span) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::to_text(span)), Ok(span));
    }
    if let Ok(timestamp) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&timestamp.to_string()), Ok(timestamp));
    }
});
