//! The socket: which client gets which signatures.

use crate::words::{CHAIN, ask, batch, chains, key, show, shown, vote};
use rustorium_crypto::{SigningKey, verify_vote};
use rustorium_signer::protocol::{FRAME_BYTES_MAX, Hello, VERSION, frame_into};
use rustorium_signer::{
    Answer, Client, ClientError, JournalSummary, Key, Refusal, RequestSubject, Role, Server, Settings, StateFile,
    protocol,
};
use rustorium_types::*;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

fn account() -> SigningKey {
    SigningKey::from_seed(&[6; 32])
}

/// A signer on a thread.
struct Running {
    server: Arc<Server>,
    socket: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn at(folder: &Path) -> Self {
        let socket = folder.join("signer.sock");
        let keys = vec![(Key::File(key()), Role::Validator), (Key::File(account()), Role::Account)];
        let settings =
            Settings { socket: socket.clone(), state: folder.to_owned(), chains: chains(), keys, users: [].into() };
        let server = Arc::new(Server::open(settings).unwrap());
        let serving = server.clone();
        let thread = Some(std::thread::spawn(move || serving.run()));
        Self { server, socket, thread }
    }

    fn new(folder: &TempDir) -> Self {
        StateFile::create(folder.path(), &key().public(), &[]).unwrap();
        Self::at(folder.path())
    }

    fn client(&self) -> Client {
        let mut client = Client::connect(&self.socket, key().public(), PATIENCE).unwrap();
        assert!(matches!(client.ask_one(show(0)), Ok(Answer::Ready(_))));
        client
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn refusal<T>(result: Result<T, ClientError>) -> Refusal {
    match result {
        Err(ClientError::Refused(refusal)) => refusal,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was signed"),
    }
}

#[test]
fn votes_and_batches_are_signed_many_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::new(&folder);
    let mode = std::fs::metadata(&running.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let bodies: Vec<_> = (1..200).map(|view| vote(VoteKind::Notarize, 0, view, 1)).collect();
    let requests = bodies.iter().enumerate();
    let requests: Vec<_> = requests.map(|(id, body)| protocol::Request { id: id as u64, what: ask(*body) }).collect();
    let answers = running.client().ask(&requests).unwrap();
    for (body, answer) in bodies.into_iter().zip(answers) {
        let Answer::Signed(signature) = answer else { panic!("{answer:?}") };
        assert!(verify_vote(&key().public(), SignedVote { body, signer: ValidatorIndex(0), signature }).is_some());
    }
    let (digest, signed) = key().sign_batch(batch(0, 0, 1));
    assert_eq!(digest, rustorium_crypto::batch_digest(&signed.body));
    let mut client = running.client();
    assert_eq!(client.ask_one(RequestSubject::Batch(Box::new(signed.body))).unwrap(), Answer::Signed(signed.signature));
}

#[test]
fn two_nodes_with_one_key_cannot_both_sign() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::new(&folder);
    let mut first = running.client();
    assert_eq!(refusal(Client::connect(&running.socket, key().public(), PATIENCE)), Refusal::InUse);
    first.ask_one(ask(vote(VoteKind::Finalize, 0, 3, 1))).unwrap();
    first.ask_one(RequestSubject::Batch(Box::new(batch(0, 0, 1)))).unwrap();
    drop(first);
    // Now the other node: what contradicts the first one's signatures isn't signed.
    let mut second = connect_when_free(&running);
    assert!(matches!(second.ask_one(show(0)), Ok(Answer::Ready(Some(_)))));
    assert!(matches!(refusal(second.ask_one(ask(vote(VoteKind::Nullify, 0, 3, 0)))), Refusal::Conflict(_)));
    assert!(matches!(refusal(second.ask_one(ask(vote(VoteKind::Finalize, 0, 3, 2)))), Refusal::Conflict(_)));
    assert!(matches!(
        refusal(second.ask_one(RequestSubject::Batch(Box::new(batch(0, 0, 2))))),
        Refusal::OtherBatch { .. }
    ));
    assert!(second.ask_one(ask(vote(VoteKind::Finalize, 0, 3, 1))).is_ok());
}

fn in_shard(shard: u32) -> (RequestSubject, RequestSubject) {
    let journal = JournalSummary { shard: ShardId(shard), ..shown(0, 0, 0, Vec::new()) };
    let body = VoteBody { shard: ShardId(shard), ..vote(VoteKind::Finalize, 0, 3, 1) };
    (RequestSubject::Show(Box::new(journal)), ask(body))
}

#[test]
fn the_shards_of_one_node_sign_side_by_side_and_another_node_in_none() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::new(&folder);
    let connect = |session| Client::connect_shared(&running.socket, key().public(), session, PATIENCE);
    let (mut root, mut second) = (connect([1; 16]).unwrap(), connect([1; 16]).unwrap());
    root.ask_one(in_shard(0).0).unwrap();
    assert_eq!(refusal(root.ask_one(in_shard(1).1)), Refusal::NotShown, "another connection's shard");
    second.ask_one(in_shard(1).0).unwrap();
    assert!(matches!(root.ask_one(in_shard(0).1), Ok(Answer::Signed(_))));
    assert!(matches!(second.ask_one(in_shard(1).1), Ok(Answer::Signed(_))));
    assert!(matches!(root.ask_one(in_shard(0).1), Ok(Answer::Signed(_))));
    // The shard shows its journal on a new connection: its former one signs nothing more.
    let mut again = connect([1; 16]).unwrap();
    again.ask_one(in_shard(1).0).unwrap();
    assert_eq!(refusal(second.ask_one(in_shard(1).1)), Refusal::NotShown);
    assert!(matches!(again.ask_one(in_shard(1).1), Ok(Answer::Signed(_))));
    drop(again);
    // A shard that ends and begins again is the same node's; another node waits for the last one.
    drop(root);
    assert_eq!(refusal(connect([2; 16])), Refusal::InUse);
    assert_eq!(refusal(Client::connect(&running.socket, key().public(), PATIENCE)), Refusal::InUse);
    let mut root = connect([1; 16]).unwrap();
    drop(second);
    root.ask_one(in_shard(0).0).unwrap();
    assert_eq!(refusal(connect([2; 16])), Refusal::InUse);
    drop(root);
    connect_when_free(&running);
}

