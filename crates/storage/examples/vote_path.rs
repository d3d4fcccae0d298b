//! What a validator does with its disk before it says anything, for the test that cuts its power at every call of it.
//!
//! `vote_path run HOME ADDRESS SESSION`: one start of a node. Opens store and journal in HOME, sends again what it finds,
//! then appends, syncs and sends votes, commits heights, copies a vote forward and lets the journal go, renews keys, replaces
//! the storage key (odd sessions); session 2 ends with the mark of a retired key. Whatever it sends to ADDRESS by UDP has to be found by every later start. It ends like a killed process.
//!
//! `vote_path check`: opens the homes that standard input names, a line each, and says what it finds, as JSON.

#[allow(dead_code, reason = "the benchmarks measure time, too")]
mod heights;

use heights::heights;
use rustorium_crypto::keystore::{self, KeystoreError, Origin, StorageKeys};
use rustorium_crypto::seal::{AtRest, MasterKey};
use rustorium_storage::{Durability, Journal, JournalError, Lsn, RecordKind, RocksStore, Store, StoreConfig, retired};
use rustorium_types::ChainId;
use serde_json::json;
use std::error::Error;
use std::io::stdin;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

type AnyError = Box<dyn Error>;

/// Small, so that segments are begun, freed and used again all the time.
const SEGMENT_BYTES: usize = 32 * 1024;
const STEPS: u64 = 24;
const LAST_SESSION: u64 = 2;

fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", home, address, session] => run(Path::new(home), address, session.parse()?),
        ["check"] => check(),
        _ => Err("usage: vote_path run HOME ADDRESS SESSION | check".into()),
    }
}

const PASSPHRASE: &[u8] = b"a passphrase of the test's";

fn key_file(home: &Path) -> PathBuf {
    home.join("storage.key")
}

fn of(keys: StorageKeys) -> AtRest {
    AtRest::rekeyed(keys.newest, keys.before, ChainId::ZERO)
}

/// The home's storage keys; a home without one gets one.
fn at_rest(home: &Path) -> Result<AtRest, AnyError> {
    match keystore::open_storage(&key_file(home), PASSPHRASE) {
        Ok(keys) => Ok(of(keys)),
        Err(KeystoreError::Missing(_)) => {
            let secret = MasterKey::draw()?;
            keystore::seal_with_public(&key_file(home), &*secret, "storage", None, PASSPHRASE, Origin::Random)?;
            Ok(AtRest::new(Arc::new(MasterKey::from_secret(&*secret)?), ChainId::ZERO))
        }
        Err(error) => Err(error.into()),
    }
}

struct Voter {
    home: PathBuf,
    journal: Journal,
    done: Receiver<Result<Lsn, JournalError>>,
    store: RocksStore,
    socket: UdpSocket,
}

impl Voter {
    fn say(&self, what: &str) -> Result<(), AnyError> {
        self.socket.send(what.as_bytes())?;
        Ok(())
    }

    fn durable(&self, lsn: Lsn) -> Result<(), AnyError> {
        self.journal.sync(lsn);
        while self.done.recv()?? < lsn {}
        Ok(())
    }

    /// Does what `keys rotate master` does before the journal has moved on.
    fn replace_key(&self) -> Result<(), AnyError> {
        let at_rest = of(keystore::replace_storage(&key_file(&self.home), PASSPHRASE)?);
        self.store.rekey(&at_rest)?;
        self.journal.rekey(&at_rest)?;
        Ok(())
    }

    /// The end of that, once it has.
    fn discard_key(&self) -> Result<(), AnyError> {
        if !self.store.rekeying() && self.journal.reader().of_the_key_before() == 0 {
            keystore::discard_before(&key_file(&self.home))?;
        }
        Ok(())
    }

    /// The last record is what a vote rests on last: the vote itself.
    fn vote(&self, name: &str, rests_on: &[(RecordKind, usize)]) -> Result<Lsn, AnyError> {
        for (kind, bytes) in rests_on {
            self.journal.append(*kind, &vec![0x5a; *bytes]);
        }
        let lsn = self.journal.append(RecordKind::Vote, name.as_bytes());
        self.durable(lsn)?;
        self.say(&format!("vote {} {name}", lsn.0))?;
        Ok(lsn)
    }

    /// `pinned`: a vote below that is still needed, and its name. It is copied forward; returns where it is now.
    fn let_go(&self, below: Lsn, pinned: (Lsn, &str)) -> Result<Lsn, AnyError> {
        let height = self.store.sync()?;
        self.say(&format!("height {}", height.0))?;
        let copy = self.journal.append_again(pinned.0, pinned.1.len());
        let floor = self.journal.append(RecordKind::Floor, below.0.to_string().as_bytes());
        self.durable(floor)?;
        self.say(&format!("vote {} floor", floor.0))?;
        self.journal.release(below.min(copy));
        Ok(copy)
    }
}

