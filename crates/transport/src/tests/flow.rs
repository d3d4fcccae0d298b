//! Tests of frames: order, priority, bounds.

use super::*;
use crate::framing::HELLO_BYTES;
use crate::shard_queues::CONSENSUS_FRAMES_PER_S;
use rustorium_types::limits::FRAME_BYTES_MAX;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_every_class_and_size_arrive_in_order_both_ways() {
    let (mut a, mut b) = pair().await;
    let keys = Committee::new(2).keys;
    let sizes = [0, 1, 1_024, 8_192, 8_193, 70_000, 1_048_576, FRAME_BYTES_MAX];
    for (round, size) in sizes.into_iter().enumerate() {
        for class in CLASSES {
            a.send(1, class, vec![round as u8; size]);
            b.send(0, class, vec![100 + round as u8; size]);
        }
    }
    for (node, base, sender) in [(&mut b, 0, 0), (&mut a, 100, 1)] {
        let mut next = [0; 3];
        for _ in 0..3 * sizes.len() {
            let frame = node.frame().await;
            let round = next[frame.class as usize];
            next[frame.class as usize] += 1;
            assert_eq!(frame.from, keys[sender].public());
            assert_eq!(frame.bytes, vec![base + round as u8; sizes[round]]);
        }
    }
    let status = &a.transport.status()[0];
    assert!(status.up && status.rtt_us.is_some());
    assert_eq!(status.received_bytes, 3 * sizes.iter().sum::<usize>() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_reaches_every_peer_that_is_up() {
    let mut committee = Committee::new(4);
    let mut nodes: Vec<_> = (0..3).map(|i| committee.start(i)).collect();
    for node in &mut nodes {
        node.link(true).await;
        node.link(true).await;
    }
    assert_eq!(nodes[0].transport.broadcast(Class::Consensus, Bytes::from_static(b"vote")), 2);
    for node in &mut nodes[1..] {
        let frame = node.frame().await;
        assert_eq!((frame.from, &frame.bytes[..]), (committee.key(0), &b"vote"[..]));
    }
    assert_eq!(nodes[0].transport.send(index(3), Class::Consensus, Bytes::new()), Err(SendError::Down));
    assert_eq!(nodes[0].transport.send(index(0), Class::Consensus, Bytes::new()), Err(SendError::NoSuchPeer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_data_does_not_delay_consensus() {
    const FRAMES: usize = 100;
    let mut committee = Committee::new(2);
    let roomy = |mut config: Config| {
        config.queue_bytes[Class::Data as usize] = 2 * FRAMES * 1024 * 1024;
        config
    };
    let (first, second) = (roomy(committee.config(0)), roomy(committee.config(1)));
    let (mut a, mut b) = (committee.start_with(first), committee.start_with(second));
    a.link(true).await;
    b.link(true).await;
    let data = Bytes::from(vec![7; 1024 * 1024]);
    for _ in 0..FRAMES {
        a.send(1, Class::Data, data.clone());
    }
    a.send(1, Class::Consensus, Bytes::from_static(b"urgent"));
    let mut before = 0;
    while b.frame().await.class == Class::Data {
        before += 1;
    }
    assert!(before < FRAMES, "the consensus frame came after the whole backlog");
    for _ in before..FRAMES {
        assert_eq!(b.frame().await.class, Class::Data);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_frames_are_bounded_and_flow_again_when_processed() {
    const HELD: usize = 8;
    let mut committee = Committee::new(2);
    let mut config = committee.config(1);
    config.queue_frames[Class::Data as usize] = HELD;
    let (mut a, mut b) = (committee.start(0), committee.start_with(config));
    a.link(true).await;
    b.link(true).await;
    for i in 0..100u8 {
        a.send(1, Class::Data, vec![i; 100]);
    }
    let mut held = Vec::new();
    for _ in 0..HELD {
        held.push(b.frame().await);
    }
    // Consensus frames pass meanwhile, and no further frame of data comes with them.
    for _ in 0..20 {
        a.send(1, Class::Consensus, Bytes::from_static(b"ping"));
        assert_eq!(b.frame().await.class, Class::Consensus);
    }
    held.clear();
    for i in HELD..100 {
        assert_eq!(b.frame().await.bytes[0], i as u8);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_so_and_takes_no_more() {
    let mut committee = Committee::new(2);
    let mut config = committee.config(0);
    // Frames that may leave only after an hour stay in the queue.
    let hour = Duration::from_secs(2 * 3600);
    config.shaper = Some(Arc::new(Shaper::uniform(2, hour, ShaperOptions::default()).unwrap()));
    config.queue_frames = [3, 100, 100];
    config.queue_bytes = [1_000, 250, 250];
    let (mut a, _b) = (committee.start_with(config), committee.start(1));
    a.link(true).await;
    for _ in 0..3 {
        a.send(1, Class::Consensus, Bytes::from_static(b"x"));
    }
    assert_eq!(a.transport.send(index(1), Class::Consensus, Bytes::new()), Err(SendError::Full));
    // The other queues have their own room, one frame of any size always fits, and bytes count too.
    a.send(1, Class::Data, vec![0; 200]);
    assert_eq!(a.transport.send(index(1), Class::Data, Bytes::from(vec![0; 51])), Err(SendError::Full));
    a.send(1, Class::Data, vec![0; 50]);
    a.send(1, Class::Sync, vec![0; FRAME_BYTES_MAX]);
    let bytes = FRAME_BYTES_MAX + 1;
    let refused = a.transport.send(index(1), Class::Sync, Bytes::from(vec![0; bytes]));
    assert_eq!(refused, Err(SendError::TooLarge { bytes }));
    assert_eq!(a.transport.status()[0].queue_frames, [3, 2, 1]);
    assert_eq!(a.transport.broadcast(Class::Consensus, Bytes::new()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_frame_closes_the_link_with_a_reason() {
    let mut committee = Committee::new(2);
    let mut b = committee.start(1);
    let mut raw = RawPeer::greet_well(&committee).await;
    b.link(true).await;
    raw.streams[1].write_all(&[1, 0, 0, 0, 42]).await.unwrap();
    assert_eq!(&b.frame().await.bytes[..], [42]);
    raw.streams[1].write_all(&(FRAME_BYTES_MAX as u32 + 1).to_le_bytes()).await.unwrap();
    let (code, reason) = raw.closed_with().await;
    assert_eq!(code, CloseCode::FrameTooLarge);
    assert!(reason.contains("4194305") && reason.contains("4194304"), "{reason}");
    let expected = Refusal::FrameTooLarge { bytes: FRAME_BYTES_MAX + 1, limit: FRAME_BYTES_MAX };
    assert_eq!(b.refusal().await, expected);
    b.link(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_greeting_is_refused() {
    let mut committee = Committee::new(2);
    let mut b = committee.start(1);
    let good = |class| Hello { chain: CHAIN, class, versions: SPOKEN }.to_bytes().to_vec();
    let twice = RawPeer::greet(&committee, |_| good(Class::Data)).await;
    assert_eq!(twice.closed_with().await.0, CloseCode::BadHello);
    let junk = RawPeer::greet(&committee, |_| vec![0xff; HELLO_BYTES]).await;
    assert_eq!(junk.closed_with().await.0, CloseCode::BadHello);
    for _ in 0..2 {
        assert!(matches!(b.refusal().await, Refusal::BadHello(_)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_cannot_open_other_streams() {
    let mut committee = Committee::new(2);
    let mut b = committee.start(1);
    let raw = RawPeer::greet_well(&committee).await;
    b.link(true).await;
    // Three further streams may ask for a shard and be refused. There is room for no more, and none for answers, so both
    // frames wait. A frame that passes meanwhile shows that the grant isn't just late.
    let mut raw = raw;
    let connection = raw.connection.clone();
    let mut further = Vec::new();
    for _ in 0..3 {
        further.push(connection.open_uni().await.unwrap());
    }
    tokio::select! {
        biased;
        _ = connection.open_bi() => panic!("a bidirectional stream was granted"),
        _ = connection.open_uni() => panic!("a fourth further stream was granted"),
        () = async {
            raw.streams[0].write_all(&[1, 0, 0, 0, 7]).await.unwrap();
            assert_eq!(&b.frame().await.bytes[..], [7]);
        } => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_datagrams_are_ignored() {
    let (a, mut b) = pair().await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = b.transport.local_addr().unwrap();
    let mut draws = shaper::Draws(7);
    for round in 0..2_000usize {
        let mut junk: Vec<u8> = (0..round % 1_400).map(|_| draws.next() as u8).collect();
        if let Some(first) = junk.first_mut() {
            // One third each: arbitrary bytes, QUIC long headers, QUIC short headers.
            *first = [*first, *first | 0xc0, *first & 0x3f | 0x40][round % 3];
        }
        socket.send_to(&junk, target).unwrap();
    }
    a.send(1, Class::Consensus, Bytes::from_static(b"still here"));
    assert_eq!(&b.frame().await.bytes[..], b"still here");
    assert!(b.transport.status()[0].up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_is_read_at_no_more_than_so_many_frames_of_consensus_a_second() {
    const MORE: u32 = CONSENSUS_FRAMES_PER_S / 4;
    let mut committee = Committee::new(2);
    let mut config = committee.config(0);
    config.queue_frames[Class::Consensus as usize] = 10_000;
    let (mut a, mut b) = (committee.start_with(config), committee.start(1));
    a.link(true).await;
    b.link(true).await;
    let began = std::time::Instant::now();
    for _ in 0..CONSENSUS_FRAMES_PER_S + MORE {
        a.send(1, Class::Consensus, Bytes::from_static(b"vote"));
    }
    for _ in 0..CONSENSUS_FRAMES_PER_S + MORE {
        b.frame().await;
    }
    // The burst after a pause is a second's worth.
    assert!(began.elapsed() >= Duration::from_secs(1) * (MORE - 1) / CONSENSUS_FRAMES_PER_S);
}
