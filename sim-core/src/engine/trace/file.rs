//! The bytes of `trace.bin`: a header and records of fixed size, all little-endian.
//!
//! | bytes | header | | bytes | record |
//! |---|---|---|---|---|
//! | 0..8 | `SEATRACE` | | 0..8 | time, signed nanoseconds since the start |
//! | 8..12 | version, 1 | | 8..16 | sequence |
//! | 12..16 | bytes per record, 40 | | 16..24 | sequence of the first effect |
//! | | | | 24..28 | kind |
//! | | | | 28..40 | three ids |

use std::fmt;

use seatrial_api::units::SimTime;

use super::{Record, Signature};

/// What a trace file begins with.
pub const HEADER: [u8; 16] = *b"SEATRACE\x01\0\0\0\x28\0\0\0";

/// Bytes of a record in a trace file.
pub const RECORD_BYTES: usize = 40;

/// Why bytes are not a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFileError {
    /// They do not begin as a trace does.
    NotATrace,
    /// They are a trace in a version that this program does not know.
    Version(u32),
    /// They end within a record; so many bytes are left over.
    Truncated(usize),
}

impl fmt::Display for TraceFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceFileError::NotATrace => write!(f, "not a trace: it should begin with SEATRACE"),
            TraceFileError::Version(found) => {
                write!(f, "a trace of version {found}, only version 1 is known")
            }
            TraceFileError::Truncated(bytes) => {
                write!(f, "cut off: {bytes} bytes after the last whole record")
            }
        }
    }
}

impl std::error::Error for TraceFileError {}

/// Appends the bytes of `records` to `out`. A file is [`HEADER`] and what this makes of its
/// records, in any number of portions.
pub fn encode(records: &[Record], out: &mut Vec<u8>) {
    out.reserve(records.len() * RECORD_BYTES);
    for record in records {
        out.extend_from_slice(&record.time.nanos().to_le_bytes());
        out.extend_from_slice(&record.sequence.to_le_bytes());
        out.extend_from_slice(&record.first_effect.to_le_bytes());
        out.extend_from_slice(&record.signature.kind.to_le_bytes());
        for id in record.signature.ids {
            out.extend_from_slice(&id.to_le_bytes());
        }
    }
}

/// The records of a trace file.
///
/// # Errors
/// If the bytes are not a whole trace file of this version.
pub fn decode(bytes: &[u8]) -> Result<Vec<Record>, TraceFileError> {
    let Some((header, records)) =
        bytes.split_first_chunk::<16>().filter(|(header, _)| header[..8] == HEADER[..8])
    else {
        return Err(TraceFileError::NotATrace);
    };
    if *header != HEADER {
        return Err(TraceFileError::Version(u32::from_le_bytes(field(header, 8))));
    }
    let (records, rest) = records.as_chunks::<RECORD_BYTES>();
    if !rest.is_empty() {
        return Err(TraceFileError::Truncated(rest.len()));
    }
    Ok(records.iter().map(decode_record).collect())
}

fn decode_record(bytes: &[u8; RECORD_BYTES]) -> Record {
    let id = |index: usize| u32::from_le_bytes(field(bytes, 28 + 4 * index));
    Record {
        time: SimTime::from_nanos(i64::from_le_bytes(field(bytes, 0))),
        sequence: u64::from_le_bytes(field(bytes, 8)),
        first_effect: u64::from_le_bytes(field(bytes, 16)),
        signature: Signature { kind: u32::from_le_bytes(field(bytes, 24)), ids: [id(0), id(1), id(2)] },
    }
}

/// The `N` bytes from `at`.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}
