//! The signer's socket: it admits clients and answers their requests.
//!
//! *Invariants:* only processes of the named users are admitted; the record is synced once for all requests that came
//! together, before any of their signatures leaves; a client that neither sends nor reads is disconnected.

use crate::frames::Frames;
use crate::guard::{Guard, Lane, Record};
use crate::keys::{Key, Role};
use crate::protocol::{
    Answer, Hello, Refusal, Reply, Request, RequestSubject, Session, VERSION, VERSION_MIN, VERSION_OF_SESSIONS,
    frame_into, read_frame, write_frame,
};
use crate::record::{StateError, StateFile};
use parking_lot::Mutex;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{geteuid, umask};
use rustorium_types::{Batch, BatchBody, ChainId, PublicKey, ShardId, SignerKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use thiserror::Error;

/// Number of connections at once.
pub const CONNECTIONS_MAX: usize = 64;
/// The longest wait for the rest of a frame, and for room in the client's buffer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Settings of a signer.
pub struct Settings {
    /// Path of its socket.
    pub socket: PathBuf,
    /// The folder of its records.
    pub state: PathBuf,
    /// The chains that it signs for.
    pub chains: BTreeSet<ChainId>,
    /// The signer's keys.
    pub keys: Vec<(Key, Role)>,
    /// Users, in addition to its own, whose processes are admitted.
    pub users: BTreeSet<u32>,
}

/// A signer doesn't start.
#[derive(Debug, Error)]
pub enum ServerError {
    /// A record can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Another process listens.
    #[error("another process listens at {0}: stop it, or choose another --socket")]
    InUse(PathBuf),
    /// The system reports an error.
    #[error("can't listen at {path} ({error}): choose a --socket in a folder of this user")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
}

impl ServerError {
    /// Returns a stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::State(error) => error.code(),
            Self::InUse(_) => "signer-socket-in-use",
            Self::Listen { .. } => "signer-listen-failed",
        }
    }
}

/// A validator key with its record.
struct GuardedKey {
    guard: Guard,
    file: StateFile,
    shown: Shown,
    failed: Option<String>,
}

/// A key with its record and state.
struct HeldKey {
    key: Key,
    /// The guard; `None` for an account's key.
    guarded: Option<Mutex<GuardedKey>>,
    /// The client that has the validator key, and its number of connections.
    taken: Mutex<Option<(Holder, usize)>>,
}

/// A client that holds a validator key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// A node's process, which may have many connections.
    Session(Session),
    /// The connection with this number.
    Connection(usize),
}

/// For each shard, the connection on which its journal was shown last. Signatures in the shard go to no other one: what
/// an earlier connection still asks for comes from before that journal.
type Shown = BTreeMap<(ChainId, ShardId), usize>;

/// A listening signer.
pub struct Server {
    listener: UnixListener,
    socket: PathBuf,
    chains: BTreeSet<ChainId>,
    keys: BTreeMap<PublicKey, HeldKey>,
    users: BTreeSet<u32>,
    connections: AtomicUsize,
    open: Mutex<Vec<(usize, UnixStream)>>,
    stopped: AtomicBool,
}

impl Server {
    /// Opens the records and the socket.
    ///
    /// # Errors
    /// A record or the socket can't be used.
    pub fn open(settings: Settings) -> Result<Self, ServerError> {
        let Settings { socket, state, chains, keys, mut users } = settings;
        let mut held = BTreeMap::new();
        for (key, role) in keys {
            let public = key.public();
            let guarded = match role {
                Role::Account => None,
                Role::Validator => {
                    let (file, records) = StateFile::open(&state, &public)?;
                    Some(Mutex::new(GuardedKey {
                        guard: Guard::new(public, chains.clone(), records),
                        file,
                        shown: Shown::new(),
                        failed: None,
                    }))
                }
            };
            held.insert(public, HeldKey { key, guarded, taken: Mutex::default() });
        }
        users.insert(geteuid().as_raw());
        let listener = listen(&socket, users.len() == 1)?;
        Ok(Self {
            listener,
            socket,
            chains,
            keys: held,
            users,
            connections: AtomicUsize::new(0),
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
        })
    }

