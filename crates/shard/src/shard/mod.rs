//! One shard's data plane as a machine without threads: events in, calls on `Ports` out.
//!
//! *Invariants:* what a vote rests on is appended to the journal before the vote, and a frame that promises something
//! leaves only when the journal is durable up to it; nothing is executed that is not final; everything held is bounded.

mod blocks;
mod certificates;
mod checking;
mod clocks;
mod digests;
mod effects;
mod ending;
mod finality;
mod holding;
mod holdings;
mod homes;
mod inbound;
mod leading;
mod live_records;
mod memory;
mod open_votes;
mod passed_over;
mod ports;
mod recovery;
mod retained;
mod signing;
mod signs;
mod stale;
mod state_claims;
mod timing;
mod versions;
mod wanting;
mod work;

use crate::context::Context;
use crate::periods::Periods;
use crate::port::{CertificateName, Input, PayloadStatus};
use crate::senders::Credit;
use blocks::BlockTree;
use bytes::Bytes;
use effects::Outgoing;
use rustorium_crypto::{Admitted, Verified};
use rustorium_quorum::{Charge, HeldTally, ReportTally, Tally, TallyEvent, VoteGuard};
use rustorium_storage::RecordKind;
use rustorium_sync::{FetchConfig, Fetcher, GapConfig, GapFetcher};
use rustorium_txpool::{Lanes, Pool};
use rustorium_types::{BlockDigest, Certificate, Hash, Header, Height, Message, PublicKey, ValidatorIndex, View};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

pub use checking::CheckedCertificate;
pub use clocks::BlockAhead;
pub use holdings::Holdings;
pub use homes::LeftOut;
pub use live_records::{JournalSizes, LiveRecords};
pub use ports::{Ended, Ending, Event, Executed, ExecutionJob, FalseBatch, Now, Ports, SignerEvent};
pub use recovery::{Floor, Journaled, Records};
pub use timing::Stage;
pub use work::WorkConfig;

/// How many views beyond the current one a peer's votes and proposals are kept.
const VIEW_WINDOW: u64 = 64;
/// Certificates that stay in memory however large they are.
const CERTIFICATES_WHOLE_MIN: usize = 256;
/// How long a certificate that is lacking may be on its way before it is asked for.
const GAP_GRACE_MS: u64 = 100;

/// How long an input that nobody acts on at once waits for another that wakes the core anyway.
const COMPANY_US: u64 = 5_000;

/// Heights that a node may be behind and still count as synced: it is on its way through them.
const SYNCED_WITHIN: u64 = 16;

/// One shard's data plane.
pub struct Shard<P: Ports> {
    /// The outside.
    pub ports: P,
    context: Arc<Context>,
    config: WorkConfig,
    tree: BlockTree,
    tally: Tally,
    guard: VoteGuard,
    key: stale::KeyState,
    signing: signing::Signing,
    reports: ReportTally,
    held: HeldTally,
    lanes: Lanes,
    pool: Pool,
    fetcher: Fetcher,
    /// Certificates that are lacking above the last final view.
    gap: GapFetcher,
    digests: digests::Digests,
    wanting: wanting::Wanting,
    view: View,
    /// The newest view of which any certificate is known.
    certified_to: View,
    /// Whether this node leads the view.
    leads: bool,
    passed_over: passed_over::PassedOver,
    /// Frames that wait for the disk, each with the journal position that must be on it.
    outbox: VecDeque<(u64, Outgoing)>,
    /// Journal position up to which all records are on disk.
    durable: u64,
    /// The newest record's position.
    appended: u64,
    floor: Floor,
    /// What the journal holds of later epochs: a node whose store was lost goes through the earlier ones again.
    later: Records,
    ending: ending::Ending,
    own_votes: open_votes::OpenVotes,
    /// The view of its own newest proposal.
    own_proposal: Option<View>,
    entered_by: Option<CertificateName>,
    final_target: Option<(View, BlockDigest)>,
    /// The end of a range of blocks that a peer proved final, and the proof.
    proven: Option<(BlockDigest, Verified<Certificate>)>,
    /// The newest block known to be notarized or final: what the next block would extend.
    best_parent: BlockDigest,
    best_parent_view: View,
    roots: BTreeMap<Height, Hash>,
    /// State roots that this node has, by the height after which they stand.
    state_roots: BTreeMap<Height, Hash>,
    /// What members say of the state tree.
    rooted: ReportTally,
    executed: Height,
    /// Finalizations of blocks that are being executed, as frames for followers.
    untold: BTreeMap<Height, Bytes>,
    report_due_us: Option<u64>,
    executed_at_us: Option<u64>,
    /// Whose links are up, members or not.
    linked: BTreeSet<PublicKey>,
    connected: HashSet<ValidatorIndex>,
    /// Whether the core has said that it is in this epoch.
    entered: bool,
    peer_executed: HashMap<ValidatorIndex, Height>,
    signs: signs::Signs,
    clocks: clocks::Clocks,
    homes: homes::Homes,
    served: HashMap<(ValidatorIndex, View), HashSet<ValidatorIndex>>,
    /// Who answered with a batch whose signatures don't verify: is asked first no more.
    liars: HashSet<ValidatorIndex>,
    checks: checking::Checks,
    own_lane: work::OwnLane,
    inputs: Vec<Input>,
    told_listable: bool,
    told_claim: Height,
    told_root: Height,
    told_diverged: bool,
    told_held_by_nobody: Vec<(View, View)>,
    /// Up to this height a client waits for its result to be certified.
    claim_wanted: Height,
    /// Since when a level has changed that the core does not know yet.
    untold_since_us: Option<u64>,
    retained: retained::Retained,
    /// Whether batches may be held that no living block lists, and when to look next, monotonic microseconds.
    sweep_lanes: bool,
    sweep_at_us: Option<u64>,
    recheck: bool,
    recheck_at_us: Option<u64>,
    timing: timing::Timing,
}

