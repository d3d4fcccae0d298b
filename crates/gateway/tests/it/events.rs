use crate::client::*;
use crate::world::{World, address};
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures_util::{FutureExt, StreamExt};
use rustorium_crypto::transaction_id;
use rustorium_gateway::http::{App, HttpLimits, router};
use rustorium_gateway::{Gate, GatewayMetrics};
use rustorium_types::ShardId;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;

type Event = (Option<String>, String, Value);

/// A reader of server-sent events that reads only when it is asked to.
struct Reader {
    body: BodyDataStream,
    ready: VecDeque<Event>,
}

impl Reader {
    async fn open(router: &Router, query: &str, last_event_id: Option<&str>) -> Self {
        let mut request = Request::get(format!("/v1/events{query}"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), ready: VecDeque::new() }
    }

    async fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() {
            let chunk = self.body.next().await?.unwrap();
            let text = std::str::from_utf8(&chunk).unwrap();
            assert!(text.ends_with("\n\n"));
            for frame in text.trim_end().split("\n\n").filter(|frame| !frame.starts_with("retry")) {
                let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
                self.ready.push_back((field("id: "), field("event: ").unwrap(), data));
            }
        }
        self.ready.pop_front()
    }

    /// Checks that nothing is there to read; the stream then knows that the reader has everything.
    async fn level(&mut self) {
        assert!(self.ready.is_empty());
        while let Some(chunk) = self.body.next().now_or_never() {
            assert!(chunk.unwrap().unwrap().starts_with(b"retry"), "something was left");
        }
    }

    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.next().await.unwrap().0.unwrap());
        }
        ids
    }
}

/// Returns the heights 1..=count with two receipts each.
fn blocks(world: &World, from: u64, count: u64) {
    for height in from..from + count {
        world.finalize((0..2).map(|i| world.put(1, 2 * (height - 1) + i, b"k", b"v")).collect());
    }
}

fn all_ids(heights: std::ops::RangeInclusive<u64>) -> Vec<String> {
    ids_of("0.", heights)
}

fn ids_of(shard: &str, heights: std::ops::RangeInclusive<u64>) -> Vec<String> {
    heights.flat_map(|height| (0..3).map(move |index| format!("{shard}{height}.{index}"))).collect()
}

#[tokio::test]
async fn ids_name_the_shard_and_one_of_another_shard_is_refused() {
    let world = World::of_shard(ShardId(3), [1]);
    let router = app(&world, HttpLimits::default());
    let (mut new, mut resumed) =
        (Reader::open(&router, "", None).await, Reader::open(&router, "?last_event_id=3.0.0", Some("3.1.0")).await);
    blocks(&world, 1, 2);
    assert_eq!(new.ids(6).await, ids_of("3.", 1..=2));
    assert_eq!(resumed.ids(5).await, ids_of("3.", 1..=2)[1..]);
    // An id without a shard is one of shard 0.
    for id in ["0.1.0", "4.1.0", "1.0"] {
        let uri = format!("/v1/events?last_event_id={id}");
        let refused = timeout(Duration::from_secs(10), get(&router, &uri)).await.unwrap();
        assert_eq!((refused.status.as_u16(), &refused.problem()["code"]), (400, &json!("bad-event-id")), "{id}");
        let detail = refused.problem()["detail"].to_string();
        assert!(detail.contains("this node serves shard 3; resume at a node of shard"), "{detail}");
    }
}

#[tokio::test]
async fn a_client_that_resumes_with_an_earlier_releases_id_gets_such_ids() {
    let world = World::new([1]);
    let limits = HttpLimits { keep_alive: Duration::from_millis(5), ..HttpLimits::default() };
    let router = app(&world, limits);
    blocks(&world, 1, 3);
    let mut reader = Reader::open(&router, "", Some("1.1")).await;
    assert_eq!(reader.ids(7).await, ids_of("", 1..=3)[2..]);
    let position = reader.next().await.unwrap();
    assert_eq!((position.0.as_deref(), position.1.as_str()), (Some("3.2"), "position"));
    let mut reader = Reader::open(&router, "", Some("0.1.1")).await;
    assert_eq!(reader.ids(7).await, all_ids(1..=3)[2..]);
}

