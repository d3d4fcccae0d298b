//! Tests of streams of several shards on one link.

use super::*;
use crate::framing::ShardHello;
use rustorium_types::{ShardId, link_version};

const SHARD: ShardId = ShardId(7);

/// A committee's member that hosts `SHARD`, with the same committee in it.
fn hosting(committee: &mut Committee, me: u16) -> Node {
    let node = committee.start_with(Config { shards: [SHARD].into(), ..committee.config(me) });
    let all: Vec<u16> = (0..committee.keys.len() as u16).collect();
    node.transport.for_shard(SHARD).set_peers(Some(index(me)), &committee.peers(&all)).unwrap();
    node
}

/// Two nodes that host `SHARD`, linked.
async fn hosting_pair() -> (Committee, Node, Node) {
    let mut committee = Committee::new(2);
    let (mut a, mut b) = (hosting(&mut committee, 0), hosting(&mut committee, 1));
    a.link(true).await;
    b.link(true).await;
    (committee, a, b)
}

fn send(node: &Node, shard: ShardId, class: Class, bytes: &'static [u8]) -> Result<(), SendError> {
    node.transport.for_shard(shard).send_to(&node.peer(), class, Bytes::from_static(bytes))
}

impl Node {
    /// The other node of a pair.
    fn peer(&self) -> PublicKey {
        self.transport.status()[0].node_key
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_come_under_their_shard_and_each_shards_in_order() {
    let (_committee, a, mut b) = hosting_pair().await;
    for number in 0..50u8 {
        for shard in [ShardId::ROOT, SHARD] {
            let frame = Bytes::copy_from_slice(&[number]);
            a.transport.for_shard(shard).send(index(1), Class::Consensus, frame).unwrap();
        }
    }
    let mut got: BTreeMap<ShardId, Vec<u8>> = BTreeMap::new();
    for _ in 0..100 {
        let frame = b.frame().await;
        got.entry(frame.shard).or_default().push(frame.bytes[0]);
    }
    let all: Vec<u8> = (0..50).collect();
    assert_eq!(got, BTreeMap::from([(ShardId::ROOT, all.clone()), (SHARD, all)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_stops_reading_does_not_delay_another_one() {
    let mut committee = Committee::new(2);
    let mut a = hosting(&mut committee, 0);
    let mut queue_frames = Config::QUEUES.0;
    queue_frames[Class::Data as usize] = 2;
    let config = Config { shards: [SHARD].into(), queue_frames, ..committee.config(1) };
    let mut b = committee.start_with(config);
    a.link(true).await;
    b.link(true).await;
    for _ in 0..20 {
        send(&a, SHARD, Class::Data, b"of the shard").unwrap();
    }
    let held = [b.frame().await, b.frame().await];
    assert!(held.iter().all(|frame| frame.shard == SHARD));
    send(&a, ShardId::ROOT, Class::Data, b"of the root").unwrap();
    assert_eq!(&b.frame().await.bytes[..], b"of the root");
    drop(held);
    assert_eq!(b.frame().await.shard, SHARD, "it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_release_before_shards_has_the_root_shards_link() {
    for newest in [link_version::FIRST, link_version::DIGESTS] {
        let mut committee = Committee::new(2);
        let mut a = hosting(&mut committee, 0);
        let versions = Versions { newest, oldest: link_version::FIRST };
        let mut b = committee.start_with(Config { versions, ..committee.config(1) });
        a.link(true).await;
        b.link(true).await;
        assert_eq!(a.transport.version(&committee.key(1)), newest);
        assert_eq!(send(&a, SHARD, Class::Data, b"x"), Err(SendError::Down));
        send(&a, ShardId::ROOT, Class::Data, b"down").unwrap();
        assert_eq!(&b.frame().await.bytes[..], b"down");
        b.send(0, Class::Sync, Bytes::from_static(b"up"));
        let frame = a.frame().await;
        assert_eq!((frame.shard, &frame.bytes[..]), (ShardId::ROOT, &b"up"[..]));
    }
}

async fn further(peer: &RawPeer, hello: &[u8]) -> SendStream {
    let mut stream = within(peer.connection.open_uni()).await.unwrap();
    stream.write_all(hello).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_a_shard_that_is_not_hosted_is_refused_and_the_link_stays() {
    let mut committee = Committee::new(2);
    let mut b = hosting(&mut committee, 1);
    let mut peer = RawPeer::greet_well(&committee).await;
    b.link(true).await;
    for other in 100..120 {
        let hello = ShardHello { shard: ShardId(other), class: Class::Data }.to_bytes();
        let stream = further(&peer, &hello).await;
        assert_eq!(within(stream.stopped()).await.unwrap(), Some(1u32.into()));
    }
    peer.streams[Class::Data as usize].write_all(b"\x02\0\0\0ok").await.unwrap();
    assert_eq!(&b.frame().await.bytes[..], b"ok");
    let mut text = String::new();
    let mut registry = prometheus_client::registry::Registry::default();
    b.transport.metrics().register(&mut registry);
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("rustorium_transport_unhosted_streams_total 20"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_learns_that_its_peer_does_not_host_a_shard() {
    let mut committee = Committee::new(2);
    let mut a = hosting(&mut committee, 0);
    let mut b = committee.start(1);
    a.link(true).await;
    b.link(true).await;
    let down = async {
        while send(&a, SHARD, Class::Data, b"x") != Err(SendError::Down) {
            tokio::task::yield_now().await;
        }
    };
    within(down).await;
    send(&a, ShardId::ROOT, Class::Data, b"still there").unwrap();
    assert_eq!(&b.frame().await.bytes[..], b"still there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_opens_no_more_streams_than_the_hosted_shards_need_and_three() {
    let mut committee = Committee::new(2);
    let mut b = hosting(&mut committee, 1);
    let peer = RawPeer::greet_well(&committee).await;
    b.link(true).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(within(peer.connection.open_uni()).await.unwrap());
    }
    tokio::select! {
        biased;
        _ = peer.connection.open_uni() => panic!("one more"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_further_stream_with_a_bad_greeting_ends_the_link() {
    let again = ShardHello { shard: SHARD, class: Class::Data }.to_bytes();
    let root = ShardHello { shard: ShardId::ROOT, class: Class::Data }.to_bytes();
    let cases: [&[&[u8]]; 3] = [&[&again[..], &again[..]], &[&root[..]], &[&b"RSTM\x00\x01\x00\x00\x00"[..]]];
    for hellos in cases {
        let mut committee = Committee::new(2);
        let mut b = hosting(&mut committee, 1);
        let peer = RawPeer::greet_well(&committee).await;
        b.link(true).await;
        let mut streams = Vec::new();
        for hello in hellos {
            streams.push(further(&peer, hello).await);
        }
        assert_eq!(peer.closed_with().await.0, CloseCode::BadHello);
        b.link(false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_of_two_committees_are_told_apart() {
    let mut committee = Committee::new(3);
    let (mut a, mut b, mut c) = (hosting(&mut committee, 0), hosting(&mut committee, 1), hosting(&mut committee, 2));
    for node in [&mut a, &mut b, &mut c] {
        node.link(true).await;
        node.link(true).await;
    }
    // In the shard, node 2 has place 0, and node 1 isn't a member.
    let of_shard = a.transport.for_shard(SHARD);
    of_shard.set_peers(Some(index(1)), &committee.peers(&[2, 0])).unwrap();
    assert_eq!(of_shard.broadcast(Class::Data, Bytes::from_static(b"to all members")), 1);
    assert_eq!(&c.frame().await.bytes[..], b"to all members");
    of_shard.send(index(0), Class::Data, Bytes::from_static(b"to place 0")).unwrap();
    assert_eq!(&c.frame().await.bytes[..], b"to place 0");
    // Node 1 also leaves the root shard's committee, and its link ends.
    a.transport.set_peers(Some(index(0)), &committee.peers(&[0, 2])).unwrap();
    b.link(false).await;
    a.transport.send(index(1), Class::Data, Bytes::from_static(b"root")).unwrap();
    assert_eq!(c.frame().await.shard, ShardId::ROOT);
    // Figures call a link after the root shard's place, and else after the place in another shard.
    let named = |name| a.transport.shared.roster.named().into_iter().map(|(name, _)| name).eq([name]);
    assert!(named("1"));
    a.transport.set_peers(Some(index(0)), &committee.peers(&[0])).unwrap();
    assert!(named("7/0"));
}
