//! Tests of committees that change while links are in use, and of nodes outside them.

use super::*;

const FOLLOWERS: FollowerLimits =
    FollowerLimits { frames_per_s: 1_000, read_bytes_per_s: 1 << 24, ..FollowerLimits::open(2) };

/// Starts a node of a committee of `members`. The node may be one of them.
fn node(committee: &mut Committee, node: u16, members: &[u16]) -> Node {
    let mut config = committee.config(node);
    config.followers = FOLLOWERS;
    config.me = place(node, members);
    config.peers = committee.peers(members);
    committee.start_with(config)
}

fn place(node: u16, members: &[u16]) -> Option<ValidatorIndex> {
    members.iter().position(|member| *member == node).map(|place| index(place as u16))
}

fn set(committee: &Committee, of: &Node, node: u16, members: &[u16]) {
    of.transport.set_peers(place(node, members), &committee.peers(members)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_of_keys_that_stay_live_on_under_new_places() {
    let mut committee = Committee::new(3);
    let mut nodes: Vec<_> = (0..3).map(|i| node(&mut committee, i, &[0, 1, 2])).collect();
    for node in &mut nodes {
        node.link(true).await;
        node.link(true).await;
    }
    // Places change on one node after the other: nodes with the new committee talk with nodes with the old one.
    for i in 0..3 {
        set(&committee, &nodes[usize::from(i)], i, &[2, 1, 0]);
        nodes[0].transport.send_to(&committee.key(2), Class::Data, Bytes::from(vec![i as u8])).unwrap();
        let frame = nodes[2].frame().await;
        assert_eq!((frame.from, frame.bytes[0]), (committee.key(0), i as u8));
    }
    nodes[0].send(0, Class::Data, Bytes::from_static(b"by the new place"));
    assert_eq!(&nodes[2].frame().await.bytes[..], b"by the new place");
    assert_eq!(nodes[0].transport.send(index(2), Class::Data, Bytes::new()), Err(SendError::NoSuchPeer));
    for node in &mut nodes {
        assert!(node.transport.status().iter().all(|link| link.up && link.reconnects == 0));
        assert!(node.events.try_recv().is_err(), "no link went down");
    }
    let places: Vec<_> = nodes[1].transport.status().iter().map(|link| link.index.unwrap().0).collect();
    assert_eq!(places, [0, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_member_is_dialed_and_one_that_left_is_closed() {
    let mut committee = Committee::new(3);
    let mut a = node(&mut committee, 0, &[0, 1]);
    let mut b = node(&mut committee, 1, &[0, 1]);
    a.link(true).await;
    b.link(true).await;
    let mut c = node(&mut committee, 2, &[0, 2]);
    set(&committee, &a, 0, &[0, 2]);
    // Two tasks end the old link and start the new one: either may be first.
    let mut changes = vec![(committee.key(1), false), (committee.key(2), true)];
    while !changes.is_empty() {
        let Event::Link(of, up) = a.next().await else { continue };
        let place = changes.iter().position(|change| *change == (of, up)).expect("a change that was due");
        changes.remove(place);
    }
    b.link_of(&committee.key(0), false).await;
    let error = b.transport.status()[0].last_error.clone().unwrap_or_default();
    assert!(error.contains("the committee or who may follow changed"), "{error}");
    c.link_of(&committee.key(0), true).await;
    assert!(a.transport.status()[0].up);
    assert_eq!(a.transport.status()[0].node_key, committee.key(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committee_that_cannot_be_is_refused_and_the_old_one_stays() {
    let (a, mut b) = pair().await;
    let committee = Committee::new(2);
    let mut twice = committee.peers(&[0, 1]);
    twice[1].index = index(0);
    assert!(matches!(a.transport.set_peers(None, &twice), Err(TransportError::WrongIdentity { .. })));
    let mut twice = committee.peers(&[0, 1, 1]);
    twice[2].index = index(2);
    let refused = a.transport.set_peers(Some(index(0)), &twice);
    assert!(matches!(refused, Err(TransportError::DuplicatePeer { index: ValidatorIndex(2) })));
    a.send(1, Class::Data, Bytes::from_static(b"still"));
    assert_eq!(&b.frame().await.bytes[..], b"still");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_an_address_dials() {
    for (addressed, bare) in [(0, 1), (1, 0)] {
        let mut committee = Committee::new(2);
        let mut config = committee.config(addressed);
        config.peers[usize::from(bare)].address = None;
        let mut a = committee.start_with(config);
        let mut b = committee.start(bare);
        a.link(true).await;
        b.link(true).await;
        a.send(bare, Class::Data, Bytes::from_static(b"hello"));
        assert_eq!(&b.frame().await.bytes[..], b"hello");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_s_name_is_resolved() {
    let mut committee = Committee::new(2);
    let mut config = committee.config(0);
    let port = committee.addresses[1].port();
    config.peers[1].address = Some(PeerAddress::parse(&format!("localhost:{port}")).unwrap());
    let (mut a, mut b) = (committee.start_with(config), committee.start(1));
    a.link(true).await;
    b.link(true).await;
    let mut config = committee.config(0);
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.peers[1].address = Some(PeerAddress::parse("no-such-host.invalid:7").unwrap());
    let (sender, _events) = unbounded_channel();
    let lost = Transport::start(config, Arc::new(Recorder(sender)), &Handle::current()).unwrap();
    within(async {
        while lost.status()[0].last_error.as_ref().is_none_or(|why| !why.contains("check the peer's address")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Runs the test in either order of keys: node 1 is the one outside.
async fn follows(member: u16, follower: u16) {
    let mut committee = Committee::new(2);
    let mut a = node(&mut committee, member, &[member]);
    let mut f = node(&mut committee, follower, &[member]);
    a.link_of(&committee.key(follower), true).await;
    f.link_of(&committee.key(member), true).await;
    f.send(0, Class::Sync, Bytes::from_static(b"question"));
    let frame = a.frame().await;
    assert_eq!((frame.from, &frame.bytes[..]), (committee.key(follower), &b"question"[..]));
    a.transport.send_to(&frame.from, Class::Sync, Bytes::from_static(b"answer")).unwrap();
    assert_eq!(&f.frame().await.bytes[..], b"answer");
    assert_eq!(a.transport.broadcast(Class::Consensus, Bytes::from_static(b"vote")), 0);
    assert_eq!(a.transport.broadcast_followers(Class::Consensus, Bytes::from_static(b"final")), 1);
    assert_eq!(&f.frame().await.bytes[..], b"final");
    let followers = a.transport.followers();
    assert!(a.transport.status().is_empty() && followers[0].up && followers[0].index.is_none());

    // The follower becomes a member, which the two nodes learn one after the other, and leaves again.
    let both = [member, follower];
    set(&committee, &a, member, &both);
    a.link_of(&committee.key(follower), false).await;
    a.link_of(&committee.key(follower), true).await;
    assert!(a.transport.followers().is_empty() && a.transport.status()[0].up);
    f.link_of(&committee.key(member), false).await;
    f.link_of(&committee.key(member), true).await;
    set(&committee, &f, follower, &both);
    a.send(1, Class::Consensus, Bytes::from_static(b"welcome"));
    assert_eq!(&f.frame().await.bytes[..], b"welcome");
    set(&committee, &a, member, &[member]);
    a.link_of(&committee.key(follower), false).await;
    a.link_of(&committee.key(follower), true).await;
    assert!(a.transport.followers()[0].up);
    f.link_of(&committee.key(member), false).await;
    f.link_of(&committee.key(member), true).await;
    f.send(0, Class::Sync, Bytes::from_static(b"again"));
    assert_eq!(&a.frame().await.bytes[..], b"again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_outside_the_committee_follows_joins_and_leaves() {
    follows(0, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_lower_key_outside_the_committee_follows_joins_and_leaves() {
    follows(1, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_followers_than_allowed_are_refused_with_the_reason() {
    let mut committee = Committee::new(5);
    let mut a = node(&mut committee, 0, &[0, 4]);
    let mut followers: Vec<_> = Vec::new();
    for i in 1..3 {
        followers.push(node(&mut committee, i, &[0]));
        a.link_of(&committee.key(i), true).await;
    }
    let mut late = node(&mut committee, 3, &[0]);
    assert_eq!(a.refusal().await, Refusal::FollowersFull(2));
    let told = late.refusal().await;
    assert!(matches!(told, Refusal::ByPeer { code: CloseCode::FollowersFull, .. }), "{told}");
    // A validator still gets in, and a stranger takes a place that becomes free.
    let mut validator = node(&mut committee, 4, &[0, 4]);
    validator.link(true).await;
    within(followers.remove(0).transport.close()).await;
    late.link_of(&committee.key(0), true).await;
    assert_eq!(a.transport.followers().len(), 2);
}

/// Connects nodes with unknown keys. Each connection is idle.
async fn crowd(committee: &Committee, target: u16, count: u8) -> Vec<(Endpoint, Connection)> {
    let mut crowd = Vec::new();
    for i in 0..count {
        let stranger = SigningKey::from_seed(&[100 + i; 32]);
        let client = tls::peer_client_config(&stranger, &committee.key(target)).unwrap();
        if let Ok(one) = raw_connect(client, committee.addresses[usize::from(target)]).await {
            crowd.push(one);
        }
    }
    crowd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_identities_keeps_no_validator_out() {
    let mut committee = Committee::new(2);
    let mut a = node(&mut committee, 0, &[0, 1]);
    let flood = crowd(&committee, 0, 100).await;
    assert!(flood.len() > 20, "many got through the handshake: {}", flood.len());
    // All except the admitted strangers are refused.
    within(async {
        while flood.iter().filter(|(_, one)| one.close_reason().is_none()).count() > FOLLOWERS.strangers_max {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(a.transport.followers().len() <= FOLLOWERS.strangers_max);
    let mut b = node(&mut committee, 1, &[0, 1]);
    b.link(true).await;
    b.send(0, Class::Consensus, Bytes::from_static(b"vote"));
    let frame = a.frame().await;
    assert_eq!((frame.from, &frame.bytes[..]), (committee.key(1), &b"vote"[..]));
}

fn guests(committee: &Committee, nodes: &[u16]) -> BTreeSet<PublicKey> {
    nodes.iter().map(|node| committee.key(*node)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_is_admitted_despite_any_number_of_idle_strangers() {
    let mut committee = Committee::new(4);
    let mut a = node(&mut committee, 0, &[0]);
    let _strangers: Vec<_> = (1..3).map(|i| node(&mut committee, i, &[0])).collect();
    a.link(true).await;
    a.link(true).await;
    a.transport.set_guests(guests(&committee, &[3]));
    let mut newcomer = node(&mut committee, 3, &[0]);
    newcomer.link_of(&committee.key(0), true).await;
    assert_eq!(a.transport.followers().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_no_stranger_may_follow_only_guests_are_admitted_while_they_are_guests() {
    let mut committee = Committee::new(3);
    let mut config = committee.config(0);
    config.peers = committee.peers(&[0]);
    config.guests = guests(&committee, &[1]);
    let mut a = committee.start_with(config);
    let mut guest = node(&mut committee, 1, &[0]);
    let mut other = node(&mut committee, 2, &[0]);
    a.link_of(&committee.key(1), true).await;
    guest.link(true).await;
    assert!(matches!(other.refusal().await, Refusal::UnknownHere(_)));
    a.transport.set_guests(guests(&committee, &[2]));
    a.link_of(&committee.key(1), false).await;
    a.link_of(&committee.key(2), true).await;
    assert!(matches!(guest.refusal().await, Refusal::UnknownHere(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barred_key_loses_its_link_and_is_refused_unless_it_is_a_members() {
    let mut committee = Committee::new(3);
    let mut a = node(&mut committee, 0, &[0, 1]);
    let mut member = node(&mut committee, 1, &[0, 1]);
    let mut follower = node(&mut committee, 2, &[0]);
    member.link(true).await;
    follower.link(true).await;
    while a.transport.followers().iter().filter(|link| link.up).count() == 0 || !a.transport.status()[0].up {
        a.next().await;
    }
    for key in [1, 2] {
        a.transport.bar(&committee.key(key), Duration::from_secs(600));
    }
    // Both links came up earlier, in either order.
    while !matches!(a.next().await, Event::Link(of, false) if of == committee.key(2)) {}
    assert!(matches!(follower.refusal().await, Refusal::ByPeer { code: CloseCode::Barred, .. }));
    assert!(matches!(follower.refusal().await, Refusal::UnknownHere(_)));
    assert!(a.transport.followers().is_empty() && a.transport.status()[0].up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_is_read_at_its_rate_and_holds_up_no_validator() {
    const FRAMES: u32 = 40;
    let mut committee = Committee::new(3);
    let mut config = committee.config(0);
    config.followers = FollowerLimits { frames_per_s: 20, ..FOLLOWERS };
    config.peers = committee.peers(&[0, 1]);
    let mut a = committee.start_with(config);
    let mut b = node(&mut committee, 1, &[0, 1]);
    b.link(true).await;
    a.link(true).await;
    let mut f = node(&mut committee, 2, &[0]);
    f.link(true).await;
    let start = tokio::time::Instant::now();
    for i in 0..FRAMES {
        f.send(0, Class::Sync, Bytes::from(i.to_le_bytes().to_vec()));
    }
    b.send(0, Class::Consensus, Bytes::from_static(b"vote"));
    let (mut asked, mut voted_after) = (0, None);
    while asked < FRAMES {
        let frame = a.frame().await;
        if frame.from == committee.key(1) {
            voted_after = Some(asked);
        } else {
            assert_eq!(frame.bytes, asked.to_le_bytes()[..], "delayed, and neither lost nor out of order");
            asked += 1;
        }
    }
    // First a burst of a second's worth, then 20 a second.
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
    assert!(voted_after.is_some_and(|after| after < FRAMES - 1), "{voted_after:?}");
}
