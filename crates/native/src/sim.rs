//! `SimChain`, `SimDisk` and `SimNode`: the release stages of nodes without threads, for the simulator.

use crate::convert::Vocabulary;
use crate::errors::{detached, native_error};
use crate::ledger::{genesis_of, key, value_error};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use rustorium_api::json::failure_name;
use rustorium_api::{Submitted, Wait};
use rustorium_crypto::change_hash;
use rustorium_shard::Now;
use rustorium_sim::{Answer, Chain, Costs, Keys, Outcome, SimDisk as Disk, SimNode as Inner, Stage, Threads};
use rustorium_storage::{Fault, Store};
use rustorium_types::{
    Certificate, Class, Epoch, EpochTransition, Height, Outcome as TransactionOutcome, ShardId, TxId, ValidatorSet,
    encode,
};
use std::collections::BTreeMap;
use std::sync::Arc;

type Raw<'py> = Bound<'py, PyBytes>;
/// Receivers, class, frame.
type SentFrame<'py> = (Vec<u16>, u8, Raw<'py>);
/// Tag, result, and the transaction's height if it is final.
type ClientAnswer = (usize, &'static str, Option<u64>);
/// Stage, number of its thread, and for how many µs that is busy (None if the simulation decides).
type BegunStage = (u8, usize, Option<u64>);
/// Time for which the shard's thread was busy (µs), frames, stages that begin, deadline in µs (None: never), whether
/// inputs wait, answers to clients.
type TurnResult<'py> = (u64, Vec<SentFrame<'py>>, Vec<BegunStage>, Option<u64>, bool, Vec<ClientAnswer>);
/// Height, digest, header, result root.
type StoredTip<'py> = (u64, Raw<'py>, Raw<'py>, Raw<'py>);

/// Height, seat, name of the act, number of the proposal and hash of the change.
type SeatAct = (u64, u32, &'static str, Option<u64>, Option<String>);

/// The data that the nodes of one shard of a simulated chain share.
#[pyclass(frozen, module = "rustorium._native")]
pub struct SimChain {
    inner: Arc<Chain>,
    vocabulary: Arc<Vocabulary>,
}

#[pymethods]
impl SimChain {
    #[new]
    #[pyo3(signature = (genesis, node_keys, shard = 0))]
    fn new(py: Python<'_>, genesis: &[u8], node_keys: Vec<[u8; 32]>, shard: u32) -> PyResult<Self> {
        let genesis = genesis_of(genesis)?;
        let inner = detached(py, || Chain::new(genesis, ShardId(shard), node_keys))?;
        let inner = inner.map_err(|sentence| native_error("state-tables-failed", sentence))?;
        Ok(Self { inner: Arc::new(inner), vocabulary: Arc::new(Vocabulary::load(py)?) })
    }
}

/// The disk that a simulated node keeps across its processes.
#[pyclass(frozen, module = "rustorium._native")]
#[derive(Default)]
pub struct SimDisk {
    inner: Arc<Disk>,
}

fn fault(full: bool) -> Fault {
    if full { Fault::DiskFull } else { Fault::Io }
}

fn validator_keys<'py>(py: Python<'py>, set: &ValidatorSet) -> Vec<Raw<'py>> {
    set.iter().map(|validator| PyBytes::new(py, &validator.validator_key)).collect()
}

fn store_error(error: impl std::fmt::Display) -> PyErr {
    native_error("store-failed", error.to_string())
}

#[pymethods]
impl SimDisk {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Cuts the power. Returns the numbers of journal records and store writes that are lost.
    fn lose_power(&self, records_kept: usize, writes_kept: usize) -> PyResult<(usize, usize)> {
        self.inner.lose_power(records_kept, writes_kept).map_err(store_error)
    }

    /// Returns the numbers of journal records and store writes that a power cut now could lose.
    fn unsynced(&self) -> (usize, usize) {
        (self.inner.journal(|journal| journal.unsynced()), self.inner.store().unsynced())
    }

    fn fail_write(&self, nth: u64, full: bool) {
        self.inner.fail_write(nth, fault(full));
    }