/// The signer notices that a connection ended a moment after its client.
fn connect_when_free(running: &Running) -> Client {
    for _ in 0..10_000 {
        match Client::connect(&running.socket, key().public(), PATIENCE) {
            Ok(client) => return client,
            Err(error) => assert_eq!(error.code(), "signer-in-use"),
        }
        std::thread::yield_now();
    }
    panic!("the key stays taken");
}

#[test]
fn the_record_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::new(&folder);
    running.client().ask_one(ask(vote(VoteKind::Finalize, 2, 3, 1))).unwrap();
    drop(running);
    let running = Running::at(folder.path());
    let mut client = Client::connect(&running.socket, key().public(), PATIENCE).unwrap();
    assert!(matches!(refusal(client.ask_one(show(1))), Refusal::EpochOver(_)));
    client.ask_one(show(2)).unwrap();
    assert!(matches!(refusal(client.ask_one(ask(vote(VoteKind::Nullify, 2, 3, 0)))), Refusal::Conflict(_)));
}

#[test]
fn an_old_copy_of_the_record_signs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::new(&folder);
    let lost = key().sign_vote(ValidatorIndex(0), vote(VoteKind::Finalize, 0, 8, 1));
    let mut client = Client::connect(&running.socket, key().public(), PATIENCE).unwrap();
    let journal = RequestSubject::Show(Box::new(shown(0, 0, 0, vec![lost])));
    assert_eq!(refusal(client.ask_one(journal)), Refusal::RolledBack(View(8)));
    assert_eq!(refusal(client.ask_one(ask(vote(VoteKind::Nullify, 0, 9, 0)))), Refusal::NotShown);
    drop((client, running));
    let running = Running::at(folder.path());
    let mut client = Client::connect(&running.socket, key().public(), PATIENCE).unwrap();
    assert_eq!(refusal(client.ask_one(show(0))), Refusal::RolledBack(View(8)));
}

fn transaction(chain: ChainId, key: &SigningKey) -> TransactionBody {
    TransactionBody {
        version: TRANSACTION_VERSION,
        chain,
        sender: AccountId([0; 32]),
        public_key: key.public(),
        nonce: 1,
        expires_at_ms: 1,
        work_limit: 1,
        shard_hint: None,
        location: None,
        data: BoundedVec::default(),
    }
}

#[test]
fn each_key_signs_what_its_role_signs() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::new(&folder);
    let mut owner = Client::connect(&running.socket, account().public(), PATIENCE).unwrap();
    // Many clients may use an account's key at once.
    let _second = Client::connect(&running.socket, account().public(), PATIENCE).unwrap();
    let body = transaction(CHAIN, &account());
    let expected = account().sign_transaction(body.clone()).first().unwrap().signature;
    assert_eq!(owner.ask_one(RequestSubject::Transaction(Box::new(body))).unwrap(), Answer::Signed(expected));
    let other = transaction(ChainId([1; 32]), &account());
    assert_eq!(
        refusal(owner.ask_one(RequestSubject::Transaction(Box::new(other)))),
        Refusal::OtherChain(ChainId([1; 32]))
    );
    let other = transaction(CHAIN, &key());
    assert_eq!(refusal(owner.ask_one(RequestSubject::Transaction(Box::new(other)))), Refusal::OtherSigner);
    assert_eq!(refusal(owner.ask_one(ask(vote(VoteKind::Finalize, 0, 3, 1)))), Refusal::OtherRole);
    let mut validator = running.client();
    let body = transaction(CHAIN, &key());
    assert_eq!(refusal(validator.ask_one(RequestSubject::Transaction(Box::new(body)))), Refusal::OtherRole);
    let stranger = SigningKey::from_seed(&[1; 32]).public();
    assert_eq!(refusal(Client::connect(&running.socket, stranger, PATIENCE)), Refusal::OtherKey);
}