    /// Serves until `stop`, and then until all connections have ended.
    pub fn run(self: &Arc<Self>) {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        for (number, stream) in self.listener.incoming().enumerate() {
            if self.stopped.load(Ordering::Acquire) {
                break;
            }
            threads.retain(|thread| !thread.is_finished());
            let Ok(stream) = stream else {
                // No descriptor is left. Wait until some connection ends.
                thread::sleep(Duration::from_millis(50));
                continue;
            };
            if !self.may_speak(&stream) {
                tracing::warn!(event = "signer_stranger", "a process of another user was refused");
                continue;
            }
            let server = self.clone();
            self.connections.fetch_add(1, Ordering::AcqRel);
            let spawned = thread::Builder::new().name("connection".to_owned()).spawn(move || {
                if let Err(error) = server.serve(number, stream) {
                    tracing::info!(event = "signer_connection_ended", reason = %error);
                }
                server.open.lock().retain(|(other, _)| *other != number);
                server.connections.fetch_sub(1, Ordering::AcqRel);
            });
            match spawned {
                Ok(thread) => threads.push(thread),
                Err(_) => _ = self.connections.fetch_sub(1, Ordering::AcqRel),
            }
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(event = "thread_panicked");
            }
        }
    }

    /// Ends all connections and `run`.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        for (_, stream) in self.open.lock().iter() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        let _ = UnixStream::connect(&self.socket);
    }

    fn may_speak(&self, stream: &UnixStream) -> bool {
        let user = socket_peercred(stream).map(|peer| peer.uid.as_raw());
        user.is_ok_and(|user| self.users.contains(&user))
    }

    fn serve(&self, number: usize, mut stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        self.open.lock().push((number, stream.try_clone()?));
        if self.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        if self.connections.load(Ordering::Acquire) > CONNECTIONS_MAX {
            return write_frame(&mut stream, &Answer::Refused(Refusal::Busy));
        }
        let hello: Hello = read_frame(&mut stream)?;
        let lease = match self.welcome(&hello, number) {
            Ok(lease) => lease,
            Err(refusal) => return write_frame(&mut stream, &Answer::Refused(refusal)),
        };
        let held = lease.0;
        write_frame(&mut stream, &Answer::Here)?;
        let mut frames = Frames::default();
        while let Some(requests) = frames.next(&mut stream)? {
            let replies = self.answer(held, requests, number);
            let mut out = Vec::with_capacity(128 * replies.len());
            replies.iter().for_each(|reply| frame_into(reply, &mut out));
            stream.write_all(&out)?;
        }
        Ok(())
    }

    fn welcome(&self, hello: &Hello, number: usize) -> Result<KeyLease<'_>, Refusal> {
        if !(VERSION_MIN..=VERSION).contains(&hello.version) {
            return Err(Refusal::OtherVersion(VERSION));
        }
        let held = self.keys.get(&hello.key).ok_or(Refusal::OtherKey)?;
        let named = hello.version >= VERSION_OF_SESSIONS;
        KeyLease::take(held, if named { Holder::Session(hello.session) } else { Holder::Connection(number) })
    }

    /// Answers requests that came together on a connection, in order.
    fn answer(&self, held: &HeldKey, requests: Vec<Request>, connection: usize) -> Vec<Reply> {
        let Some(guarded) = &held.guarded else {
            let one =
                |request: Request| Reply { id: request.id, answer: or_refused(self.account(held, &request.what)) };
            return requests.into_iter().map(one).collect();
        };
        let mut guarded = guarded.lock();
        let (mut replies, mut records) = (Vec::with_capacity(requests.len()), Vec::new());
        for Request { id, what } in requests {
            let answer = or_refused(guarded.decide(&held.key, &self.chains, what, connection, &mut records));
            replies.push(Reply { id, answer });
        }
        if let Err(refusal) = guarded.keep(&records) {
            for reply in &mut replies {
                if matches!(reply.answer, Answer::Signed(_) | Answer::Ready(_)) {
                    reply.answer = Answer::Refused(refusal.clone());
                }
            }
        }
        replies
    }

    fn account(&self, held: &HeldKey, what: &RequestSubject) -> Result<Answer, Refusal> {
        match what {
            RequestSubject::Ping => Ok(Answer::Here),
            RequestSubject::Transaction(body) if !self.chains.contains(&body.chain) => {
                Err(Refusal::OtherChain(body.chain))
            }
            RequestSubject::Transaction(body) if body.public_key != held.key.public() => Err(Refusal::OtherSigner),
            RequestSubject::Transaction(body) => {
                held.key.transaction(body).map(Answer::Signed).map_err(Refusal::KeyFailed)
            }
            RequestSubject::Transaction2 { chain, .. } if !self.chains.contains(chain) => {
                Err(Refusal::OtherChain(*chain))
            }
            RequestSubject::Transaction2 { chain, body } => {
                if !body.authority.keys().contains(&SignerKey::Ed25519(held.key.public())) {
                    return Err(Refusal::OtherSigner);
                }
                held.key.transaction2(chain, body).map(Answer::Signed).map_err(Refusal::KeyFailed)
            }
            _ => Err(Refusal::OtherRole),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

/// A connection's part of a key, which it gives back when it ends.
struct KeyLease<'a>(&'a HeldKey);

impl<'a> KeyLease<'a> {
    /// Takes a key. Errors: it is a validator's, and another client has it.
    fn take(held: &'a HeldKey, holder: Holder) -> Result<Self, Refusal> {
        if held.guarded.is_some() {
            let mut taken = held.taken.lock();
            let connections = match *taken {
                None => 0,
                Some((other, connections)) if other == holder => connections,
                Some(_) => return Err(Refusal::InUse),
            };
            *taken = Some((holder, connections + 1));
        }
        Ok(Self(held))
    }
}

impl Drop for KeyLease<'_> {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock();
        *taken = taken.filter(|(_, connections)| *connections > 1).map(|(holder, count)| (holder, count - 1));
    }
}