    fn fail_sync(&self, nth: u64, full: bool) {
        self.inner.fail_sync(nth, fault(full));
    }

    fn fail_journal(&self, full: bool) {
        self.inner.fail_journal(fault(full));
    }

    fn mend(&self) {
        self.inner.mend();
    }

    fn retired(&self) -> Option<String> {
        self.inner.retired()
    }

    fn new_journal(&self) {
        self.inner.new_journal();
    }

    /// Forgets the journal's certificates of these views, inclusive. Returns how many.
    fn lose_certificates(&self, first: u64, last: u64) -> usize {
        let lost = |certificate: &Certificate| (first..=last).contains(&certificate.body.view.0);
        self.inner.journal(|journal| journal.lose_certificates(lost))
    }

    /// Returns the validator keys of an epoch's committee, by index; None if the epoch hasn't begun here.
    fn committee<'py>(&self, py: Python<'py>, chain: &SimChain, epoch: u64) -> PyResult<Option<Vec<Raw<'py>>>> {
        let committee = self.inner.committee(&chain.inner, Epoch(epoch)).map_err(store_error)?;
        Ok(committee.map(|set| validator_keys(py, &set)))
    }

    /// Returns the validator keys of the committee that operators want, and the newest epoch that they asked to end.
    fn wanted<'py>(&self, py: Python<'py>) -> PyResult<Option<(Vec<Raw<'py>>, Option<u64>)>> {
        let record = self.inner.wanted().map_err(store_error)?;
        Ok(record.map(|record| (validator_keys(py, &record.target), record.end_asked.map(|epoch| epoch.0))))
    }

    /// Returns the records that the journal has on disk after a position, with their kinds, and the position of the
    /// last one.
    fn synced_records<'py>(&self, py: Python<'py>, after: u64) -> (u64, Vec<(u8, Raw<'py>)>) {
        self.inner.journal(|journal| {
            let records: Vec<_> = journal.synced_after(after).collect();
            let last = records.last().map_or(after, |record| record.lsn.0);
            (last, records.iter().map(|record| (record.kind as u8, PyBytes::new(py, &record.payload))).collect())
        })
    }

    fn tip<'py>(&self, py: Python<'py>) -> Option<StoredTip<'py>> {
        let tip = self.inner.store().tip()?;
        let header = encode(&tip.header);
        let raw = |bytes: &[u8]| PyBytes::new(py, bytes);
        Some((tip.height.0, raw(&tip.digest.0), raw(&header), raw(&tip.result_root.0)))
    }

    /// Returns digest, header and result root of a stored height.
    fn block<'py>(&self, py: Python<'py>, height: u64) -> PyResult<Option<(Raw<'py>, Raw<'py>, Raw<'py>)>> {
        let stored = self.inner.store().block(Height(height)).map_err(store_error)?;
        let raw = |bytes: &[u8]| PyBytes::new(py, bytes);
        Ok(stored.map(|s| (raw(&s.digest.0), raw(&encode(&s.block.header)), raw(&s.result_root.0))))
    }

    /// Returns height and index of a transaction that has a receipt.
    fn transaction(&self, id: &str) -> PyResult<Option<(u64, u32)>> {
        let id = TxId::from_hex(id).map_err(value_error)?;
        let stored = self.inner.store().transaction(&id).map_err(store_error)?;
        Ok(stored.map(|stored| (stored.receipt.height.0, stored.receipt.index)))
    }

    /// Returns "ok" or the code of the failure of a transaction that has a receipt.
    fn outcome(&self, id: &str) -> PyResult<Option<&'static str>> {
        let id = TxId::from_hex(id).map_err(value_error)?;
        let stored = self.inner.store().transaction(&id).map_err(store_error)?;
        Ok(stored.map(|stored| match stored.receipt.outcome {
            TransactionOutcome::Ok => "ok",
            TransactionOutcome::Failed { code, .. } => failure_name(code),
        }))
    }

    /// Returns all acts of seats that the node's processes were told, and the height of a block that was told twice with
    /// different decisions.
    fn decided(&self) -> (Vec<SeatAct>, Option<u64>) {
        let acts = self.inner.decided.acts().into_iter();
        (
            acts.map(|told| (told.height, told.seat, told.act, told.number, told.hash)).collect(),
            self.inner.decided.conflict(),
        )
    }

    /// Returns the proof of how an epoch ended, as canonical bytes; None if it hasn't ended here.
    fn transition<'py>(&self, py: Python<'py>, epoch: u64) -> PyResult<Option<Raw<'py>>> {
        let transition = self.inner.transition(Epoch(epoch)).map_err(store_error)?;
        Ok(transition.map(|transition| PyBytes::new(py, &encode(&transition))))
    }

    /// Returns the name of what an epoch's end changed; None if it hasn't ended here, or is of version 1.
    fn changed(&self, epoch: u64) -> PyResult<Option<&'static str>> {
        let transition = self.inner.transition(Epoch(epoch)).map_err(store_error)?;
        let Some(EpochTransition::Term(change)) = transition else { return Ok(None) };
        Ok(Some(change.term.change.name()))
    }

    /// Returns the parameters in force in an epoch that has begun here, as JSON.
    fn parameters(&self, chain: &SimChain, epoch: u64) -> PyResult<String> {
        let parameters = self.inner.parameters(&chain.inner, Epoch(epoch)).map_err(store_error)?;
        serde_json::to_string(&parameters).map_err(value_error)
    }

    /// Returns the parameters that operators want, as JSON; None if they want those in force.
    fn wanted_parameters(&self) -> PyResult<Option<String>> {
        let record = self.inner.wanted().map_err(store_error)?;
        let wanted = record.and_then(|record| record.wanted);
        wanted.map(|parameters| serde_json::to_string(&parameters).map_err(value_error)).transpose()
    }

    /// Returns quorum, seats and proposals as the newest state has them, with the parameters in force in an epoch, as JSON.
    fn governance(&self, chain: &SimChain, epoch: u64) -> PyResult<String> {
        let parameters = self.inner.parameters(&chain.inner, Epoch(epoch)).map_err(store_error)?;
        let (record, open) = self.inner.governance(&parameters).map_err(store_error)?;
        let seats = record.seats.iter().map(|seat| {
            let signer = hex::encode(encode(&seat.signer));
            serde_json::json!({
                "number": seat.number, "first_key": hex::encode(seat.first_key), "signer": signer, "nonce": seat.nonce,
            })
        });
        let proposals = open.iter().map(|(number, proposal)| {
            let seats: Vec<u32> = proposal.counted(&record).map(|given| given.seat).collect();
            let hash = change_hash(&proposal.change).to_string();
            serde_json::json!({ "number": number, "hash": hash, "approvals": seats, "made": proposal.made })
        });
        let (seats, proposals): (Vec<_>, Vec<_>) = (seats.collect(), proposals.collect());
        Ok(serde_json::json!({ "quorum": record.quorum, "seats": seats, "proposals": proposals }).to_string())
    }

    /// Returns key, name and value of every leaf of the newest state.
    fn leaves<'py>(&self, py: Python<'py>) -> Vec<(Raw<'py>, Raw<'py>, Raw<'py>)> {
        let raw = |bytes: &[u8]| PyBytes::new(py, bytes);
        let leaves = self.inner.store().inner().leaves();
        leaves.iter().map(|(key, leaf)| (raw(&key.to_bytes()), raw(&leaf.name), raw(&leaf.value))).collect()
    }
}

