//! Tests of the simulated network, in virtual time.

use super::*;
use crate::outbox::Outbox;
use parking_lot::Mutex;
use std::time::Instant;

const MATRIX: &str = r#"{
  "aws": {"regions": ["us-east-1", "eu-west-1", "ap-south-1"],
          "p50": [[5.0, 68.25, 200.0], [70.0, 4.0, 120.5], [201.0, 122.0, 3.0]]},
  "intra_region": {"inter_az_rtt_ms_min_typ_max": [0.3, 0.8, 2.0]}
}"#;

const REGIONS: [&str; 4] = ["us-east-1", "eu-west-1", "ap-south-1", "eu-west-1"];

fn shaper(options: ShaperOptions) -> Shaper {
    Shaper::from_matrix(MATRIX, &REGIONS, options).unwrap()
}

fn micros(us: u64) -> Duration {
    Duration::from_micros(us)
}

#[test]
fn one_way_delays_are_half_of_the_round_trips_of_the_matrix() {
    let shaper = shaper(ShaperOptions::default());
    let one_way = |from, to| shaper.one_way(index(from), index(to));
    assert_eq!(one_way(0, 1), micros(34_125));
    assert_eq!(one_way(1, 0), micros(35_000));
    assert_eq!(one_way(2, 3), micros(61_000));
    assert_eq!(one_way(1, 3), micros(400), "two zones of one region, not the matrix' diagonal");
    assert_eq!(one_way(0, 9), Duration::ZERO);
    let plain = r#"{"regions": ["a", "b"], "p50": [[0, 10], [20, 0]]}"#;
    let plain = Shaper::from_matrix(plain, &["b", "a", "b"], ShaperOptions::default()).unwrap();
    assert_eq!(plain.one_way(index(0), index(1)), micros(10_000));
    assert_eq!(plain.one_way(index(0), index(2)), micros(350));
}