#[tokio::test]
async fn a_new_subscriber_gets_what_comes_from_now_on() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    blocks(&world, 1, 3);
    let mut reader = Reader::open(&router, "", None).await;
    blocks(&world, 4, 2);
    let first = reader.next().await.unwrap();
    assert_eq!(
        (first.0.as_deref(), first.1.as_str(), &first.2["sender"]),
        (Some("0.4.0"), "receipt", &json!(address(1)))
    );
    assert_eq!(reader.ids(5).await, all_ids(4..=5)[1..]);
}

#[tokio::test]
async fn resuming_anywhere_leaves_no_gap_and_no_duplicate() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    blocks(&world, 1, 4);
    let all = all_ids(1..=7);
    let resumes: Vec<&str> = std::iter::once("0.0.0").chain(all[..12].iter().map(String::as_str)).collect();
    let mut readers = Vec::new();
    for id in &resumes {
        readers.push(Reader::open(&router, "", Some(id)).await);
    }
    // Half of them have begun to catch up when more blocks come.
    for (at, reader) in readers.iter_mut().enumerate().filter(|(at, _)| at % 2 == 0 && *at < 12) {
        assert_eq!(reader.ids(1).await, all[at..=at]);
    }
    blocks(&world, 5, 3);
    for (at, reader) in readers.iter_mut().enumerate() {
        let from = at + usize::from(at % 2 == 0 && at < 12);
        assert_eq!(reader.ids(all.len() - from).await, all[from..], "after {}", resumes[at]);
    }
    // Then all receive the same live events.
    blocks(&world, 8, 1);
    for reader in &mut readers {
        assert_eq!(reader.ids(3).await, all_ids(8..=8));
    }
}

#[tokio::test]
async fn a_client_that_is_ahead_of_this_node_waits_for_it() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let mut reader = Reader::open(&router, "?last_event_id=0.2.1", None).await;
    blocks(&world, 1, 3);
    assert_eq!(reader.ids(4).await, ["0.2.2", "0.3.0", "0.3.1", "0.3.2"]);
}