impl<P: Ports> Shard<P> {
    fn empty(
        context: Arc<Context>,
        config: WorkConfig,
        ports: P,
        tip: (BlockDigest, Header),
        periods: Periods,
    ) -> Self {
        let n = context.n();
        let committee = context.committee.clone();
        let fetch = FetchConfig {
            timeout_ms: config.fetch_timeout_ms,
            in_flight_max: 256,
            wants_max: 4096,
            per_peer_in_flight_max: 64,
            ..FetchConfig::default()
        };
        let quorum = rustorium_types::quorum(n);
        let gap =
            GapConfig { timeout_ms: config.fetch_timeout_ms, grace_ms: GAP_GRACE_MS, others: quorum.saturating_sub(1) };
        Self {
            ports,
            tally: Tally::above(committee, VIEW_WINDOW, tip.1.view)
                .keeping_whole(config.certificates_bytes_max, CERTIFICATES_WHOLE_MIN),
            guard: VoteGuard::new(),
            key: stale::KeyState::default(),
            signing: signing::Signing::default(),
            reports: ReportTally::new(n, quorum, context.me()),
            held: HeldTally::new(n, quorum),
            lanes: Lanes::for_parameters(n, &context.parameters),
            pool: Pool::new(config.pool.clone(), tip.1.time_ms),
            config,
            fetcher: Fetcher::new(fetch),
            gap: GapFetcher::new(gap, tip.1.view),
            digests: digests::Digests::new(fetch.timeout_ms),
            wanting: wanting::Wanting::default(),
            view: tip.1.view,
            certified_to: tip.1.view,
            leads: false,
            passed_over: passed_over::PassedOver::default(),
            outbox: VecDeque::new(),
            appended: 0,
            floor: Floor::default(),
            later: Records::default(),
            ending: ending::Ending::default(),
            durable: 0,
            own_votes: open_votes::OpenVotes::default(),
            own_proposal: None,
            entered_by: None,
            final_target: None,
            proven: None,
            best_parent: tip.0,
            best_parent_view: tip.1.view,
            tree: BlockTree::new(tip.0, tip.1, periods),
            roots: BTreeMap::new(),
            state_roots: BTreeMap::new(),
            rooted: ReportTally::new(n, quorum, context.me()),
            executed: Height(0),
            untold: BTreeMap::new(),
            report_due_us: None,
            executed_at_us: None,
            linked: BTreeSet::new(),
            connected: HashSet::new(),
            entered: false,
            peer_executed: HashMap::new(),
            signs: signs::Signs::default(),
            clocks: clocks::Clocks::default(),
            homes: homes::Homes::default(),
            served: HashMap::new(),
            liars: HashSet::new(),
            checks: checking::Checks::default(),
            own_lane: work::OwnLane::default(),
            inputs: Vec::new(),
            told_listable: false,
            told_claim: Height(0),
            told_root: Height(0),
            told_diverged: false,
            told_held_by_nobody: Vec::new(),
            claim_wanted: Height(0),
            untold_since_us: None,
            retained: retained::Retained::default(),
            sweep_lanes: false,
            sweep_at_us: None,
            recheck: false,
            recheck_at_us: None,
            timing: timing::Timing::default(),
            context,
        }
    }

