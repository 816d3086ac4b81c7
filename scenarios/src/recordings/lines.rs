//! Files of recordings: a line of JSON for each, plain or compressed.

use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;

use seatrial_api::document::{
    Diagnostic, Diagnostics, DuplicateKeys, FieldPath, Node, Position, read_documents,
};

/// What a file compressed by gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Hands every line to `each` with its number from 1. Its positions count from the line's
/// beginning; findings that are added there are moved to the line.
pub(super) fn read(
    file: &Arc<str>,
    bytes: &[u8],
    findings: &mut Diagnostics,
    mut each: impl FnMut(u32, &Node, &mut Diagnostics),
) {
    let Some(text) = unpacked(file, bytes, findings) else { return };
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let mut found = Diagnostics::new();
        for node in &read_documents(file, line, DuplicateKeys::LastWins, &mut found) {
            each(number(index), node, &mut found);
        }
        for finding in found.iter() {
            findings.push(moved(finding, index));
        }
    }
}

fn unpacked<'a>(file: &Arc<str>, bytes: &'a [u8], findings: &mut Diagnostics) -> Option<Cow<'a, [u8]>> {
    if !bytes.starts_with(&GZIP) {
        return Some(Cow::Borrowed(bytes));
    }
    let mut text = Vec::new();
    match flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut text) {
        Ok(_) => Some(Cow::Owned(text)),
        Err(error) => {
            let finding = Diagnostic::error(file, Position::NONE, &FieldPath::ROOT);
            findings.push(finding.message(format!("the file is damaged: {error}")));
            None
        }
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

fn moved(finding: &Diagnostic, index: usize) -> Diagnostic {
    let mut finding = finding.clone();
    if finding.position != Position::NONE {
        finding.position.line = number(index);
    }
    finding
}