fn run(home: &Path, address: &str, session: u64) -> Result<(), AnyError> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    let at_rest = at_rest(home)?;
    let store = RocksStore::open(&home.join("db"), &StoreConfig::default(), &at_rest)?;
    let (tell, done) = channel();
    let tell = Box::new(move |result| tell.send(result).unwrap_or_default());
    let safety = home.join("safety");
    let (journal, records) = Journal::open_with(&safety, Durability::Vote, SEGMENT_BYTES, &at_rest, tell)?;
    let voter = Voter { home: home.to_owned(), journal, done, store, socket };
    for record in records.iter().filter(|record| record.kind == RecordKind::Vote) {
        voter.say(&format!("vote {} {}", record.lsn.0, String::from_utf8_lossy(&record.payload)))?;
    }
    steps(&voter, session, at_rest.before().is_some())?;
    if session == LAST_SESSION {
        retired::mark(&safety, "shown a vote that the journal lacks")?;
        voter.say("retired")?;
    }
    // Bytes that were written and not synced stay with the kernel, and the next session finds them.
    let writes = voter.journal.stats().writes;
    voter.journal.append(RecordKind::Vote, b"never said");
    // Nothing is below that position: it only wakes the thread that writes.
    voter.journal.release(Lsn(1));
    while voter.journal.stats().writes == writes {
        std::thread::yield_now();
    }
    std::process::exit(0)
}

/// `rekeying`: the storage key was being replaced when the power was cut.
fn steps(voter: &Voter, session: u64, rekeying: bool) -> Result<(), AnyError> {
    let first = voter.store.tip().map_or(0, |tip| tip.height.0 + 1);
    let mut commits = heights(first + STEPS, 1)?.into_iter().skip(first as usize);
    let mut said = Vec::new();
    let pinned = format!("{session}.pinned");
    let mut pinned_at = voter.vote(&pinned, &[])?;
    for step in 0..STEPS {
        let rests_on: &[_] = match step % 4 {
            0 => &[],
            1 => &[(RecordKind::Batch, 3000), (RecordKind::Proposal, 700)],
            2 => &[(RecordKind::Certificate, 300)],
            _ => &[(RecordKind::Batch, 9000)],
        };
        said.push(voter.vote(&format!("{session}.{step}"), rests_on)?);
        if step % 3 == 2
            && let Some(commit) = commits.next()
        {
            voter.store.commit(&commit)?;
        }
        if step % 8 == 7 {
            pinned_at = voter.let_go(said[said.len() - 4], (pinned_at, &pinned))?;
        }
        if step == 10 {
            match (rekeying, session % 2) {
                (true, _) => {}
                (false, 1) => voter.replace_key()?,
                _ => {
                    voter.store.rotate()?;
                }
            }
            while voter.store.rotate_step()?.is_some() {}
            voter.store.write_files_anew(&mut |_, _| true)?;
        }
    }
    voter.discard_key()
}

fn check() -> Result<(), AnyError> {
    for home in stdin().lines() {
        let home = PathBuf::from(home?);
        let mut found = json!({ "retired": retired::read(&home.join("safety")).map_or(true, |mark| mark.is_some()) });
        let at_rest = match at_rest(&home) {
            Ok(at_rest) => at_rest,
            Err(error) => {
                println!("{}", json!({ "error": error.to_string() }));
                continue;
            }
        };
        match RocksStore::open(&home.join("db"), &StoreConfig::default(), &at_rest) {
            Ok(store) => found["height"] = json!(store.tip().map(|tip| tip.height.0)),
            Err(error) => found["error"] = json!(error.to_string()),
        }
        let done = Box::new(|_| {});
        match Journal::open_with(&home.join("safety"), Durability::Vote, SEGMENT_BYTES, &at_rest, done) {
            Ok((_journal, records)) => {
                let named = |kind| {
                    let of_kind = records.iter().filter(move |record| record.kind == kind);
                    of_kind.map(|record| (record.lsn.0, String::from_utf8_lossy(&record.payload).into_owned()))
                };
                found["votes"] = json!(named(RecordKind::Vote).collect::<Vec<_>>());
                found["floors"] = json!(named(RecordKind::Floor).collect::<Vec<_>>());
            }
            Err(error) => found["error"] = json!(error.to_string()),
        }
        println!("{found}");
    }
    Ok(())
}
