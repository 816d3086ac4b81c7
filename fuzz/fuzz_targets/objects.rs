#![no_main]
//! Objects: any tree becomes an object or is refused with a reason.

use libfuzzer_sys::fuzz_target;
use seatrial_api::calendar::Calendar;
use seatrial_api::decode::{Decoder, Mode};
use seatrial_api::document::{Diagnostics, ObjectReader};
use seatrial_api::version::KubernetesVersion;

fuzz_target!(|input: &[u8]| {
    for mode in [Mode::Manifest, Mode::State] {
        let mut decoder = Decoder::new(mode, Calendar::default(), KubernetesVersion::default());
        let mut reader = ObjectReader::new("input", input);
        let mut findings = Diagnostics::new();
        while let Some(node) = reader.next(&mut findings) {
            let (file, before) = (reader.file().clone(), findings.error_count());
            let object = decoder.decode(&node, &file, &mut findings);
            assert_eq!(object.is_none(), findings.error_count() > before);
        }
    }
});