fn or_refused(answer: Result<Answer, Refusal>) -> Answer {
    answer.unwrap_or_else(Answer::Refused)
}

impl GuardedKey {
    /// Decides on a request. Adds the records that must be on disk before the answer leaves to `records`.
    fn decide(
        &mut self,
        key: &Key,
        chains: &BTreeSet<ChainId>,
        what: RequestSubject,
        connection: usize,
        records: &mut Vec<Record>,
    ) -> Result<Answer, Refusal> {
        if let Some(failed) = &self.failed {
            return Err(Refusal::Unwritten(failed.clone()));
        }
        let signed_in = match &what {
            RequestSubject::Vote { body, .. } => Some((body.chain, body.shard)),
            RequestSubject::Batch(body) => Some((body.chain, body.shard)),
            _ => None,
        };
        if signed_in.is_some_and(|scope| self.shown.get(&scope) != Some(&connection)) {
            return Err(Refusal::NotShown);
        }
        match what {
            RequestSubject::Ping => Ok(Answer::Here),
            RequestSubject::Show(journal) => {
                let (changes, newest) = self.guard.show(&journal);
                records.extend(changes);
                let scope = (journal.chain, journal.shard);
                _ = if newest.is_ok() { self.shown.insert(scope, connection) } else { self.shown.remove(&scope) };
                newest.map(Answer::Ready)
            }
            RequestSubject::Vote { body, settled } => {
                records.extend(self.guard.vote(&body, settled)?);
                key.vote(&body).map(Answer::Signed).map_err(Refusal::KeyFailed)
            }
            RequestSubject::Batch(body) => self.batch(key, *body, records),
            RequestSubject::Possession(body) if !chains.contains(&body.chain) => Err(Refusal::OtherChain(body.chain)),
            RequestSubject::Possession(body) if body.validator_key != key.public() => Err(Refusal::OtherSigner),
            RequestSubject::Possession(body) => key.possession(&body).map(Answer::Signed).map_err(Refusal::KeyFailed),
            RequestSubject::Transaction(_) | RequestSubject::Transaction2 { .. } => Err(Refusal::OtherRole),
        }
    }

