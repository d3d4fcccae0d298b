//! The way in of frames and links: each becomes an event of a shard, work of its serving thread, or nothing.

use crate::guarded;
use crate::links::Links;
use crate::outside::routing::{Route, SenderRights, route};
use crate::outside::{Question, Questions};
use crate::statesync::filling::Filling;
use parking_lot::{Mutex, RwLock};
use rustorium_shard::Event;
use rustorium_shard::senders::Credit;
use rustorium_stages::inbox::Inbox;
use rustorium_stages::queue::Queue;
use rustorium_transport::{Frame, Handler};
use rustorium_types::{Hash, Message, PublicKey, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

/// A shard's way in.
pub(crate) struct Inlet {
    pub(crate) events: Arc<Queue<Event>>,
    pub(crate) links: Arc<Links>,
    pub(crate) questions: Arc<Questions>,
    /// For failures.
    pub(crate) inbox: Arc<Inbox>,
}

/// The way in of a hosted shard that runs, or whose store is being filled.
enum WayIn {
    Runs(Inlet),
    Fills(Arc<Filling>),
}

/// The transport's handler, which all shards of a process share. Shards come and go while the links stay.
pub(crate) struct Inbound {
    ways: RwLock<BTreeMap<ShardId, WayIn>>,
    /// Node keys whose links are up.
    up: Mutex<BTreeSet<PublicKey>>,
    /// True if anybody may submit transactions.
    open: bool,
    /// The shared part that panicked, if one did.
    panicked: OnceLock<&'static str>,
}

impl Inbound {
    /// Creates a handler without shards. `open`: anybody may submit transactions.
    pub(crate) fn new(open: bool) -> Self {
        Self { ways: RwLock::default(), up: Mutex::default(), open, panicked: OnceLock::new() }
    }

    /// Passes frames and links on to a shard from now on, and first the links that are up.
    pub(crate) fn attach(&self, shard: ShardId, inlet: Inlet) {
        self.begin(shard, WayIn::Runs(inlet));
    }

    /// Passes frames and links on to the filling of a shard's store from now on, and first the links that are up.
    pub(crate) fn attach_filling(&self, shard: ShardId, filling: Arc<Filling>) {
        self.begin(shard, WayIn::Fills(filling));
    }

    fn begin(&self, shard: ShardId, way: WayIn) {
        let mut ways = self.ways.write();
        for node_key in &*self.up.lock() {
            way.link(node_key, true);
        }
        ways.insert(shard, way);
    }

    /// Drops a shard's frames from now on. Its peers send again what it must know.
    pub(crate) fn detach(&self, shard: ShardId) {
        self.ways.write().remove(&shard);
    }

    /// Ends the filling of all stores that are being filled.
    pub(crate) fn stop_fillings(&self) {
        for way in self.ways.read().values() {
            if let WayIn::Fills(filling) = way {
                filling.stop();
            }
        }
    }

    /// Returns the shared part that panicked. `None` if none did.
    pub(crate) fn panicked(&self) -> Option<&'static str> {
        self.panicked.get().copied()
    }
}

impl WayIn {
    fn link(&self, node_key: &PublicKey, up: bool) {
        match self {
            Self::Runs(inlet) => {
                inlet.links.set(node_key, up);
                inlet.events.push(Event::Link { node_key: *node_key, up });
            }
            Self::Fills(filling) => filling.link(node_key, up),
        }
    }

    fn inlet(&self) -> Option<&Inlet> {
        match self {
            Self::Runs(inlet) => Some(inlet),
            Self::Fills(_) => None,
        }
    }
}

impl Handler for Inbound {
    fn frame(&self, frame: Frame) {
        let ways = self.ways.read();
        let inlet = match ways.get(&frame.shard) {
            Some(WayIn::Runs(inlet)) => inlet,
            Some(WayIn::Fills(filling)) => return filling.frame(frame),
            // The shard ended, and is started again: the transport refuses streams of shards that aren't hosted.
            None => return,
        };
        let Frame { from, bytes, credit, .. } = frame;
        let credit = Credit::of(credit);
        let message = match Message::from_frame(frame.class, &bytes) {
            Ok(message) => message,
            Err(error) => return tracing::warn!(event = "frame_refused", peer = %Hash(from), reason = %error),
        };
        let (standing, epoch) = (inlet.links.standing(&from), inlet.links.context().epoch());
        let allowed = SenderRights {
            shows_end: &|| inlet.links.take_asked(&from),
            submits: &|| self.open || inlet.links.guests().is_named(&from),
        };
        match route(standing, epoch, &allowed, message) {
            Route::Shard(message) => inlet.events.push(Event::Peer { from, message, frame: bytes, credit }),
            Route::Serve(work) => inlet.questions.push(Question { from, standing, work, credit }),
            Route::Drop => {}
        }
    }