/// A simulated node's process on a disk.
#[pyclass(frozen, module = "rustorium._native")]
pub struct SimNode {
    inner: Mutex<Inner>,
    vocabulary: Arc<Vocabulary>,
}

fn class(number: u8) -> PyResult<Class> {
    match number {
        0 => Ok(Class::Consensus),
        1 => Ok(Class::Data),
        2 => Ok(Class::Sync),
        other => Err(PyValueError::new_err(format!("there is no class {other}"))),
    }
}

fn wait(name: &str) -> PyResult<Wait> {
    match name {
        "accepted" => Ok(Wait::Accepted),
        "final" => Ok(Wait::Final),
        "certified" => Ok(Wait::Certified),
        other => Err(PyValueError::new_err(format!("a client waits for accepted, final or certified, not {other}"))),
    }
}

fn answered(Answer { tag, how }: Answer) -> ClientAnswer {
    match how {
        Submitted::Accepted(_) => (tag, "accepted", None),
        Submitted::Final(_, receipt) => (tag, "final", Some(receipt.height.0)),
        Submitted::Certified(_, proof) => (tag, "certified", Some(proof.receipt.height.0)),
        Submitted::Refused(refused) => (tag, refused.code, None),
        Submitted::TimedOut(_) => (tag, "timed-out", None),
    }
}

