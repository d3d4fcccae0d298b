//! The start of a process, in the order in which a node starts.

use crate::calls::Calls;
use crate::chain::Chain;
use crate::checks::Checks;
use crate::costs::Meter;
use crate::disk::SimDisk;
use crate::inbound::{Inbound, Queues};
use crate::node::{Failure, Keys, SimNode, Threads};
use crate::ports::SimPorts;
use crate::release::Release;
use rustorium_api::ClientSession;
use rustorium_shard::turns::Turns;
use rustorium_shard::{Event, Now, WorkConfig};
use rustorium_stages::decisions::Decisions;
use rustorium_stages::executor::store_code;
use rustorium_stages::queue::Queue;
use rustorium_stages::{NodeError, Replica};
use rustorium_storage::{Store, StoreError};
use rustorium_sync::Pushes;
use rustorium_txpool::PoolConfig;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(crate) fn store_failed(error: &StoreError) -> Failure {
    (store_code(error).to_owned(), error.to_string())
}

fn failure(error: NodeError) -> Failure {
    (error.code.to_owned(), error.sentence)
}

impl SimNode {
    /// Starts a process on a disk, in the order in which a node does. Errors: the reason why it doesn't start.
    pub fn start(
        chain: &Arc<Chain>,
        disk: &Arc<SimDisk>,
        keys: Keys,
        heartbeat_us: u64,
        threads: Threads,
        queues: Queues,
        now: Now,
    ) -> Result<Self, Failure> {
        let store: Arc<dyn Store> = disk.store();
        let calls_before = disk.store().calls();
        let release = Release::knowing(keys.newest);
        let replica = if release.is_newest() {
            Replica::open(&chain.genesis, chain.shard, store.clone(), (keys.validator, None), || {
                Ok(chain.tables.clone())
            })
        } else {
            Replica::of_release(&chain.genesis, chain.shard, store.clone(), keys.validator, keys.newest)
        };
        let replica = replica.map_err(failure)?;
        let records = disk.journal(crate::journal::SimJournal::open);
        let journaled = replica.journaled(records, disk.retired().is_some()).map_err(failure)?;
        let verified: Arc<Queue<Event>> = Arc::default();
        let verifier = replica.verifier(verified.clone());
        let mut ports = SimPorts {
            chain: chain.clone(),
            number: keys.number,
            disk: disk.clone(),
            clients: replica.clients(),
            verifier: verifier.clone(),
            jobs: VecDeque::new(),
            sent: Vec::new(),
            linked: BTreeMap::new(),
            pushes: Pushes::default(),
            members: Vec::new(),
            evidence: Vec::new(),
            calls: Calls::default(),
        };
        ports.name_members(&replica.context);
        let pool = PoolConfig::of_chain(replica.context.rules, &replica.context.parameters);
        let probe_secret = keys.probes.then_some([keys.number as u8; 32]);
        let config = WorkConfig { pool, heartbeat_us, retires: !keys.shared, probe_secret, ..WorkConfig::default() };
        let roots = replica.roots(|| Ok(chain.tables.clone())).map_err(failure)?;
        let mut shard = replica.shard(config, ports, now, journaled);
        shard.end_turn(now);
        let mut executor = replica.executor(roots.as_ref(), 1).map_err(failure)?;
        let notes = disk.decided.clone();
        executor.decided = Some(Arc::new(move |decisions: &Decisions| notes.note(decisions)));
        let mut node = Self {
            shard: Some(shard),
            disk: disk.clone(),
            store,
            verifier,
            verified,
            release,
            checks: Checks::of(threads.verifiers),
            executor,
            roots,
            keeping: replica.keeping(None),
            inbox: replica.inbox,
            events: replica.events,
            turns: Turns::default(),
            inbound: Inbound::of(queues),
            meter: Meter::of(threads.costs),
            answers: Arc::default(),
            client: ClientSession::local(),
            running: BTreeSet::new(),
            calls_before,
            ahead_us: None,
            busy_us: 0,
        };
        node.plan_ahead(now);
        Ok(node)
    }
}
