#![no_main]
//! Manifests: any bytes are read or refused.

use libfuzzer_sys::fuzz_target;
use seatrial_api::document::{Diagnostics, DuplicateKeys, ObjectReader, read_documents};

fuzz_target!(|input: &[u8]| {
    let mut findings = Diagnostics::new();
    let mut reader = ObjectReader::new("input", input);
    while reader.next(&mut findings).is_some() {}
    read_documents("input", input, DuplicateKeys::Refused, &mut findings);
});
