//! A simulated network between validators, for tests and `devnet --regions`: delay from a matrix of round trips,
//! jitter, loss and rate. The sender applies it between a link's queue and its stream; `alarm` keeps its times.
//!
//! *Invariants:* the order within a class is kept; the same seed and the same sends give the same times; a frame is
//! never dropped: streams are reliable, so a lost frame arrives a retransmission later.

use rustorium_types::{Class, ValidatorIndex};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Payload bytes of one packet. Loss is per packet, so large frames are lost more often.
const PACKET_BYTES: usize = 1_200;
/// Retransmissions of one frame that the shaper simulates at most. Each waits twice as long as the one before.
const LOSSES_MAX: u32 = 6;
/// Time above the round trip that a sender waits before it sends again.
const RETRANSMIT_SLACK: Duration = Duration::from_millis(5);
/// The round trip inside a region, if the matrix doesn't give it.
const INTRA_REGION_RTT: Duration = Duration::from_micros(700);
/// Longest round trip of a matrix. A longer one is a mistake of units.
const RTT_MS_MAX: f64 = 60_000.0;

/// Effects on frames in addition to the matrix' delay. With all zero there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShaperOptions {
    /// Each frame waits up to this many percent of the one-way delay longer, drawn uniformly.
    pub jitter_percent: u32,
    /// Lost packets in a million.
    pub loss_ppm: u32,
    /// Bytes a second from one validator to another; `None` for no limit.
    pub rate_bytes_per_s: Option<u64>,
    /// Seed of all random draws.
    pub seed: u64,
}

/// A shaper could not be made.
#[derive(Debug, Error)]
pub enum ShaperError {
    /// The text is not the JSON of a matrix.
    #[error("the delay matrix can't be read ({0}); expected \"regions\" and \"p50\", or an object \"aws\" with both")]
    Json(#[from] serde_json::Error),
    /// The matrix isn't square, or has not as many rows as regions.
    #[error(
        "the delay matrix needs {regions} rows of {regions} round trips in milliseconds, one per region, but row {row} has {got}"
    )]
    Shape {
        /// Regions named.
        regions: usize,
        /// The first bad row, or the number of rows.
        row: usize,
        /// Length of that row.
        got: usize,
    },
    /// A round trip isn't a number of milliseconds.
    #[error("the round trip from {from} to {to} is {value} ms; it must be between 0 and 60000")]
    RoundTrip {
        /// Row.
        from: String,
        /// Column.
        to: String,
        /// The matrix' value.
        value: f64,
    },
    /// The matrix doesn't have this region.
    #[error("region {region:?} isn't in the delay matrix; it has {known}")]
    UnknownRegion {
        /// The name asked for.
        region: String,
        /// The regions of the matrix.
        known: String,
    },
    /// A rate of zero would hold every frame for ever.
    #[error("the rate of a shaped link must be at least 1 byte a second")]
    ZeroRate,
    /// The loss is more than every packet.
    #[error("{0} lost packets in a million are too many; use at most 900000")]
    Loss(u32),
}

#[derive(Deserialize)]
struct MatrixFile {
    #[serde(default)]
    aws: Option<Table>,
    #[serde(default)]
    intra_region: Option<IntraRegion>,
    #[serde(default)]
    regions: Option<Vec<String>>,
    #[serde(default)]
    p50: Option<Vec<Vec<f64>>>,
}

