//! A steady stream of bare pods of mixed sizes: workload K, on which the closest peer was measured.
//!
//! Pod `i` of `P` arrives at `1 + (i + 0.37) · 10,000 / P` seconds. Its size comes from one word of
//! a xorshift64 generator (shifts 13, 7, 17, raw state as output): 500, 1,000, 2,000 or 4,000
//! millicores by bits 20 and 21, 1, 2, 4 or 8 GiB by bits 40 and 41.

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::container::{Container, RestartPolicy};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Object;
use seatrial_api::pod::{Pod, PodSpec};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime};
use seatrial_sim_core::cluster::arrivals::ArrivalSource;

/// The seed of the sizes.
const XORSHIFT_SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// Nanoseconds over which the pods arrive.
const ARRIVAL_NANOS: u64 = 10_000 * 1_000_000_000;
/// Four sizes of CPU times four of memory.
const CLASSES: usize = 16;

/// The stream.
#[derive(Debug)]
pub struct PodStream {
    classes: Vec<u8>,
    namespace: Symbol,
    specs: [Arc<PodSpec>; CLASSES],
}

impl PodStream {
    /// A stream of `count` pods that run `image` to its end.
    pub fn new(count: u32, image: &str) -> PodStream {
        let mut word = XORSHIFT_SEED;
        let classes = (0..count).map(|_| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            ((word >> 20 & 3) << 2 | word >> 40 & 3) as u8
        });
        PodStream {
            classes: classes.collect(),
            namespace: Symbol::new("default"),
            specs: std::array::from_fn(|class| spec(class, image)),
        }
    }
}

/// `pod-` and the position in at least seven digits.
fn name(position: u32) -> CompactString {
    let mut text = *b"pod-0000000000";
    let mut left = position;
    for digit in text[4..].iter_mut().rev() {
        *digit += (left % 10) as u8;
        left /= 10;
    }
    let spare = text[4..7].iter().take_while(|&&digit| digit == b'0').count();
    text.copy_within(..4, spare);
    CompactString::from_utf8_lossy(&text[spare..])
}

fn spec(class: usize, image: &str) -> Arc<PodSpec> {
    let mut container = Container::new("app", image);
    container.requests.cpu = Some(MilliCpu([500, 1_000, 2_000, 4_000][class >> 2]));
    container.requests.memory = Some(Bytes(1 << (30 + (class & 3))));
    let spec = PodSpec { restart_policy: RestartPolicy::Never, ..PodSpec::new(vec![container]) };
    Arc::new(spec.sealed())
}

impl ArrivalSource for PodStream {
    fn time(&self, position: u32) -> Option<SimTime> {
        let count = self.classes.len() as u64;
        // (i + 0.37) · span / count in integers, so that every platform agrees.
        let hundredths = u128::from(position) * 100 + 37;
        let nanos = hundredths * u128::from(ARRIVAL_NANOS) / (u128::from(count.max(1)) * 100);
        (u64::from(position) < count).then(|| SimTime::from_nanos(1_000_000_000 + nanos as i64))
    }

    fn object(&self, position: u32) -> Object {
        let class = self.classes[position as usize];
        let meta = ObjectMeta { name: name(position), namespace: self.namespace, ..ObjectMeta::default() };
        Object::Pod(Arc::new(Pod::new(meta, self.specs[usize::from(class)].clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_arrive_evenly_and_in_order_and_then_no_more() {
        let stream = PodStream::new(1_000, "app:1");
        let times: Vec<_> = (0..1_000).map(|position| stream.time(position).unwrap()).collect();
        assert_eq!(times[0], SimTime::from_nanos(4_700_000_000));
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(stream.time(1_000), None);
    }

    #[test]
    fn names_have_seven_digits_or_more() {
        for position in [0, 7, 1_234_567, 9_999_999, 10_000_000, u32::MAX] {
            assert_eq!(name(position), format!("pod-{position:07}"));
        }
    }

    #[test]
    fn all_sizes_occur_and_pods_of_one_size_share_their_specification() {
        let stream = PodStream::new(1_000, "app:1");
        let mut seen = [0u32; CLASSES];
        stream.classes.iter().for_each(|&class| seen[usize::from(class)] += 1);
        assert!(seen.iter().all(|&count| count > 30), "{seen:?}");
        let (Object::Pod(a), Object::Pod(b)) = (stream.object(0), stream.object(0)) else { unreachable!() };
        assert!(Arc::ptr_eq(&a.spec, &b.spec));
    }
}
