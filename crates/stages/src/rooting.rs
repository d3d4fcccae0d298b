//! From executed heights to state roots: gathers the writes of a root period, roots it when it is over, or ahead of its end
//! on an idle chain, and hands what a final header claimed to the store.
//!
//! *Invariants:* a machine without threads or clock; what is rooted and not claimed by a final header stays above the base
//! as layers, so that the base is always the state of one certified root.

use rustorium_shard::periods::{Period, Periods, RootedPeriod, claimed_height};
use rustorium_state::slot::{Child, Slot};
use rustorium_state::tables::Tables;
use rustorium_state::tree::{KeyChange, KvRead, Layer, Layered, Row, TreeDiff, TreeError, update};
use rustorium_state::workers::Workers;
use rustorium_types::{Hash, Header, Height, Parameters, StateKey};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How long the newest height must have been executed before it is rooted ahead: under load the next one is on its way.
const QUIET: Duration = Duration::from_millis(20);
/// How long for each write that the root would be of, about four times what it costs: a height that comes in between makes
/// it worthless. With a fixed time, three fifths of the arithmetic at the highest rates was such roots.
const QUIET_A_WRITE: Duration = Duration::from_micros(60);

/// An executed height, as far as the state tree is concerned.
pub struct RootJob {
    /// Its header.
    pub header: Header,
    /// What it wrote, each key once.
    pub diff: Vec<KeyChange>,
}

/// What becomes of the base when a final header claims a root.
pub struct Fold {
    /// The height whose state the base then is.
    pub height: Height,
    /// Its top node.
    pub top: Child,
    /// Changed and removed rows, each slot once.
    pub rows: Vec<Row>,
}

/// The state tree's way from base to tip.
pub struct Rooting<S, W> {
    tables: Arc<Tables>,
    workers: W,
    parameters: Parameters,
    /// The tree as of the last claimed root.
    base: S,
    /// Rooted and not in the base, each with its layer.
    rooted: Vec<Period>,
    layers: Vec<Layer>,
    periods: Periods,
    pending: BTreeMap<StateKey, Option<Hash>>,
    tip: Height,
    ahead: Option<TreeDiff>,
}

impl<S: KvRead, W: Workers> Rooting<S, W> {
    /// Starts at a base, whose height the chain's periods go on from.
    pub fn new(tables: Arc<Tables>, workers: W, parameters: Parameters, base: S, height: Height) -> Self {
        Self {
            tables,
            workers,
            parameters,
            base,
            rooted: Vec::new(),
            layers: Vec::new(),
            periods: Periods::default(),
            pending: BTreeMap::new(),
            tip: height,
            ahead: None,
        }
    }

    /// Takes the next executed height; the root of the period that it ended below itself, where it did.
    pub fn take(&mut self, job: RootJob) -> Result<Option<RootedPeriod>, TreeError> {
        let next = self.periods.after(&job.header, &self.parameters);
        let ended = self.periods.open_first().filter(|_| next.open_first() == Some(job.header.height));
        let rooted = ended.map(|first| self.end_period(first)).transpose()?;
        self.ahead = None;
        self.pending.extend(job.diff);
        self.tip = job.header.height;
        self.periods = next;
        if self.tip == Height(0) { self.end_period(self.tip).map(Some) } else { Ok(rooted) }
    }

    fn end_period(&mut self, first: Height) -> Result<RootedPeriod, TreeError> {
        let diff = match self.ahead.take() {
            Some(diff) => diff,
            None => self.update()?,
        };
        let rooted = self.up_to_tip(first, &diff);
        self.layers.push(Layer::from(&diff));
        self.rooted.push(rooted.period);
        self.pending.clear();
        Ok(rooted)
    }

    fn up_to_tip(&self, first: Height, diff: &TreeDiff) -> RootedPeriod {
        RootedPeriod { period: Period { first, end: self.tip }, root: Hash(diff.root()) }
    }

    fn update(&self) -> Result<TreeDiff, TreeError> {
        let diff: Vec<KeyChange> = self.pending.iter().map(|(key, value)| (*key, *value)).collect();
        update(&self.tables, &Layered { base: &self.base, layers: &self.layers }, &diff, &self.workers)
    }

    /// From when on (Unix ms) the newest state can be rooted ahead, where it isn't.
    pub fn ahead_from_ms(&self) -> Option<u64> {
        self.periods.idle_end_ms(&self.parameters).filter(|_| self.ahead.is_none())
    }

    /// How long nothing may follow the newest height before it is worth being rooted ahead.
    pub fn quiet(&self) -> Duration {
        QUIET.max(QUIET_A_WRITE.saturating_mul(u32::try_from(self.pending.len()).unwrap_or(u32::MAX)))
    }

    /// Roots the newest state: an empty block that came now would end the period there and could claim it.
    pub fn root_ahead(&mut self) -> Result<Option<RootedPeriod>, TreeError> {
        let Some(first) = self.periods.open_first() else { return Ok(None) };
        let diff = self.update()?;
        let rooted = self.up_to_tip(first, &diff);
        self.ahead = Some(diff);
        Ok(Some(rooted))
    }

    /// What a final header's claim makes ready for the base; `folded` is called when the store has it.
    pub fn fold(&self, header: &Header) -> Option<Fold> {
        let count = self.up_to(claimed_height(&header.state));
        let (period, layer) = self.rooted[..count].last().zip(self.layers[..count].last())?;
        let rows: HashMap<_, Option<Slot>> = self.layers[..count].iter().flat_map(Layer::rows).collect();
        Some(Fold { height: period.end, top: layer.top(), rows: rows.into_iter().collect() })
    }

    /// The store's base is the state of `height` now.
    pub fn folded(&mut self, height: Height) {
        let count = self.up_to(height);
        self.rooted.drain(..count);
        self.layers.drain(..count);
    }

    /// How many rooted periods end at or below `height`.
    fn up_to(&self, height: Height) -> usize {
        self.rooted.partition_point(|period| period.end <= height)
    }
}