fn transaction2(threshold: u8, keys: &[&SigningKey]) -> TransactionBody2 {
    let keys = keys.iter().map(|key| SignerKey::Ed25519(key.public())).collect();
    TransactionBody2 {
        authority: Authority::of_keys(threshold, keys).unwrap(),
        sender: AccountId([0; 32]),
        nonce: 0,
        expires_at_ms: 1,
        work_limit: 1,
        shard_hint: None,
        location: None,
        data: BoundedVec::default(),
    }
}

fn second(chain: ChainId, body: &TransactionBody2) -> RequestSubject {
    RequestSubject::Transaction2 { chain, body: Box::new(body.clone()) }
}

#[test]
fn an_account_key_signs_bodies_of_version_2_whose_authority_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::new(&folder);
    let mut owner = Client::connect_for_accounts(&running.socket, account().public(), PATIENCE).unwrap();
    let stranger = SigningKey::from_seed(&[1; 32]);
    for body in [transaction2(1, &[&account()]), transaction2(2, &[&stranger, &account()])] {
        let Signature2::Ed25519(expected) = account().sign_body2(&CHAIN, &body);
        assert_eq!(owner.ask_one(second(CHAIN, &body)).unwrap(), Answer::Signed(expected));
        let other = ChainId([1; 32]);
        assert_eq!(refusal(owner.ask_one(second(other, &body))), Refusal::OtherChain(other));
    }
    let foreign = transaction2(2, &[&stranger, &key()]);
    assert_eq!(refusal(owner.ask_one(second(CHAIN, &foreign))), Refusal::OtherSigner);
    let own = transaction2(1, &[&key()]);
    assert_eq!(refusal(running.client().ask_one(second(CHAIN, &own))), Refusal::OtherRole, "a validator's key");
}

#[test]
fn versions_of_the_protocol_from_the_oldest_to_the_newest_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::new(&folder);
    let answer = |version| {
        let mut stream = UnixStream::connect(&running.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        protocol::write_frame(&mut stream, &Hello { version, key: account().public(), session: [0; 16] }).unwrap();
        protocol::read_frame::<Answer>(&mut stream).unwrap()
    };
    let refused = Answer::Refused(Refusal::OtherVersion(VERSION));
    assert_eq!(
        (0..=VERSION + 1).map(answer).collect::<Vec<_>>(),
        [refused.clone(), Answer::Here, Answer::Here, Answer::Here, refused]
    );
}

#[test]
fn a_signer_without_sessions_is_told_by_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("signer.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    // An older signer can't read this first frame, which is longer than its own, and closes the connection.
    let older = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 4 + 1 + 32 + 16];
        stream.read_exact(&mut hello).unwrap();
    });
    let refused = refusal(Client::connect_shared(&socket, key().public(), [1; 16], PATIENCE));
    assert_eq!(refused, Refusal::OtherVersion(VERSION - 1));
    older.join().unwrap();
}

#[test]
fn nothing_is_signed_before_the_journal_was_shown_or_while_another_signer_listens() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::new(&folder);
    let mut client = Client::connect(&running.socket, key().public(), PATIENCE).unwrap();
    assert_eq!(refusal(client.ask_one(ask(vote(VoteKind::Nullify, 0, 1, 0)))), Refusal::NotShown);
    assert_eq!(client.ask_one(RequestSubject::Ping).unwrap(), Answer::Here);
    let again = Settings {
        socket: running.socket.clone(),
        state: folder.path().join("other"),
        chains: chains(),
        keys: Vec::new(),
        users: [].into(),
    };
    assert_eq!(Server::open(again).err().unwrap().code(), "signer-socket-in-use");
}

#[test]
fn malformed_frames_end_only_their_connection() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::new(&folder);
    let mut hello = Vec::new();
    frame_into(&Hello { version: VERSION, key: account().public(), session: [0; 16] }, &mut hello);
    let too_long = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes().to_vec();
    let malformed = [4u32.to_le_bytes().to_vec(), vec![0xff; 4]].concat();
    for bytes in [too_long.clone(), [hello.clone(), too_long].concat(), [hello.clone(), malformed].concat()] {
        let mut stream = UnixStream::connect(&running.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answered = Vec::new();
        // A reset also counts as an end.
        let _ = stream.read_to_end(&mut answered);
        assert!(answered.len() <= 5, "{answered:?}");
    }
    running.client().ask_one(ask(vote(VoteKind::Nullify, 0, 1, 0))).unwrap();
}