#[test]
fn a_matrix_that_is_wrong_is_refused_by_name() {
    let error =
        |json: &str, regions: &[&str], options| Shaper::from_matrix(json, regions, options).unwrap_err().to_string();
    let none = ShaperOptions::default();
    assert!(error("{", &[], none).contains("can't be read"));
    assert!(error("{}", &[], none).contains("regions"));
    let unknown = error(MATRIX, &["mars"], none);
    assert!(unknown.contains("mars") && unknown.contains("eu-west-1"), "{unknown}");
    assert!(error(r#"{"regions": ["a", "b"], "p50": [[0, 1]]}"#, &[], none).contains("2 rows"));
    assert!(error(r#"{"regions": ["a", "b"], "p50": [[0, 1], [1]]}"#, &[], none).contains("row 1"));
    let negative = error(r#"{"regions": ["a", "b"], "p50": [[0, -1], [1, 0]]}"#, &["a", "b"], none);
    assert!(negative.contains("-1 ms"), "{negative}");
    assert!(error(MATRIX, &REGIONS, ShaperOptions { rate_bytes_per_s: Some(0), ..none }).contains("rate"));
    assert!(error(MATRIX, &REGIONS, ShaperOptions { loss_ppm: 1_000_001, ..none }).contains("1000001"));
}

#[test]
fn a_rate_serializes_by_urgency() {
    let options = ShaperOptions { rate_bytes_per_s: Some(1_000_000), ..ShaperOptions::default() };
    let mut link = Shaper::uniform(2, Duration::ZERO, options).unwrap().link(index(0), index(1));
    let now = Instant::now();
    let mut after = |class, bytes| link.release(now, class, bytes) - now;
    assert_eq!(after(Class::Data, 100_000), micros(100_000));
    assert_eq!(after(Class::Consensus, 1_000), micros(1_000), "doesn't wait for data");
    assert_eq!(after(Class::Data, 1_000), micros(102_000), "waits for both");
    assert_eq!(after(Class::Sync, 0), micros(102_000));
    let later = now + Duration::from_secs(1);
    assert_eq!(link.release(later, Class::Sync, 5_000) - later, micros(5_000), "an idle line saves nothing up");
}

#[test]
fn loss_and_jitter_are_seeded_bounded_and_keep_the_order() {
    let options = |seed| ShaperOptions { jitter_percent: 20, loss_ppm: 50_000, rate_bytes_per_s: None, seed };
    let now = Instant::now();
    let times = |seed, to| -> Vec<Duration> {
        let mut link = shaper(options(seed)).link(index(0), index(to));
        (0..2_000).map(|i| link.release(now + micros(i * 1_000), Class::Data, 1_000) - now).collect()
    };
    assert_eq!(times(1, 1), times(1, 1));
    assert_ne!(times(1, 1), times(2, 1));
    // Links to 1 and 3 have the same delay, but their own draws.
    assert_ne!(times(1, 1), times(1, 3));
    let times = times(1, 1);
    assert!(times.is_sorted());
    let waits: Vec<_> = times.iter().enumerate().map(|(i, t)| *t - micros(i as u64 * 1_000)).collect();
    assert!(waits.iter().all(|wait| *wait >= micros(34_125)));
    assert!(waits.iter().any(|wait| *wait < micros(34_125 * 12 / 10)));
    let retransmission = micros(34_125 + 35_000 + 5_000);
    assert!(waits.iter().any(|wait| *wait >= retransmission), "of 2,000 frames, some of the 5 % lost show");
}

#[test]
fn no_loss_and_no_jitter_is_the_delay_alone() {
    let mut link = shaper(ShaperOptions::default()).link(index(0), index(2));
    let now = Instant::now();
    for class in CLASSES {
        assert_eq!(link.release(now, class, FRAME) - now, micros(100_000));
    }
}

const FRAME: usize = 4 * 1024 * 1024;

#[test]
fn a_queue_gives_frames_out_when_they_are_due() {
    let mut link = shaper(ShaperOptions::default()).link(index(0), index(1));
    let queue = Outbox::new(10, 1_000);
    queue.open();
    let start = Instant::now();
    let mut push = |after_us, bytes: &'static [u8]| {
        let release = |len| Some(link.release(start + micros(after_us), Class::Data, len));
        queue.push(Bytes::from_static(bytes), release).unwrap()
    };
    assert_eq!(push(0, b"first"), Some(start + micros(34_125)));
    assert_eq!(push(10_000, b"second"), Some(start + micros(44_125)));
    push(10_000, b"");
    let take = |after_us| {
        let (mut out, late) = (Vec::new(), Mutex::new(Vec::new()));
        let took = queue.try_take(start + micros(after_us), 1_000, &mut out, |due, now| late.lock().push(now - due));
        assert_eq!(took, !out.is_empty());
        (out, late.into_inner())
    };
    assert_eq!(take(34_124), (vec![], vec![]));
    assert_eq!(take(34_200), (vec![Bytes::from_static(b"first")], vec![micros(75)]));
    assert_eq!(queue.depth(), (2, 6));
    assert_eq!(take(44_125).0, [Bytes::from_static(b"second"), Bytes::new()]);
    assert_eq!(queue.depth(), (0, 0));
}

#[tokio::test]
async fn a_queue_gives_all_that_waits_up_to_a_share() {
    let queue = Outbox::new(10, 1_000);
    assert_eq!(queue.push(Bytes::new(), |_| None), Err(SendError::Down));
    queue.open();
    for size in [10, 20, 30, 400] {
        queue.push(Bytes::from(vec![0; size]), |_| None).unwrap();
    }
    let mut out = Vec::new();
    queue.take(60, &mut out, |_, _| ()).await;
    assert_eq!(out.iter().map(Bytes::len).collect::<Vec<_>>(), [10, 20, 30]);
    out.clear();
    queue.take(60, &mut out, |_, _| ()).await;
    assert_eq!(out[0].len(), 400, "a frame larger than the share goes alone");
    queue.push(Bytes::from_static(b"gone"), |_| None).unwrap();
    queue.close();
    assert_eq!(queue.depth(), (0, 0));
    assert_eq!(queue.push(Bytes::new(), |_| None), Err(SendError::Down));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shaped_link_delivers_in_order() {
    let mut committee = Committee::new(2);
    let options = ShaperOptions { jitter_percent: 50, loss_ppm: 20_000, rate_bytes_per_s: Some(50_000_000), seed: 3 };
    let shaper = Arc::new(Shaper::uniform(2, Duration::from_millis(4), options).unwrap());
    let mut config = committee.config(0);
    config.shaper = Some(shaper);
    let (mut a, mut b) = (committee.start_with(config), committee.start(1));
    a.link(true).await;
    for i in 0..200u8 {
        a.send(1, Class::Data, vec![i; 2_000]);
    }
    for i in 0..200u8 {
        assert_eq!(b.frame().await.bytes, vec![i; 2_000]);
    }
}
