//! Which images the kubelet removes when the disk that holds them fills up (upstream
//! `pkg/kubelet/images/image_gc_manager.go`).

use std::cmp::Ordering;

use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, SimTime, Span};

/// When images are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageGcPolicy {
    /// From this use of the disk on, in percent (`imageGCHighThresholdPercent`).
    pub high_percent: i64,
    /// Until this use is reached (`imageGCLowThresholdPercent`).
    pub low_percent: i64,
    /// Images that were seen for the first time more recently stay (`imageMinimumGCAge`).
    pub min_age: Span,
}

impl Default for ImageGcPolicy {
    fn default() -> ImageGcPolicy {
        ImageGcPolicy { high_percent: 85, low_percent: 80, min_age: Span::from_mins(2) }
    }
}

/// The time between two looks at the disk.
pub const IMAGE_GC_PERIOD: Span = Span::from_mins(5);

/// An image on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// Its name.
    pub name: Symbol,
    /// Its size on disk.
    pub size: Bytes,
    /// When it was seen first.
    pub first_seen: SimTime,
    /// When a container last used it, as far as was looked.
    pub last_used: SimTime,
    /// Whether it stays whatever happens: pinned, or the image of a container that exists, also one
    /// that has ended.
    pub is_kept: bool,
}

/// The disk that holds the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageDisk {
    /// Its size.
    pub capacity: Bytes,
    /// What is free.
    pub available: Bytes,
}

impl ImageGcPolicy {
    /// How much is to be freed; `None` while the use is below the high threshold.
    pub fn to_free(self, disk: ImageDisk) -> Option<Bytes> {
        let capacity = disk.capacity.0;
        let available = disk.available.0.clamp(0, capacity);
        if capacity <= 0 {
            return None;
        }
        let share = |part: i64, of: i64| i128::from(part) * 100 / i128::from(of);
        let used = 100 - i64::try_from(share(available, capacity)).unwrap_or(100);
        if used < self.high_percent {
            return None;
        }
        let wanted = i128::from(capacity) * i128::from(100 - self.low_percent) / 100;
        Some(Bytes(i64::try_from(wanted).unwrap_or(i64::MAX) - available))
    }

    /// The images to remove, in order, so that `amount` is freed: the least recently used first, of
    /// equals the one that was seen first. Fewer are freed if there are no more.
    pub fn plan(self, images: &[StoredImage], amount: Bytes, now: SimTime) -> Vec<Symbol> {
        let mut candidates: Vec<&StoredImage> = images.iter().filter(|image| !image.is_kept).collect();
        candidates.sort_by(|a, b| by_use(a, b));
        let mut freed = 0i64;
        let mut removed = Vec::new();
        for image in candidates {
            if freed >= amount.0 {
                break;
            }
            // In use at this very look, or too young.
            if image.last_used >= now || now - image.first_seen < self.min_age {
                continue;
            }
            removed.push(image.name);
            freed = freed.saturating_add(image.size.0);
        }
        removed
    }
}

fn by_use(a: &StoredImage, b: &StoredImage) -> Ordering {
    let key = |image: &StoredImage| (image.last_used, image.first_seen);
    key(a).cmp(&key(b)).then_with(|| a.name.as_str().cmp(b.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, size: i64, first_seen: i64, last_used: i64) -> StoredImage {
        StoredImage {
            name: name.into(),
            size: Bytes(size),
            first_seen: SimTime::from_secs(first_seen),
            last_used: SimTime::from_secs(last_used),
            is_kept: false,
        }
    }

    #[test]
    fn from_the_high_threshold_on_space_is_made_down_to_the_low_one() {
        let policy = ImageGcPolicy::default();
        for (capacity, available, expected) in [
            (1_000, 1_000, None),
            (1_000, 160, None),
            // 15.9 % are free: floored to 15, so 85 % are in use.
            (1_000, 159, Some(41)),
            (1_000, 150, Some(50)),
            (1_000, 0, Some(200)),
            (1_000, -50, Some(200)),
            (0, 0, None),
        ] {
            let disk = ImageDisk { capacity: Bytes(capacity), available: Bytes(available) };
            assert_eq!(policy.to_free(disk), expected.map(Bytes), "{available} of {capacity}");
        }
    }

    #[test]
    fn the_least_recently_used_go_first_and_the_young_and_the_used_stay() {
        let policy = ImageGcPolicy::default();
        let now = SimTime::from_secs(1_000);
        let images = [
            image("recent", 10, 0, 900),
            image("oldest", 10, 0, 100),
            image("older-seen-later", 10, 5, 100),
            image("young", 10, 900, 0),
            image("in-use", 10, 0, 1_000),
            StoredImage { is_kept: true, ..image("pinned", 10, 0, 0) },
        ];
        let plan = |amount| {
            let names = policy.plan(&images, Bytes(amount), now);
            names.iter().map(|name| name.as_str().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(plan(0), Vec::<String>::new());
        assert_eq!(plan(1), ["oldest"]);
        assert_eq!(plan(11), ["oldest", "older-seen-later"]);
        assert_eq!(plan(1_000), ["oldest", "older-seen-later", "recent"]);
    }

    proptest::proptest! {
        #[test]
        fn no_more_is_removed_than_needed_and_nothing_that_must_stay(
            rows in proptest::collection::vec((0i64..100, 0i64..900, 0i64..1_100, proptest::bool::ANY), 0..20),
            amount in 0i64..1_000,
        ) {
            let now = SimTime::from_secs(1_000);
            let images: Vec<StoredImage> = rows
                .iter()
                .enumerate()
                .map(|(index, &(size, seen, used, is_kept))| StoredImage {
                    is_kept,
                    ..image(&format!("i{index}"), size, seen, used)
                })
                .collect();
            let removed = ImageGcPolicy::default().plan(&images, Bytes(amount), now);
            let of = |name: &Symbol| images.iter().find(|image| image.name == *name).expect("one of them");
            for name in &removed {
                let image = of(name);
                proptest::prop_assert!(!image.is_kept && image.last_used < now);
            }
            let before_last: i64 = removed.iter().rev().skip(1).map(|name| of(name).size.0).sum();
            proptest::prop_assert!(removed.is_empty() || before_last < amount);
        }
    }
}
