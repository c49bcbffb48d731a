//! Message ids: UUIDs (RFC 9562, version 8) that one camera never uses twice, restarts included.
//!
//! ```text
//! start of the process, ms (48 bits) | 8 | count, high (12) | 10 | count, low (14) | check (48)
//! ```
//!
//! The start of the process rises from start to start (`store`), but not where the camera has neither a disk that keeps
//! the last one nor a clock that was set. So the check is that of the camera's name and of a random number of this start:
//! two starts at the same time have different ids.
//!
//! In a `config` message it is the check of the name and the content, so that a camera distinguishes a configuration of
//! its own, also from before a restart, from one that another client wrote or edited. Two of these with the same id have
//! the same content.

use serde_json::Value;

use crate::base::fnv1a;

/// Where ids come from.
#[derive(Debug)]
pub(super) struct Ids {
    camera: String,
    boot_ms: u64,
    /// Of every id but those of configurations.
    check: u64,
    count: u32,
}

impl Ids {
    pub(super) fn new(camera: &str, boot_ms: u64, random: u64) -> Self {
        let check = check(&[camera, &random.to_string()]);
        Self { camera: camera.to_owned(), boot_ms, check, count: 0 }
    }

    /// The next id.
    pub(super) fn next(&mut self) -> String {
        self.with_check(self.check)
    }

    /// The next id, for a configuration that says this.
    pub(super) fn next_of_config(&mut self, says: &Value) -> String {
        self.with_check(check(&[&self.camera, &says.to_string()]))
    }

    /// Whether a message with this id that says this comes from this camera.
    pub(super) fn is_own_config(&self, id: &str, says: &Value) -> bool {
        let own = format!("{:012x}", check(&[&self.camera, &says.to_string()]));
        id.rsplit('-').next() == Some(&own)
    }

    fn with_check(&mut self, check: u64) -> String {
        self.count = self.count.wrapping_add(1);
        let (boot, count) = (self.boot_ms & 0xffff_ffff_ffff, self.count);
        let (high, low) = ((count >> 14) & 0xfff, count & 0x3fff);
        format!("{:08x}-{:04x}-8{high:03x}-{:04x}-{check:012x}", boot >> 16, boot & 0xffff, 0x8000 | low)
    }
}

/// 48 bits over texts.
fn check(texts: &[&str]) -> u64 {
    let hash = fnv1a(texts.iter().flat_map(|text| text.bytes().chain([0])));
    (hash ^ (hash >> 48)) & 0xffff_ffff_ffff
}

/// A name for a message that has none: the same for the same bytes.
pub(super) fn of_bytes(payload: &[u8]) -> String {
    format!("unnamed-{:016x}", fnv1a(payload.iter().copied()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn ids_have_the_form_of_a_uuid_and_never_come_twice() {
        let mut seen = BTreeSet::new();
        // The last one has neither a disk nor a clock, and starts at the same time again.
        for (boot, random) in [(1_795_207_082_000, 5), (1_795_207_082_001, 5), (1_795_207_082_001, 6)] {
            let mut ids = Ids::new("gate", boot, random);
            for _ in 0..20_000 {
                let id = ids.next();
                let lengths: Vec<_> = id.split('-').map(str::len).collect();
                assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
                assert_eq!((&id[14..15], &id[19..20] >= "8" && &id[19..20] <= "b"), ("8", true), "{id}");
                assert!(seen.insert(id));
            }
        }
    }

    #[test]
    fn a_configuration_of_ones_own_is_known_after_a_restart_and_one_that_was_edited_is_not() {
        let says = json!({"confidence_threshold": 0.8, "detection_interval": 0});
        let id = Ids::new("gate", 1, 5).next_of_config(&says);
        let later = Ids::new("gate", 2, 6);
        assert!(later.is_own_config(&id, &says));
        assert!(!later.is_own_config(&id, &json!({"confidence_threshold": 0.9, "detection_interval": 0})));
        assert!(!Ids::new("yard", 2, 6).is_own_config(&id, &says));
        assert!(!later.is_own_config("2952ad4f-9bfc-4b74-9595-70741e40f229", &says));
    }
}
