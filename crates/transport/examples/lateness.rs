//! Measures how late frames are on links with simulated delays: `cargo run --release -p rustorium-transport --example lateness`.
//!
//! Two nodes of one process; one sends a frame each 2 ms and the other notes when it comes. What a delayed link adds is
//! compared with the same frames without delays, so that QUIC's own time doesn't count.

mod pair;

use bytes::Bytes;
use pair::config;
use rustorium_crypto::SigningKey;
use rustorium_transport::{Frame, Handler, Shaper, ShaperOptions, Transport};
use rustorium_types::{Class, PublicKey, ValidatorIndex};
use std::error::Error;
use std::io::Write;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const FRAMES: u64 = 10_000;
const EVERY: Duration = Duration::from_millis(2);
/// One-way delays, us.
const DELAYS_US: [u64; 4] = [0, 900, 12_000, 75_000];
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells the measuring thread when frames and links come.
struct Tell {
    frames: Sender<(u64, Instant)>,
    links: Sender<()>,
}

impl Handler for Tell {
    fn frame(&self, frame: Frame) {
        let now = Instant::now();
        let mut number = [0; 8];
        number.copy_from_slice(&frame.bytes);
        // The measuring thread ends first.
        let _ = self.frames.send((u64::from_le_bytes(number), now));
    }

    fn link(&self, _peer: &PublicKey, _up: bool) {
        let _ = self.links.send(());
    }
}

/// Times that frames took, sorted.
fn times(runtime: &Runtime, delay: Duration) -> Result<Vec<Duration>, Box<dyn Error>> {
    let shaper = (!delay.is_zero()).then(|| Shaper::uniform(2, 2 * delay, ShaperOptions::default())).transpose()?;
    let shaper = shaper.map(Arc::new);
    let keys = [SigningKey::generate(), SigningKey::generate()];
    let sockets = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    let addresses = [sockets[0].local_addr()?, sockets[1].local_addr()?];
    let (frames_in, frames) = channel();
    let (links_in, links) = channel();
    let tell = || Arc::new(Tell { frames: frames_in.clone(), links: links_in.clone() });
    let [first, second] = sockets;
    let to = Transport::start_on(second, config(1, &keys, addresses, shaper.clone()), tell(), runtime.handle())?;
    let from = Transport::start_on(first, config(0, &keys, addresses, shaper), tell(), runtime.handle())?;
    links.recv_timeout(PATIENCE)?;
    links.recv_timeout(PATIENCE)?;
    let begun = Instant::now();
    let mut sent = Vec::new();
    for number in 0..FRAMES {
        sleep((begun + EVERY * u32::try_from(number)?).saturating_duration_since(Instant::now()));
        sent.push(Instant::now());
        from.send(ValidatorIndex(1), Class::Consensus, Bytes::copy_from_slice(&number.to_le_bytes()))?;
    }
    let mut took = Vec::new();
    for _ in 0..FRAMES {
        let (number, came) = frames.recv_timeout(PATIENCE)?;
        took.push(came.saturating_duration_since(sent[usize::try_from(number)?]));
    }
    runtime.block_on(async {
        from.close().await;
        to.close().await;
    });
    took.sort_unstable();
    Ok(took)
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut out = std::io::stdout();
    let mut bare = [Duration::ZERO; 2];
    for delay in DELAYS_US.map(Duration::from_micros) {
        let took = times(&runtime, delay)?;
        let at = [50, 99].map(|percent| took[(took.len() - 1) * percent / 100]);
        if delay.is_zero() {
            bare = at;
            writeln!(out, "without delays: p50 {} us, p99 {} us", at[0].as_micros(), at[1].as_micros())?;
            continue;
        }
        let late = |i: usize| {
            i64::try_from((at[i]).as_micros()).unwrap_or(i64::MAX)
                - i64::try_from((delay + bare[i]).as_micros()).unwrap_or(i64::MAX)
        };
        writeln!(
            out,
            "{} us one way: {} us late in the median, {} us in the 99th percentile",
            delay.as_micros(),
            late(0),
            late(1)
        )?;
    }
    Ok(())
}