    fn link(&self, node_key: &PublicKey, up: bool) {
        let ways = self.ways.read();
        let event = if up { "link_up" } else { "link_down" };
        let places = ways.values().filter_map(|way| way.inlet()?.links.place(node_key));
        match places.min() {
            Some(peer) => tracing::info!(event, peer = peer.0),
            None => tracing::info!(event, follower = %Hash(*node_key)),
        }
        let mut links = self.up.lock();
        if up {
            links.insert(*node_key);
        } else {
            links.remove(node_key);
        }
        ways.values().for_each(|way| way.link(node_key, up));
    }

    fn replaced(&self, node_key: &PublicKey) {
        tracing::warn!(event = "link_replaced", peer = %Hash(*node_key), "another process connects with this node's key");
        let told = || Event::Replaced { node_key: *node_key };
        self.ways.read().values().filter_map(WayIn::inlet).for_each(|inlet| inlet.events.push(told()));
    }

    fn panicked(&self, part: &'static str) {
        // No shard can go on without its links.
        self.panicked.get_or_init(|| part);
        self.ways.read().values().for_each(|way| match way {
            WayIn::Runs(inlet) => guarded::stop_process(&inlet.inbox, part),
            WayIn::Fills(filling) => filling.panicked(),
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use parking_lot::{MappedRwLockReadGuard, RwLockReadGuard};
    use rustorium_crypto::SigningKey;
    use rustorium_shard::context::Context;
    use rustorium_transport::Credit;
    use rustorium_types::{
        BoundedBytes, BoundedVec, Certificate, Epoch, Genesis, Height, NEWEST_VERSION, Parameters, Report, Request,
        Response, ShardId, Validator, View, VoteBody, VoteKind,
    };
    use std::collections::VecDeque;
    use std::time::Duration;

    const MEMBER: PublicKey = [1; 32];
    const STRANGER: PublicKey = [9; 32];

    fn inbound() -> Inbound {
        let validator = |index: u8| Validator {
            name: BoundedBytes::default(),
            validator_key: [index + 100; 32],
            node_key: [index; 32],
            owner_key: [index; 32],
            region: 0,
            address: BoundedBytes::default(),
        };
        let genesis = Genesis {
            version: NEWEST_VERSION,
            name: BoundedBytes::default(),
            time_ms: 0,
            parameters: Parameters::default(),
            validators: BoundedVec::new((0..4).map(validator).collect()).unwrap(),
            accounts: BoundedVec::default(),
            pools: BoundedVec::default(),
            sponsors: BoundedVec::default(),
            shards: BoundedVec::default(),
        };
        let context = Arc::new(Context::new(&genesis, ShardId::ROOT, SigningKey::from_seed(&[1; 32])));
        let links = Arc::new(Links::new(context, [0; 32], BTreeMap::new()));
        let inbox = Arc::<Inbox>::default();
        let inlet = Inlet { events: Arc::default(), links, questions: Arc::default(), inbox };
        let inbound = Inbound::new(true);
        inbound.attach(ShardId::ROOT, inlet);
        inbound
    }

    fn root(inbound: &Inbound) -> MappedRwLockReadGuard<'_, Inlet> {
        RwLockReadGuard::map(inbound.ways.read(), |ways| ways[&ShardId::ROOT].inlet().unwrap())
    }

    /// Returns how many of a peer's frames reach the shard.
    fn heard(inbound: &Inbound, from: PublicKey, messages: impl IntoIterator<Item = Message>) -> usize {
        for message in messages {
            let (class, bytes) = (message.class(), message.to_frame().into());
            inbound.frame(Frame { from, shard: ShardId::ROOT, class, bytes, credit: Credit::default() });
        }
        let mut events = VecDeque::new();
        root(inbound).events.take(Some(Duration::ZERO), &mut events);
        events.len()
    }

    fn certificate(epoch: Epoch) -> Message {
        let context = root(&inbound()).links.context();
        let (chain, shard, view) = (context.committee.chain, context.committee.shard, View(1));
        let (kind, block) = (VoteKind::Nullify, rustorium_types::BlockDigest::ZERO);
        let body = VoteBody { chain, shard, epoch, view, kind, block };
        Message::Certificate(Box::new(Certificate { body, signatures: BoundedVec::default() }))
    }

    fn all_kinds() -> Vec<Message> {
        vec![
            Message::Report(Report::default()),
            Message::Transactions(BoundedVec::default()),
            Message::Request { id: 1, request: Request::FinalBlocks { first: Height(1), count: 256 } },
            Message::Request { id: 2, request: Request::EpochEnd(Epoch(0)) },
            Message::Request { id: 3, request: Request::Block(rustorium_types::BlockDigest::ZERO) },
            Message::Request { id: 4, request: Request::OwnSignatures { next_seq: 0 } },
            Message::Response { id: 5, response: Response::NotHeld },
            certificate(Epoch(0)),
            certificate(Epoch(1)),
        ]
    }

    #[test]
    fn a_shard_that_comes_back_learns_which_links_are_up_and_hears_from_then_on() {
        let inbound = inbound();
        inbound.link(&MEMBER, true);
        inbound.link(&STRANGER, true);
        inbound.link(&STRANGER, false);
        let Some(WayIn::Runs(Inlet { events, links, questions, inbox })) = inbound.ways.write().remove(&ShardId::ROOT)
        else {
            unreachable!("it runs")
        };
        assert_eq!(events.len(), 3);
        let frame = Message::Report(Report::default());
        let (class, bytes) = (frame.class(), frame.to_frame().into());
        inbound.frame(Frame { from: MEMBER, shard: ShardId::ROOT, class, bytes, credit: Credit::default() });
        assert_eq!(events.len(), 3, "nobody is there");
        let links = Arc::new(Links::new(links.context(), [0; 32], BTreeMap::new()));
        inbound.attach(ShardId::ROOT, Inlet { events: Arc::default(), links, questions, inbox });
        let mut told = VecDeque::new();
        root(&inbound).events.take(Some(Duration::ZERO), &mut told);
        assert!(matches!(told.make_contiguous(), [Event::Link { node_key: MEMBER, up: true }]));
        assert_eq!(root(&inbound).links.followers(), 0);
        assert_eq!(heard(&inbound, MEMBER, [Message::Report(Report::default())]), 1);
    }

    #[test]
    fn nothing_that_a_stranger_sends_waits_with_what_consensus_needs() {
        assert_eq!(heard(&inbound(), STRANGER, all_kinds()), 0);
    }

    #[test]
    fn a_members_questions_about_history_are_answered_elsewhere_and_the_rest_is_heard() {
        let inbound = inbound();
        assert_eq!(heard(&inbound, MEMBER, all_kinds()), all_kinds().len() - 2);
        assert_eq!(root(&inbound).questions.len(), 2);
    }

    #[test]
    fn of_a_guest_the_shard_hears_of_a_later_epoch_alone() {
        let inbound = inbound();
        root(&inbound).links.guests().set_named([STRANGER].into());
        assert_eq!(heard(&inbound, STRANGER, all_kinds()), 1);
    }

    #[test]
    fn transactions_are_taken_of_anybody_where_submitting_is_open_and_else_of_named_keys() {
        let mut inbound = inbound();
        let transactions = || [Message::Transactions(BoundedVec::default())];
        heard(&inbound, STRANGER, transactions());
        assert_eq!(root(&inbound).questions.len(), 1);
        inbound.open = false;
        heard(&inbound, STRANGER, transactions());
        assert_eq!(root(&inbound).questions.len(), 1);
        root(&inbound).links.guests().set_target([STRANGER].into());
        heard(&inbound, STRANGER, transactions());
        assert_eq!(root(&inbound).questions.len(), 1, "a newcomer isn't one whom the owner named");
        root(&inbound).links.guests().set_named([STRANGER].into());
        heard(&inbound, STRANGER, transactions());
        assert_eq!(root(&inbound).questions.len(), 2);
    }
}