fn turned<'py>(py: Python<'py>, outcome: Outcome) -> TurnResult<'py> {
    let sent = outcome.sent.into_iter().map(|sent| (sent.to, sent.class as u8, PyBytes::new(py, &sent.frame)));
    let begun = outcome.begun.into_iter().map(|begun| (begun.stage as u8, begun.thread, begun.busy_us)).collect();
    let deadline = (outcome.deadline_us < u64::MAX).then_some(outcome.deadline_us);
    (
        outcome.busy_us,
        sent.collect(),
        begun,
        deadline,
        outcome.wakes,
        outcome.answers.into_iter().map(answered).collect(),
    )
}

impl SimNode {
    fn run<'py>(&self, py: Python<'py>, now: Now, work: impl FnOnce(&mut Inner) + Send) -> PyResult<TurnResult<'py>> {
        let outcome = detached(py, || {
            let mut inner = self.inner.lock();
            work(&mut inner);
            inner.outcome(now)
        })?;
        Ok(turned(py, outcome))
    }
}

/// The first two arguments of each call are monotonic microseconds and Unix milliseconds.
#[pymethods]
impl SimNode {
    #[new]
    #[pyo3(signature = (
        chain, disk, number, validator_seed, heartbeat_us, now_us, wall_ms, *, newest, shared=false, verifiers=1,
        costs=None, probes=false
    ))]
    #[expect(clippy::too_many_arguments, reason = "what a process starts with, by name on the Python side")]
    fn new(
        py: Python<'_>,
        chain: &SimChain,
        disk: &SimDisk,
        number: u16,
        validator_seed: Option<&[u8]>,
        heartbeat_us: u64,
        now_us: u64,
        wall_ms: u64,
        newest: u16,
        shared: bool,
        verifiers: usize,
        costs: Option<BTreeMap<String, u64>>,
        probes: bool,
    ) -> PyResult<Self> {
        let keys = Keys { number, validator: validator_seed.map(key).transpose()?, shared, newest, probes };
        let now = Now { us: now_us, wall_ms };
        let costs = costs.map(|costs| Costs::named(costs.iter().map(|(name, price)| (name.as_str(), *price))));
        let threads = Threads { verifiers, costs: costs.transpose().map_err(value_error)? };
        let queues = rustorium_transport::Config::QUEUES;
        let start = || Inner::start(&chain.inner, &disk.inner, keys, heartbeat_us, threads, queues, now);
        let started = detached(py, start)?;
        let inner = started.map_err(|(code, sentence)| native_error(&code, sentence))?;
        Ok(Self { inner: Mutex::new(inner), vocabulary: chain.vocabulary.clone() })
    }

    /// Returns the results of the calls so far. Call it once after the start.
    fn started<'py>(&self, py: Python<'py>, now_us: u64, wall_ms: u64) -> PyResult<TurnResult<'py>> {
        self.run(py, Now { us: now_us, wall_ms }, |_| {})
    }

    /// Receives a frame. Errors: ValueError if the frame can't be read.
    fn frame<'py>(
        &self,
        py: Python<'py>,
        now_us: u64,
        wall_ms: u64,
        source: u16,
        class_: u8,
        frame: Vec<u8>,
    ) -> PyResult<TurnResult<'py>> {
        let (now, class) = (Now { us: now_us, wall_ms }, class(class_)?);
        let outcome = detached(py, || {
            let mut inner = self.inner.lock();
            inner.frame(now, source, class, frame.into()).map(|()| inner.outcome(now))
        })?;
        Ok(turned(py, outcome.map_err(value_error)?))
    }

    /// Notes that a link came up, on which both ends speak this version of the peer protocol, or went down.
    fn link<'py>(
        &self,
        py: Python<'py>,
        now_us: u64,
        wall_ms: u64,
        peer: u16,
        up: bool,
        version: u8,
    ) -> PyResult<TurnResult<'py>> {
        let now = Now { us: now_us, wall_ms };
        self.run(py, now, |inner| inner.link(now, peer, up, version))
    }

    fn submit<'py>(
        &self,
        py: Python<'py>,
        now_us: u64,
        wall_ms: u64,
        effects: &Bound<'py, PyAny>,
    ) -> PyResult<TurnResult<'py>> {
        let effects: Vec<_> =
            effects.try_iter()?.map(|item| self.vocabulary.effect(&item?)).collect::<PyResult<_>>()?;
        let now = Now { us: now_us, wall_ms };
        self.run(py, now, |inner| inner.submit(now, effects))
    }

    /// Submits a client's transaction, which waits; the answer contains `tag`. Errors: ValueError.
    fn client<'py>(
        &self,
        py: Python<'py>,
        now_us: u64,
        wall_ms: u64,
        transaction: &[u8],
        until: &str,
        tag: usize,
    ) -> PyResult<TurnResult<'py>> {
        let (now, until) = (Now { us: now_us, wall_ms }, wait(until)?);
        let mut inner = self.inner.lock();
        inner.client(transaction, until, tag).map_err(value_error)?;
        Ok(turned(py, inner.outcome(now)))
    }

    fn tick<'py>(&self, py: Python<'py>, now_us: u64, wall_ms: u64) -> PyResult<TurnResult<'py>> {
        let now = Now { us: now_us, wall_ms };
        self.run(py, now, |inner| inner.tick(now))
    }

    /// Ends a stage, on this of its threads.
    fn end<'py>(
        &self,
        py: Python<'py>,
        now_us: u64,
        wall_ms: u64,
        stage: u8,
        thread: usize,
    ) -> PyResult<TurnResult<'py>> {
        let now = Now { us: now_us, wall_ms };
        let stage = Stage::ALL.get(usize::from(stage)).copied();
        let stage = stage.ok_or_else(|| PyValueError::new_err("there is no such stage"))?;
        self.run(py, now, |inner| inner.end(now, stage, thread))
    }

    /// Returns inputs for the core, oldest first. Errors: the data plane has failed.
    fn drain<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let inputs = self.inner.lock().drain(limit).map_err(|(code, sentence)| native_error(&code, sentence))?;
        let objects: Vec<_> = inputs.iter().map(|input| self.vocabulary.input(py, input)).collect::<PyResult<_>>()?;
        PyList::new(py, objects)
    }

    /// Returns the indexes of members against which there is evidence, since the last call.
    fn offenders(&self) -> Vec<u16> {
        self.inner.lock().evidence().iter().map(|evidence| evidence.offender().0).collect()
    }

    /// Returns the nanoseconds for which threads were busy, by their kind; and the number of frames without room.
    fn busy(&self) -> BTreeMap<&'static str, u64> {
        self.inner.lock().busy().into_iter().collect()
    }

    /// Returns counts of what the process and its journal keep, by name.
    fn held(&self) -> BTreeMap<&'static str, u64> {
        self.inner.lock().held().into_iter().collect()
    }

    /// Returns the numbers of calls of the release stages since the start, by kind.
    fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.inner.lock().calls().named().into_iter().collect()
    }
}

/// Adds the classes to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SimChain>()?;
    module.add_class::<SimDisk>()?;
    module.add_class::<SimNode>()?;
    Ok(())
}
