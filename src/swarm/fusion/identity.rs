//! Numbers for people that every camera finds by itself.
//!
//! ```text
//! bits 20..53   tenths of a second from 2024 to the founding report's capture, on its sender's clock
//! bits  0..20   hash of the founding camera's name and track number
//! ```
//!
//! Who has the founding report in hand makes the same number as everybody else, without asking. Where
//! tables disagree, the smaller number, which is the older one, stands: so they come together whatever
//! the order in which they hear of each other. Track numbers are never used twice by one camera, so two
//! people with one number need the same tenth of a second and the same twenty bits. Below 2^53.

use crate::model::CameraId;

/// 2024-01-01T00:00:00Z, milliseconds since the epoch.
const BEGIN_MS: i64 = 1_704_067_200_000;
const HASH_BITS: u32 = 20;
const TENTHS_MAX: u64 = (1 << 33) - 1;

/// The number of somebody first reported by this track at this time.
pub(super) fn founded(camera: &CameraId, track_id: u32, captured_ms: i64) -> u64 {
    let tenths = u64::try_from(captured_ms.saturating_sub(BEGIN_MS) / 100).unwrap_or(0).clamp(1, TENTHS_MAX);
    // FNV-1a, folded to the bits that are wanted.
    let bytes = camera.as_str().bytes().chain([0]).chain(track_id.to_be_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let folded = (hash ^ (hash >> HASH_BITS) ^ (hash >> (2 * HASH_BITS))) & ((1 << HASH_BITS) - 1);
    (tenths << HASH_BITS) | folded
}

/// When its bearer was first reported, milliseconds since the epoch.
pub(super) fn founding_ms(id: u64) -> i64 {
    BEGIN_MS + ((id >> HASH_BITS) & TENTHS_MAX) as i64 * 100
}
