//! The machine's clocks, as stages and hosts of a shard read them.

use rustorium_shard::Now;
use std::time::{Instant, SystemTime};

/// Reads the machine's wall clock, Unix ms.
pub fn wall_ms() -> u64 {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)
}

/// Reads both clocks: the monotonic one since `start`, and the wall clock.
pub fn now(start: Instant) -> Now {
    Now { us: start.elapsed().as_micros() as u64, wall_ms: wall_ms() }
}