#[derive(Deserialize)]
struct Table {
    regions: Vec<String>,
    p50: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct IntraRegion {
    inter_az_rtt_ms_min_typ_max: [f64; 3],
}

impl MatrixFile {
    fn table(self) -> Result<(Table, Option<IntraRegion>), ShaperError> {
        let table = match (self.aws, self.regions, self.p50) {
            (Some(table), ..) => table,
            (None, Some(regions), Some(p50)) => Table { regions, p50 },
            _ => return Err(ShaperError::Json(serde::de::Error::custom("no matrix in it"))),
        };
        Ok((table, self.intra_region))
    }
}

/// The simulated network of a committee: one-way delays between every two of its validators.
#[derive(Debug, Clone)]
pub struct Shaper {
    one_way: Vec<Vec<Duration>>,
    options: ShaperOptions,
}

impl Shaper {
    /// Creates the network of `region_rtt_ms.json` (or of a smaller file with only `regions` and `p50`). `regions`
    /// lists the validators' regions, in order of their index. The matrix' diagonal isn't used: two validators of one
    /// region have the file's round trip between zones, or 0.7 ms.
    pub fn from_matrix(json: &str, regions: &[impl AsRef<str>], options: ShaperOptions) -> Result<Self, ShaperError> {
        let file: MatrixFile = serde_json::from_str(json)?;
        let (table, intra) = file.table()?;
        let count = table.regions.len();
        if table.p50.len() != count {
            return Err(ShaperError::Shape { regions: count, row: table.p50.len(), got: table.p50.len() });
        }
        if let Some((row, values)) = table.p50.iter().enumerate().find(|(_, values)| values.len() != count) {
            return Err(ShaperError::Shape { regions: count, row, got: values.len() });
        }
        let positions: BTreeMap<&str, usize> = table.regions.iter().enumerate().map(|(i, r)| (r.as_str(), i)).collect();
        let find = |region: &str| {
            positions.get(region).copied().ok_or_else(|| ShaperError::UnknownRegion {
                region: region.to_owned(),
                known: table.regions.join(", "),
            })
        };
        let places = regions.iter().map(|region| find(region.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let inside = match intra {
            Some(intra) => round_trip("a zone", "another", intra.inter_az_rtt_ms_min_typ_max[1])?,
            None => INTRA_REGION_RTT,
        };
        let one_way = |from: usize, to: usize| {
            if from == to {
                Ok(inside / 2)
            } else {
                Ok(round_trip(&table.regions[from], &table.regions[to], table.p50[from][to])? / 2)
            }
        };
        let rows = places.iter().map(|from| places.iter().map(|to| one_way(*from, *to)).collect());
        Self::checked(rows.collect::<Result<_, ShaperError>>()?, options)
    }

    /// Creates a network of `n` validators with the same round trip between every two.
    pub fn uniform(n: usize, rtt: Duration, options: ShaperOptions) -> Result<Self, ShaperError> {
        Self::checked(vec![vec![rtt / 2; n]; n], options)
    }

    fn checked(one_way: Vec<Vec<Duration>>, options: ShaperOptions) -> Result<Self, ShaperError> {
        if options.rate_bytes_per_s == Some(0) {
            return Err(ShaperError::ZeroRate);
        }
        if options.loss_ppm > 900_000 {
            return Err(ShaperError::Loss(options.loss_ppm));
        }
        Ok(Self { one_way, options })
    }

    /// Returns the delay of a frame from one validator to another, before jitter and loss; zero for validators that it
    /// doesn't know.
    pub fn one_way(&self, from: ValidatorIndex, to: ValidatorIndex) -> Duration {
        let row = self.one_way.get(usize::from(from.0));
        row.and_then(|row| row.get(usize::from(to.0))).copied().unwrap_or_default()
    }

    /// Returns the schedule of frames that `from` sends to `to`, with its own random draws.
    pub fn link(&self, from: ValidatorIndex, to: ValidatorIndex) -> LinkShaper {
        let pair = u64::from(from.0) << 16 | u64::from(to.0);
        LinkShaper {
            delay: self.one_way(from, to),
            rtt: self.one_way(from, to) + self.one_way(to, from),
            options: self.options,
            draws: Draws(self.options.seed ^ pair.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            line_free: [None; 3],
            last: [None; 3],
        }
    }
}

fn round_trip(from: &str, to: &str, value: f64) -> Result<Duration, ShaperError> {
    let bad = || ShaperError::RoundTrip { from: from.to_owned(), to: to.to_owned(), value };
    if !(0.0..=RTT_MS_MAX).contains(&value) {
        return Err(bad());
    }
    // The value is read as seconds and then divided, so there is no arithmetic on floats.
    Duration::try_from_secs_f64(value).map(|scaled| scaled / 1000).map_err(|_| bad())
}

/// Schedule of the times at which frames from one validator to another may enter their streams.
#[derive(Debug)]
pub struct LinkShaper {
    delay: Duration,
    rtt: Duration,
    options: ShaperOptions,
    draws: Draws,
    line_free: [Option<Instant>; 3],
    last: [Option<Instant>; 3],
}

impl LinkShaper {
    /// Returns when a frame of `bytes` that is handed over at `now` may enter its stream.
    pub fn release(&mut self, now: Instant, class: Class, bytes: usize) -> Instant {
        let sent = self.serialize(now, class, bytes);
        let wait = self.delay + self.jitter() + self.retransmissions(bytes);
        let lane = &mut self.last[class as usize];
        let release = lane.map_or(sent + wait, |last| last.max(sent + wait));
        *lane = Some(release);
        release
    }

    /// Applies the line's rate, as on a link that always sends the most urgent class first. A frame waits for frames of
    /// its own class and of more urgent ones, and delays later frames of its own class and of less urgent ones.
    fn serialize(&mut self, now: Instant, class: Class, bytes: usize) -> Instant {
        let Some(rate) = self.options.rate_bytes_per_s else { return now };
        let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(rate.max(1));
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        for free in &mut self.line_free[class as usize..] {
            *free = Some(free.map_or(now, |free| free.max(now)) + time);
        }
        self.line_free[class as usize].unwrap_or(now)
    }

    fn jitter(&mut self) -> Duration {
        let most = self.delay.as_nanos() * u128::from(self.options.jitter_percent) / 100;
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        if most == 0 { Duration::ZERO } else { Duration::from_nanos(self.draws.next() % most.saturating_add(1).max(1)) }
    }

    fn retransmissions(&mut self, bytes: usize) -> Duration {
        if self.options.loss_ppm == 0 {
            return Duration::ZERO;
        }
        let timeout = self.rtt + RETRANSMIT_SLACK;
        let mut packets = bytes.div_ceil(PACKET_BYTES).max(1);
        let mut wait = Duration::ZERO;
        for attempt in 0..LOSSES_MAX {
            packets = (0..packets).filter(|_| self.draws.next() % 1_000_000 < u64::from(self.options.loss_ppm)).count();
            if packets == 0 {
                break;
            }
            wait += timeout * (1 << attempt);
        }
        wait
    }
}

/// The generator SplitMix64: small, seeded, and good enough to draw losses.
#[derive(Debug, Clone)]
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
