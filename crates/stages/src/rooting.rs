//! From executed heights to state roots: gathers the writes of a root period, makes the root when the period is over
//! (or earlier on an idle chain), and hands what a final header has claimed to the store.
//!
//! *Invariants:* this is a machine without threads or clock; roots that no final header has claimed stay above the base
//! as layers, so the base is always the state of one certified root.

use rustorium_shard::periods::{Period, Periods, RootedPeriod, claimed_height};
use rustorium_state::slot::{Child, Slot};
use rustorium_state::tables::Tables;
use rustorium_state::tree::{KeyChange, KvRead, Layer, LayeredKv, Row, TreeDiff, TreeError, update};
use rustorium_state::workers::Workers;
use rustorium_types::{Hash, Header, Height, Parameters, StateKey};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Time after the newest height was executed before it is rooted ahead. Under load the next height is on its way.
const QUIET: Duration = Duration::from_millis(20);
/// Additional time for each write under the root: about four times its cost, because a height that comes in between
/// makes the root worthless. With a fixed time, three fifths of the arithmetic at the highest rates went into such
/// roots.
const QUIET_A_WRITE: Duration = Duration::from_micros(60);

/// Executed height, as far as the state tree needs it.
pub struct RootJob {
    /// Header of the height.
    pub header: Header,
    /// Writes of the height, each key once.
    pub diff: Vec<KeyChange>,
    /// The chain's parameters in the height's block.
    pub parameters: Arc<Parameters>,
}

/// Change of the base when a final header claims a root.
pub struct Fold {
    /// Height whose state the base becomes.
    pub height: Height,
    /// Top node of the new base.
    pub top: Child,
    /// Changed and removed rows, each slot once.
    pub rows: Vec<Row>,
}

/// State of the tree from its base to the tip.
pub struct Rooting<S, W> {
    tables: Arc<Tables>,
    workers: W,
    /// The parameters of the newest height.
    parameters: Arc<Parameters>,
    /// The tree as of the last claimed root.
    base: S,
    /// Rooted periods that aren't in the base yet, each with its layer in `layers`.
    rooted: Vec<Period>,
    layers: Vec<Layer>,
    periods: Periods,
    pending: BTreeMap<StateKey, Option<Hash>>,
    tip: Height,
    ahead: Option<TreeDiff>,
}

impl<S: KvRead, W: Workers> Rooting<S, W> {
    /// Starts at a base. The chain's periods go on from the base's height.
    pub fn new(tables: Arc<Tables>, workers: W, parameters: Arc<Parameters>, base: S, height: Height) -> Self {
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

    /// Returns the tables of the tree's arithmetic.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// Takes the next executed height. Returns the root of the period that this height ended below itself, if it did.
    pub fn take(&mut self, job: RootJob) -> Result<Option<RootedPeriod>, TreeError> {
        self.parameters = job.parameters;
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
        update(&self.tables, &LayeredKv { base: &self.base, layers: &self.layers }, &diff, &self.workers)
    }

    /// Returns the time (Unix ms) from which the newest state can be rooted ahead. `None` if it can't, or is rooted
    /// ahead already.
    pub fn ahead_from_ms(&self) -> Option<u64> {
        self.periods.idle_end_ms(&self.parameters).filter(|_| self.ahead.is_none())
    }

    /// Returns the time at which an unfinished root period with a payload ends if no block follows.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.parameters.root_period_idle_ms)
    }

    /// Returns how long to wait for a height after the newest one before rooting ahead is worthwhile.
    pub fn quiet(&self) -> Duration {
        QUIET.max(QUIET_A_WRITE.saturating_mul(u32::try_from(self.pending.len()).unwrap_or(u32::MAX)))
    }

    /// Roots the newest state. An empty block that came now would end the period there and could claim the root.
    pub fn root_ahead(&mut self) -> Result<Option<RootedPeriod>, TreeError> {
        let Some(first) = self.periods.open_first() else { return Ok(None) };
        let diff = self.update()?;
        let rooted = self.up_to_tip(first, &diff);
        self.ahead = Some(diff);
        Ok(Some(rooted))
    }

    /// Returns the change of the base that a final header's claim allows. The caller calls `folded` once the store has
    /// it.
    pub fn fold(&self, header: &Header) -> Option<Fold> {
        let count = self.up_to(claimed_height(&header.state));
        let (period, layer) = self.rooted[..count].last().zip(self.layers[..count].last())?;
        let rows: HashMap<_, Option<Slot>> = self.layers[..count].iter().flat_map(Layer::rows).collect();
        Some(Fold { height: period.end, top: layer.top(), rows: rows.into_iter().collect() })
    }

    /// Notes that the store's base is the state of `height` now.
    pub fn folded(&mut self, height: Height) {
        let count = self.up_to(height);
        self.rooted.drain(..count);
        self.layers.drain(..count);
    }

    /// Returns the number of rooted periods that end at or below `height`.
    fn up_to(&self, height: Height) -> usize {
        self.rooted.partition_point(|period| period.end <= height)
    }
}
