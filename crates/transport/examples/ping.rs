//! Measures the round trip of a 1 KiB consensus frame between two nodes of one process: `cargo run --release --example ping`.

mod pair;

use bytes::Bytes;
use pair::config;
use rustorium_crypto::SigningKey;
use rustorium_transport::{Frame, Handler, Transport};
use rustorium_types::{Class, PublicKey, ValidatorIndex};
use std::error::Error;
use std::io::Write;
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

const ROUNDS: usize = 20_000;
const WARM_UP: usize = 1_000;
const BYTES: usize = 1_024;

/// Sends every frame back.
#[derive(Default)]
struct Echo(OnceLock<Transport>);

impl Handler for Echo {
    fn frame(&self, frame: Frame) {
        if let Some(transport) = self.0.get() {
            // A frame that isn't sent shows as a round that doesn't end.
            let _ = transport.send_to(&frame.from, frame.class, frame.bytes);
        }
    }

    fn link(&self, _peer: &PublicKey, _up: bool) {}
}

/// Tells the measuring thread.
struct Tell {
    frames: Sender<Frame>,
    links: Sender<bool>,
}

impl Handler for Tell {
    fn frame(&self, frame: Frame) {
        let _ = self.frames.send(frame);
    }

    fn link(&self, _peer: &PublicKey, up: bool) {
        let _ = self.links.send(up);
    }
}

fn measure(transport: &Transport, frames: &Receiver<Frame>) -> Result<Vec<Duration>, Box<dyn Error>> {
    let payload = Bytes::from(vec![7; BYTES]);
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        let start = Instant::now();
        transport.send(ValidatorIndex(1), Class::Consensus, payload.clone())?;
        frames.recv_timeout(Duration::from_secs(5))?;
        if round >= WARM_UP {
            times.push(start.elapsed());
        }
    }
    times.sort_unstable();
    Ok(times)
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let handle: &Handle = runtime.handle();
    let keys = [SigningKey::generate(), SigningKey::generate()];
    let sockets = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    let addresses = [sockets[0].local_addr()?, sockets[1].local_addr()?];
    let [first, second] = sockets;
    let echo = Arc::new(Echo::default());
    let other = Transport::start_on(second, config(1, &keys, addresses, None), echo.clone(), handle)?;
    let _ = echo.0.set(other);
    let (frames_in, frames) = channel();
    let (links_in, links) = channel();
    let tell = Arc::new(Tell { frames: frames_in, links: links_in });
    let transport = Transport::start_on(first, config(0, &keys, addresses, None), tell, handle)?;
    links.recv_timeout(Duration::from_secs(5))?;
    let times = measure(&transport, &frames)?;
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
    let status = transport.status();
    let quic_us = status.first().and_then(|link| link.rtt_us).unwrap_or_default();
    writeln!(
        std::io::stdout(),
        "round trip of {BYTES} bytes over {ROUNDS} rounds: p50 {} us, p99 {} us (QUIC's own estimate {quic_us} us)",
        at(50),
        at(99)
    )?;
    runtime.block_on(transport.close());
    Ok(())
}
