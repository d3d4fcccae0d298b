//! The hosted shards of a process: which of them run, which are being filled, and why the others ended.
//!
//! *Invariants:* a shard has one host at a time; a shard that ended stays hosted, and can be started again.

use crate::host::Host;
use crate::statesync::FillProgress;
use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustorium_stages::NodeError;
use rustorium_types::ShardId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The reason why a hosted shard does not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostEnd {
    /// Stable code.
    pub code: String,
    /// The sentence says what is wrong and what to do.
    pub sentence: String,
}

impl From<NodeError> for HostEnd {
    fn from(error: NodeError) -> Self {
        Self { code: error.code.to_owned(), sentence: error.sentence }
    }
}

/// The state of a hosted shard.
#[derive(Clone)]
pub(crate) enum Standing {
    /// The shard runs.
    Runs(Arc<Host>),
    /// The shard's store is empty. Peers fill it, or the node has not yet begun to ask them.
    Fills(Arc<FillProgress>),
    /// The shard ended, or did not start.
    Ended(HostEnd),
}

struct Place {
    standing: Standing,
    /// Number of times that the shard ended, or did not start.
    ends: u64,
}

/// The hosted shards.
#[derive(Default)]
pub(crate) struct Hosts(RwLock<BTreeMap<ShardId, Place>>);

impl Hosts {
    /// Returns a hosted shard that runs.
    pub(crate) fn of(&self, shard: ShardId) -> Option<Arc<Host>> {
        match self.standing(shard)? {
            Standing::Runs(host) => Some(host),
            Standing::Fills(_) | Standing::Ended(_) => None,
        }
    }

    /// Returns the state of a shard; `None` if it is not hosted.
    pub(crate) fn standing(&self, shard: ShardId) -> Option<Standing> {
        Some(self.0.read().get(&shard)?.standing.clone())
    }

    /// Returns the reason why a hosted shard does not run; `None` if it did not end, or is not hosted.
    pub(crate) fn end_of(&self, shard: ShardId) -> Option<HostEnd> {
        match self.standing(shard)? {
            Standing::Ended(end) => Some(end),
            Standing::Runs(_) | Standing::Fills(_) => None,
        }
    }

    /// Returns the hosted shards, in order.
    pub(crate) fn shards(&self) -> Vec<ShardId> {
        self.0.read().keys().copied().collect()
    }

    /// Returns the shards that run, in order.
    pub(crate) fn running(&self) -> Vec<(ShardId, Arc<Host>)> {
        let places = self.0.read();
        let running = |(shard, place): (&ShardId, &Place)| match &place.standing {
            Standing::Runs(host) => Some((*shard, host.clone())),
            Standing::Fills(_) | Standing::Ended(_) => None,
        };
        places.iter().filter_map(running).collect()
    }

    /// Notes that a shard runs.
    pub(crate) fn began(&self, shard: ShardId, host: Host) {
        self.set(shard, Standing::Runs(Arc::new(host)), 0);
    }

    /// Notes that a shard's store is to be filled.
    pub(crate) fn fills(&self, shard: ShardId, progress: Arc<FillProgress>) {
        self.set(shard, Standing::Fills(progress), 0);
    }

    /// Notes that a shard ended, or did not start. Returns its host if it ran.
    pub(crate) fn ended(&self, shard: ShardId, end: HostEnd) -> Option<Arc<Host>> {
        match self.set(shard, Standing::Ended(end), 1)? {
            Standing::Runs(host) => Some(host),
            Standing::Fills(_) | Standing::Ended(_) => None,
        }
    }

    /// Returns the shard's state before.
    fn set(&self, shard: ShardId, standing: Standing, more_ends: u64) -> Option<Standing> {
        let mut places = self.0.write();
        let before = places.remove(&shard);
        let ends = before.as_ref().map_or(0, |place| place.ends) + more_ends;
        places.insert(shard, Place { standing, ends });
        before.map(|place| place.standing)
    }
}

/// The figures of the hosted shards that belong to the process: they stay while a shard does not run.
pub(crate) struct OfHosts(pub(crate) Arc<Hosts>);

impl fmt::Debug for OfHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfHosts").finish_non_exhaustive()
    }
}

impl Collector for OfHosts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let figure = |(shard, place): (&ShardId, &Place)| {
            let runs = matches!(place.standing, Standing::Runs(_));
            (shard.to_string(), runs, place.ends)
        };
        let figures: Vec<_> = self.0.0.read().iter().map(figure).collect();
        let help = "1 for each hosted shard that runs, 0 for one that is filled, or that ended and is started again";
        let mut family = encoder.encode_descriptor("rustorium_node_shard_running", help, None, MetricType::Gauge)?;
        for (shard, running, _) in &figures {
            let labels = [("shard", shard.as_str())];
            ConstGauge::new(i64::from(*running)).encode(family.encode_family(&labels)?)?;
        }
        let help = "Times that a hosted shard ended because of a fault, or did not start";
        let mut family = encoder.encode_descriptor("rustorium_node_shard_ends", help, None, MetricType::Counter)?;
        for (shard, _, ends) in &figures {
            let labels = [("shard", shard.as_str())];
            ConstCounter::new(*ends).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