    fn batch(&mut self, key: &Key, body: BatchBody, records: &mut Vec<Record>) -> Result<Answer, Refusal> {
        let digest = match self.guard.batch(&body)? {
            Lane::Again(signature) => return Ok(Answer::Signed(signature)),
            Lane::Free(digest) => digest,
        };
        let signature = key.batch(&digest).map_err(Refusal::KeyFailed)?;
        let record = Record::Batch(Box::new(Batch { body, signature }));
        self.guard.apply(&record);
        records.push(record);
        Ok(Answer::Signed(signature))
    }

    /// Writes the records to disk. Once that has failed, nothing more is signed: the guard in memory knows more than
    /// the disk.
    fn keep(&mut self, records: &[Record]) -> Result<(), Refusal> {
        if records.is_empty() {
            return Ok(());
        }
        let kept = self.file.append(records);
        let kept =
            kept.and_then(|()| if self.file.has_grown() { self.file.rewrite(&self.guard.records()) } else { Ok(()) });
        kept.map_err(|error| {
            tracing::error!(event = "signer_record_failed", reason = %error, "nothing more is signed");
            self.failed = Some(error.to_string());
            Refusal::Unwritten(error.to_string())
        })
    }
}

/// Listens at a path, unless another process listens there. A dead process' socket is removed.
fn listen(path: &Path, alone: bool) -> Result<UnixListener, ServerError> {
    let failed = |error| ServerError::Listen { path: path.to_owned(), error };
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(failed(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket")));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(ServerError::InUse(path.to_owned()));
        }
        fs::remove_file(path).map_err(failed)?;
    }
    // Other users are named one by one, and the user of each connection is checked.
    let before = umask(rustix::fs::Mode::from_raw_mode(if alone { 0o177 } else { 0o111 }));
    let listener = UnixListener::bind(path);
    umask(before);
    listener.map_err(failed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::protocol::JournalSummary;
    use rustorium_crypto::SigningKey;
    use rustorium_types::{BlockDigest, BoundedVec, Epoch, View, VoteBody, VoteKind};

    fn ask(view: u64) -> RequestSubject {
        let (chain, shard, epoch, view) = (ChainId([7; 32]), ShardId(0), Epoch(0), View(view));
        let body = VoteBody { chain, shard, epoch, view, kind: VoteKind::Nullify, block: BlockDigest::ZERO };
        RequestSubject::Vote { body, settled: View(0) }
    }

    #[test]
    fn a_full_disk_ends_all_signing() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::File(SigningKey::from_seed(&[5; 32]));
        let chains = BTreeSet::from([ChainId([7; 32])]);
        StateFile::create(folder.path(), &key.public(), &[]).unwrap();
        let (file, records) = StateFile::open(folder.path(), &key.public()).unwrap();
        let guard = Guard::new(key.public(), chains.clone(), records);
        let guarded = GuardedKey { guard, file, shown: Shown::new(), failed: None };
        let held = HeldKey { key, guarded: Some(Mutex::new(guarded)), taken: Mutex::default() };
        let settings = Settings {
            socket: folder.path().join("signer.sock"),
            state: folder.path().to_owned(),
            chains,
            keys: Vec::new(),
            users: BTreeSet::new(),
        };
        let server = Server::open(settings).unwrap();
        let answers = |whats: Vec<RequestSubject>| -> Vec<Answer> {
            let requests = whats.into_iter().map(|what| Request { id: 1, what }).collect();
            server.answer(&held, requests, 0).into_iter().map(|reply| reply.answer).collect()
        };
        let (chain, shard, epoch, settled) = (ChainId([7; 32]), ShardId(0), Epoch(0), View(0));
        let journal = JournalSummary { chain, shard, epoch, settled, next_seq: 0, votes: BoundedVec::default() };
        let good = answers(vec![RequestSubject::Show(Box::new(journal)), ask(1)]);
        assert!(matches!(good[..], [Answer::Ready(None), Answer::Signed(_)]), "{good:?}");
        held.guarded.as_ref().unwrap().lock().file.fill_disk().unwrap();
        for whats in [vec![ask(2), ask(3)], vec![ask(1)], vec![ask(4)]] {
            for answer in answers(whats) {
                assert!(matches!(answer, Answer::Refused(Refusal::Unwritten(_))), "{answer:?}");
            }
        }
    }
}
