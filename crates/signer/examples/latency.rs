//! Measures what a signer process adds to a signature: `latency FOLDER [COUNT [URI]]`; prints one line of JSON.
//!
//! The record is in FOLDER: take one on the disk that will hold it. URI: a key in a token that signs instead.

use rustorium_crypto::SigningKey;
use rustorium_signer::protocol::Request;
use rustorium_signer::{
    Client, JournalSummary, Key, RequestSubject, Role, Server, Settings, StateFile, TokenKey, TokenUri,
};
use rustorium_types::{BlockDigest, BoundedVec, ChainId, Epoch, PublicKey, ShardId, View, VoteBody, VoteKind};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CHAIN: ChainId = ChainId([7; 32]);

fn vote(view: u64) -> RequestSubject {
    let (shard, epoch, block) = (ShardId(0), Epoch(0), BlockDigest([1; 32]));
    let body = VoteBody { chain: CHAIN, shard, epoch, view: View(view), kind: VoteKind::Notarize, block };
    RequestSubject::Vote { body, settled: View(view.saturating_sub(8)) }
}

/// The median and the 99th of 100, in microseconds.
fn quantiles(mut times: Vec<Duration>) -> (u128, u128) {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).map_or(0, Duration::as_micros);
    (at(50), at(99))
}

fn timed<T>(
    count: usize,
    mut work: impl FnMut(usize) -> Result<T, Box<dyn Error>>,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let one = |number| {
        let since = Instant::now();
        work(number)?;
        Ok(since.elapsed())
    };
    (0..count).map(one).collect()
}

fn connected(socket: &Path, key: PublicKey) -> Result<Client, Box<dyn Error>> {
    let mut client = Client::connect(socket, key, Duration::from_secs(20))?;
    let votes = BoundedVec::default();
    let (chain, shard, epoch, settled) = (CHAIN, ShardId(0), Epoch(0), View(0));
    client.ask_one(RequestSubject::Show(Box::new(JournalSummary {
        chain,
        shard,
        epoch,
        settled,
        next_seq: 0,
        votes,
    })))?;
    Ok(client)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("name a folder")?);
    let count: usize = arguments.next().map_or(Ok(2_000), |count| count.parse())?;
    let key = SigningKey::from_seed(&[5; 32]);
    let held = match arguments.next() {
        Some(uri) => Key::Token(Box::new(TokenKey::open(TokenUri::parse(&uri)?)?)),
        None => Key::File(key.clone()),
    };
    let public = held.public();
    StateFile::create(&folder, &public, &[])?;
    let (socket, chains) = (folder.join("s.sock"), BTreeSet::from([CHAIN]));
    let keys = vec![(held, Role::Validator)];
    let settings = Settings { socket: socket.clone(), state: folder.clone(), chains, keys, users: BTreeSet::new() };
    let server = Arc::new(Server::open(settings)?);
    let serving = server.clone();
    let thread = std::thread::spawn(move || serving.run());
    let mut client = connected(&socket, public)?;
    let ping = quantiles(timed(count, |_| Ok(client.ask_one(RequestSubject::Ping)?))?);
    let one = quantiles(timed(count, |number| Ok(client.ask_one(vote(number as u64 + 1))?))?);
    let first = count as u64 + 1;
    let together = timed(count / 32, |round| {
        let of = |number: u64| Request { id: number, what: vote(first + 32 * round as u64 + number) };
        Ok(client.ask(&(0..32).map(of).collect::<Vec<_>>())?)
    })?;
    let together = quantiles(together);
    // What the disk alone takes for a record.
    let mut file = File::create(folder.join("plain"))?;
    let sync = quantiles(timed(count, |_| {
        file.write_all(&[7; 100])?;
        Ok(file.sync_data()?)
    })?);
    let here = quantiles(timed(count, |number| Ok(key.sign(&(number as u64).to_le_bytes())))?);
    println!(
        "{{\"ping_us\": {ping:?}, \"vote_us\": {one:?}, \"of_32_us\": {together:?}, \"sync_us\": {sync:?}, \"here_us\": {here:?}}}"
    );
    drop(client);
    server.stop();
    thread.join().map_err(|_| "the signer ended")?;
    Ok(())
}
