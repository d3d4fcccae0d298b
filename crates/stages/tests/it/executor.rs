//! R32: the executor syncs an epoch's end before it reports it.

use crate::chain::{N, context, copy};
use crate::steps::{epoch, goes_on, net, operate};
use rustorium_api::Submitted;
use rustorium_execution::Keys;
use rustorium_shard::{Event, ExecutionJob};
use rustorium_stages::executor::{Executor, Progress};
use rustorium_stages::inbox::Inbox;
use rustorium_stages::journal_records;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::proving::Scoped;
use rustorium_stages::queue::Queue;
use rustorium_stages::waiters::Waiters;
use rustorium_storage::{Fault, FaultyStore, MemStore};
use rustorium_types::{Epoch, Genesis, Operation, ShardId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Returns everything that a node executes in an epoch that an operator ends.
fn whole_epoch() -> (Genesis, Vec<ExecutionJob>) {
    let mut net = net(N);
    goes_on(&mut net, N);
    operate(&mut net, 0, vec![Operation::EndEpoch { epoch: Epoch(0) }]);
    assert_eq!(epoch(&net, 0), 1);
    let jobs: Vec<ExecutionJob> = net.ports(0).executed.iter().map(copy).collect();
    let boundary = jobs.iter().position(|job| job.end.is_some()).expect("an epoch that is over has a boundary");
    (net.genesis, jobs.into_iter().take(boundary + 1).collect())
}

struct SingleExecutor {
    executor: Executor,
    store: Arc<FaultyStore<MemStore>>,
    events: Arc<Queue<Event>>,
}

impl SingleExecutor {
    fn new(genesis: &Genesis) -> Self {
        let store = MemStore::new();
        journal_records::tip_of(&store, genesis, ShardId::ROOT).unwrap();
        let store = Arc::new(FaultyStore::remembering(store));
        let events = Arc::<Queue<Event>>::default();
        let executor = Executor {
            context: context(genesis, 0),
            store: store.clone(),
            waiters: Arc::<Waiters>::default(),
            events: events.clone(),
            inbox: Arc::<Inbox>::default(),
            progress: Arc::<Progress>::default(),
            metrics: Arc::new(NodeMetrics::new(ShardId::ROOT)),
            roots: None,
            parameters: Arc::new((&genesis.parameters).into()),
            activating: None,
            keys: Keys::default(),
            provers: Scoped(1),
            prove: Arc::new(|id| Submitted::TimedOut(*id)),
            decided: None,
        };
        Self { executor, store, events }
    }

    /// Executes a job; returns if it succeeded, and if the end of the epoch was reported.
    fn execute(&self, job: &ExecutionJob) -> (bool, bool) {
        let done = self.executor.execute_next(job);
        let mut told = VecDeque::new();
        self.events.take(Some(Duration::ZERO), &mut told);
        let over = |event: &Event| matches!(event, Event::Executed(executed) if executed.ended.is_some());
        (done, told.iter().any(over))
    }
}

#[test]
fn an_epochs_end_is_synced_before_it_is_reported_and_not_reported_if_the_sync_fails() {
    let (genesis, jobs) = whole_epoch();
    let (boundary, before) = jobs.split_last().unwrap();
    for fails in [false, true] {
        let alone = SingleExecutor::new(&genesis);
        for job in before {
            assert_eq!(alone.execute(job), (true, false));
        }
        assert!(alone.store.unsynced() > 0, "no other height waits for the disk");
        if fails {
            alone.store.fail_sync(1, Fault::Io);
        }
        assert_eq!(alone.execute(boundary), (!fails, !fails));
        assert_eq!(alone.store.unsynced() == 0, !fails);
    }
}