    /// Takes one event.
    pub fn handle(&mut self, now: Now, event: Event) {
        self.timing.at(now.us);
        self.retained.live.at(now.us);
        self.checks.at(now);
        match event {
            Event::Peer { from, message, frame, credit } => self.peer_says(now, &from, message, frame, credit),
            Event::Link { node_key, up } => {
                if up {
                    self.linked.insert(node_key);
                } else {
                    self.linked.remove(&node_key);
                }
                match (self.context.place(&node_key), self.seed_place(&node_key)) {
                    (Some(peer), _) => self.on_link(now, peer, up),
                    (None, Some(seed)) if !up => {
                        self.fetcher.disconnected(seed);
                        self.gap.disconnected(seed);
                    }
                    _ => {}
                }
            }
            Event::Replaced { node_key } => self.on_replaced(&node_key),
            Event::BatchChecked { peer, checked, bytes, wanted } => self.on_batch(now, peer, checked, &bytes, wanted),
            Event::CertificateChecked { peer, checked } => self.on_certificate_checked(peer, checked),
            Event::VotesChecked(checked) => self.on_votes_checked(checked),
            Event::InlineChecked { digest, good } => self.on_inline_checked(&digest, good),
            Event::Transactions { transactions, from_client } => {
                self.admit(now, transactions.into_iter().map(Admitted::into_parts), from_client);
            }
            Event::Effects(effects) => effects.into_iter().for_each(|effect| self.apply(now, effect)),
            Event::Durable(position) => self.on_durable(position),
            Event::Executed(executed) => self.on_executed(now, executed),
            Event::Rooted(rooted) => self.on_rooted(now, rooted),
            Event::StoreDurable(height) => self.on_store_durable(height),
            Event::ClaimWanted(height) => {
                self.claim_wanted = self.claim_wanted.max(height);
                self.tell(Input::ClaimWanted(height));
            }
            Event::Signer(event) => self.on_signer(now, event),
            Event::Tick | Event::Stop => {}
        }
    }

    /// How often the timers of all views are doubled, as the core last said.
    pub fn backoff(&self) -> u32 {
        self.config.backoff.unwrap_or_default()
    }

    fn peer_says(&mut self, now: Now, from: &PublicKey, message: Message, frame: Bytes, credit: Credit) {
        let Some(message) = self.of_this_epoch(now, from, message, &frame) else { return };
        match self.context.place(from) {
            Some(peer) => self.on_message(now, peer, message, frame, credit),
            None => self.on_outsider(now, from, message, credit),
        }
    }

    /// Does what is done once for all events of a turn: re-checks, cuts, sends and level-triggered inputs.
    pub fn end_turn(&mut self, now: Now) {
        self.timing.at(now.us);
        self.settle_checks(now);
        self.update_silence(now);
        self.forward_on(now);
        self.pool.open_delayed(now.ms());
        self.cut_batches(now, false);
        self.tell_dropped();
        if self.recheck_at_us.is_some_and(|at| at <= now.us) {
            self.recheck_at_us = None;
            self.recheck = true;
        }
        if std::mem::take(&mut self.recheck) {
            self.recheck_all(now);
        }
        self.sweep_lanes(now);
        self.update_standing(now);
        self.ask_for_end(now);
        self.send_report(now);
        self.poll_fetcher(now);
        self.tell_held_by_nobody();
        self.tell_levels(now);
        let inputs = std::mem::take(&mut self.inputs);
        if !inputs.is_empty() {
            self.ports.inputs(inputs);
        }
        self.signs.promise(self.next_deadline_us(now));
    }

    fn tell(&mut self, input: Input) {
        self.inputs.push(input);
    }