#[tokio::test]
async fn a_large_block_comes_in_pieces_and_resumes_inside() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    world.finalize((0..700).map(|nonce| world.put(1, nonce, b"k", b"v")).collect());
    let mut reader = Reader::open(&router, "", Some("0.1.299")).await;
    assert_eq!(reader.ids(401).await, (300..=700).map(|index| format!("0.1.{index}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn filters_choose_and_the_position_moves_on_all_the_same() {
    let world = World::new([1, 2]);
    let limits = HttpLimits { keep_alive: Duration::from_millis(5), ..HttpLimits::default() };
    let router = app(&world, limits);
    let wanted = world.put(1, 1, b"k", b"v");
    let id = transaction_id(&wanted.first().unwrap().body);
    let (mut sender, mut by_id) = (
        Reader::open(&router, &format!("?filter=sender:{}", address(2)), None).await,
        Reader::open(&router, &format!("?filter=id:{id},failed"), None).await,
    );
    let mut heads = Reader::open(&router, "?filter=blocks", None).await;
    world.finalize(vec![world.put(1, 0, b"k", b"v"), world.put(2, 0, b"k", b"v"), wanted]);
    world.finalize(vec![world.transaction_of(
        1,
        2,
        vec![rustorium_types::Operation::Issue {
            symbol: rustorium_types::BoundedBytes::new(b"GOLD".to_vec()).unwrap(),
            to: address(1),
            amount: 1,
        }],
    )]);
    let receipts = |event: &Event| event.1 != "position";
    let next = async |reader: &mut Reader| loop {
        let event = reader.next().await.unwrap();
        if receipts(&event) {
            return event;
        }
    };
    assert_eq!(next(&mut sender).await.0.as_deref(), Some("0.1.1"));
    assert_eq!(next(&mut by_id).await.0.as_deref(), Some("0.1.2"));
    let failed = next(&mut by_id).await;
    assert_eq!(failed.2["failure"], json!({ "code": "not-allowed", "operation": 0 }));
    assert_eq!(next(&mut heads).await.2["receipts"], 3);
    // This subscriber gets no more events, but still learns where to resume.
    let position = sender.next().await.unwrap();
    assert_eq!((position.0.as_deref(), position.1.as_str()), (Some("0.2.1"), "position"));
}

#[tokio::test]
async fn a_slow_reader_gets_an_error_and_is_disconnected() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits { event_lag_blocks_max: 8, ..HttpLimits::default() });
    let (mut reader, mut slower) = (Reader::open(&router, "", None).await, Reader::open(&router, "", None).await);
    for each in [&mut reader, &mut slower] {
        each.level().await;
    }
    blocks(&world, 1, 8);
    assert_eq!(reader.ids(3 * 8).await, all_ids(1..=8), "so many are no fault");
    reader.level().await;
    blocks(&world, 9, 8);
    assert_eq!(reader.ids(3 * 8).await, all_ids(9..=16));
    let told = slower.next().await.unwrap();
    assert_eq!((told.0, told.1.as_str(), &told.2["missed_blocks"]), (None, "too-slow", &json!(16)));
    assert_eq!(slower.next().await, None);
    reader.level().await;
    blocks(&world, 17, 9);
    let told = reader.next().await.unwrap();
    assert_eq!((told.0.as_deref(), told.1.as_str()), (Some("0.16.2"), "too-slow"));
    assert_eq!(reader.next().await, None);
    // A new reader continues after the last event of the one before.
    let mut reader = Reader::open(&router, "", told.0.as_deref()).await;
    assert_eq!(reader.ids(3 * 9).await, all_ids(17..=25));
}

#[tokio::test]
async fn a_block_is_read_once_for_all_late_subscribers() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    blocks(&world, 1, 30);
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(Reader::open(&router, "", Some("0.0.0")).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for mut reader in readers {
        tasks.spawn(async move { reader.ids(3 * 30).await });
    }
    while let Some(ids) = tasks.join_next().await {
        assert_eq!(ids.unwrap(), all_ids(1..=30));
    }
    // The newest block is in memory, and the first one is known to be complete except for its end.
    assert_eq!(world.stored_reads.load(Ordering::Relaxed), 30);
}

#[tokio::test]
async fn pruned_history_is_an_error_and_never_skipped() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    blocks(&world, 1, 5);
    world.pruned_below.store(3, Ordering::Relaxed);
    let mut reader = Reader::open(&router, "", Some("0.1.0")).await;
    let gone = reader.next().await.unwrap();
    assert_eq!((gone.1.as_str(), &gone.2["height"]), ("gone", &json!(1)));
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn streams_are_limited_and_end_when_the_node_closes() {
    let world = World::new([1]);
    let (close, closing) = watch::channel(false);
    let limits = HttpLimits { event_streams_max: 1, ..HttpLimits::default() };
    let router = router(App::new(Arc::clone(&world) as _, Gate::open(), limits, GatewayMetrics::default(), closing));
    let mut reader = Reader::open(&router, "", None).await;
    let refused = get(&router, "/v1/events").await;
    assert_eq!((refused.status.as_u16(), &refused.problem()["code"]), (429, &json!("too-many-streams")));
    assert!(refused.headers.contains_key("retry-after"));
    close.send(true).unwrap();
    assert_eq!(reader.next().await.unwrap().1, "closing");
    assert_eq!(reader.next().await, None);
    drop(reader);
    // The place is free again.
    let mut reader = Reader::open(&router, "", None).await;
    assert_eq!(reader.next().await.unwrap().1, "closing");
}