    /// When `Tick` is wanted next, in monotonic microseconds.
    pub fn next_deadline_us(&self, now: Now) -> Option<u64> {
        let silence = self.signs.next_silence_us(self.config.heartbeat_us);
        let fetch = self.fetcher.next_deadline_ms().map(|ms| ms * 1000);
        let gap = self.gap.next_deadline_ms().map(|ms| ms * 1000);
        let told = self.digests.next_deadline_us();
        let delayed = self.pool.next_delayed_ms().into_iter().chain(self.homes.next_due_ms()).min().map(|at| at * 1000);
        let cut = self.own_lane.cut_due_us;
        let levels = self.untold_since_us.map(|since| since + COMPANY_US);
        let ask = self.ask_due_us();
        let checks = self.checks.next_due_us(now);
        let end = self.next_end_us(now);
        let sweep = self.sweep_at_us;
        let (report, recheck) = (self.report_due_us, self.recheck_at_us);
        [silence, fetch, gap, told, delayed, cut, levels, ask, report, recheck, sweep, checks, end]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_tally(&mut self, events: Vec<TallyEvent>) {
        for event in events {
            match event {
                TallyEvent::Formed(certificate) => self.on_certificate(&certificate),
                TallyEvent::NullifiesSeen(view) => self.tell(Input::NullifiesSeen(view)),
                TallyEvent::Evidence(evidence) => self.ports.evidence(evidence),
                TallyEvent::BadSignature(peer) => self.charge(peer, Charge::Vote),
                TallyEvent::Check(votes) => self.ports.check_votes(votes),
            }
        }
    }

    fn append(&mut self, kind: RecordKind, payload: &[u8]) -> u64 {
        self.appended = self.ports.append(kind, payload);
        self.retained.live.appended(self.appended, payload.len());
        self.appended
    }

    /// Remembers the newest certified block as what the next one would extend.
    fn consider_parent(&mut self, view: View, digest: BlockDigest) {
        if view >= self.best_parent_view {
            self.best_parent_view = view;
            self.best_parent = digest;
        }
    }

    fn tell_block(&mut self, digest: &BlockDigest) {
        let Some(entry) = self.tree.get_mut(digest) else { return };
        if entry.told != Some(entry.status) {
            entry.told = Some(entry.status);
            let facts = crate::port::BlockFacts::of(*digest, &entry.block.header);
            let status = entry.status;
            self.tell(Input::BlockSeen(facts, status));
        }
    }

    /// Tells the core what changed of the levels: at once where it acts on that or is woken anyway, else after a while.
    fn tell_levels(&mut self, now: Now) {
        let listable = self.listable();
        self.timing.work(listable);
        let claim = self.reports.claimable().map(|report| report.height).filter(|claim| *claim > self.told_claim);
        let root = self.rooted.claimable().map(|report| report.height).filter(|root| *root > self.told_root);
        let due = self.end_due(now);
        let diverged = self.reports.diverged().or(self.rooted.diverged()).filter(|_| !self.told_diverged);
        let end_changed = due != self.ending.told;
        if listable == self.told_listable && claim.is_none() && root.is_none() && diverged.is_none() && !end_changed {
            self.untold_since_us = None;
            return;
        }
        let leads_to_work = listable && !self.told_listable && self.leads;
        let urgent = leads_to_work || self.told_claim < self.claim_wanted && claim.is_some() || diverged.is_some();
        let since = *self.untold_since_us.get_or_insert(now.us);
        if self.inputs.is_empty() && !urgent && now.us < since + COMPANY_US {
            return;
        }
        self.untold_since_us = None;
        if listable != self.told_listable {
            self.told_listable = listable;
            // Before the certificate of the same turn: else the next leader would still believe in work that the
            // certified block has just listed, and propose an empty block.
            let place = usize::from(matches!(self.inputs.first(), Some(Input::Recovered { .. })));
            self.inputs.insert(place, Input::WorkSeen(listable));
        }
        if let Some(height) = claim {
            self.told_claim = height;
            self.tell(Input::ClaimReady(height));
        }
        if let Some(height) = root {
            self.told_root = height;
            self.tell(Input::RootReady(height));
        }
        if end_changed {
            self.ending.told = due;
            self.tell(Input::EndDue(due));
        }
        if let Some(height) = diverged {
            self.told_diverged = true;
            self.tell(Input::Diverged(height));
        }
    }

    /// The shard's view, for status.
    pub fn view(&self) -> View {
        self.view
    }

    /// Batches of each lane that it holds without a gap.
    pub fn held_lanes(&self) -> Vec<u64> {
        self.lanes.held()
    }

    /// Transactions and bytes in the pool, for back-pressure at the gateway.
    pub fn pool_size(&self) -> (usize, u64) {
        (self.pool.len(), self.pool.bytes())
    }

    /// Whether this node has executed about as far as its peers say: at least one honest one among those who count has.
    /// Not known, and so not true, before a quorum with this node has reported.
    /// Who only follows hears few reports, but of every final block: with that it compares itself.
    pub fn synced(&self) -> bool {
        let committee = &self.context.committee;
        let told = self.tally.best_finalization().map(|best| best.body.view).filter(|_| committee.me.is_none());
        if let Some(told) = told {
            let behind = self.tree.root().1.height.0.saturating_sub(self.executed.0);
            return self.tree.root().1.view.0 + SYNCED_WITHIN >= told.0 && behind <= SYNCED_WITHIN;
        }
        let mut heights: Vec<Height> = self.peer_executed.values().copied().collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        let enough = heights.len() + 1 >= committee.quorum();
        let honest = heights.get(committee.faults()).copied().unwrap_or_default();
        enough && self.executed.0 + SYNCED_WITHIN >= honest.0
    }

    /// The peers whose links are up.
    pub fn connected(&self) -> Vec<ValidatorIndex> {
        let mut peers: Vec<_> = self.connected.iter().copied().collect();
        peers.sort_unstable();
        peers
    }

    /// Members of the committee, other than this node, whose link is down or whose core was not heard of late.
    pub fn missing(&self) -> usize {
        let members = (0..self.context.n() as u16).map(ValidatorIndex).filter(|peer| !self.context.is_me(*peer));
        members.filter(|peer| !self.connected.contains(peer) || self.signs.is_silent(*peer)).count()
    }

    fn status_of(&self, digest: &BlockDigest) -> Option<PayloadStatus> {
        self.tree.get(digest).map(|entry| entry.status)
    }
}
