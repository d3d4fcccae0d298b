use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const CHAIN: ChainId = ChainId([5; 32]);
const PLACE: Place<'static> = Place { table: 2, format: 1, key: b"a key" };

fn at_rest(byte: u8) -> AtRest {
    AtRest::new(Arc::new(MasterKey::from_secret(&[byte; 32]).unwrap()), CHAIN)
}

/// A sealer with a salt of the test's choice, which only this module can make.
fn sealer(at_rest: &AtRest, salt: u8, version: u32) -> Sealer {
    at_rest.row_sealer(FreshSalt(Salt([salt; 16])), version).unwrap()
}

fn opener(at_rest: &AtRest, versions: &[(u32, u8)]) -> Opener {
    let opener = at_rest.row_opener();
    versions.iter().for_each(|(version, salt)| opener.add(*version, Salt([*salt; 16])));
    opener
}

fn seal(sealer: &Sealer, place: &Place<'_>, contents: &[u8]) -> Vec<u8> {
    let mut row = vec![0; HEAD_BYTES];
    row.extend_from_slice(contents);
    sealer.seal(place, &mut row, 0).unwrap();
    row
}

#[test]
fn the_sealed_format_does_not_change() {
    // Made once by this code and stored: detects any change of derivation, nonce, associated data or layout.
    let row = seal(&sealer(&at_rest(7), 9, 3), &PLACE, b"contents");
    assert_eq!(hex::encode(&row), "03000000000000000000b875369a771943685962a07b5089cf7c719052352ec3d57a");
}

proptest! {
    #[test]
    fn sealed_bytes_open_only_at_their_place(contents in proptest::collection::vec(any::<u8>(), 0..300), bit: usize) {
        let keys = at_rest(1);
        let (sealer, opener) = (sealer(&keys, 2, 4), opener(&keys, &[(4, 2), (5, 2), (6, 3)]));
        let row = seal(&sealer, &PLACE, &contents);
        prop_assert_eq!(row.len(), HEAD_BYTES + contents.len() + TAG_BYTES);
        prop_assert_eq!(opener.open(&PLACE, &row), Ok(contents.clone()));
        for place in [Place { table: 3, ..PLACE }, Place { format: 2, ..PLACE }, Place { key: b"a kez", ..PLACE }] {
            prop_assert_eq!(opener.open(&place, &row), Err(OpenError::Altered));
        }
        let mut bad = row.clone();
        let bit = bit % (bad.len() * 8);
        bad[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(matches!(opener.open(&PLACE, &bad), Err(OpenError::Altered | OpenError::UnknownVersion(_))));
        // Tests another version with the same salt, another chain, another master key.
        let mut other = row.clone();
        other[0] = 5;
        prop_assert_eq!(opener.open(&PLACE, &other), Err(OpenError::Altered));
        let elsewhere = AtRest::new(keys.master.clone(), ChainId([6; 32]));
        for keys in [elsewhere, at_rest(2)] {
            let opener = keys.row_opener();
            opener.add(4, Salt([2; 16]));
            prop_assert_eq!(opener.open(&PLACE, &row), Err(OpenError::Altered));
        }
    }

    #[test]
    fn no_bytes_make_opening_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let keys = at_rest(1);
        prop_assert!(opener(&keys, &[(0, 1)]).open(&PLACE, &bytes).is_err());
        prop_assert!(version_of(&bytes).is_none() || bytes.len() >= 4);
    }

    #[test]
    fn a_nonce_is_never_used_twice(starts in proptest::collection::vec(1usize..20, 1..8), threads in 1usize..4) {
        let keys = at_rest(1);
        let mut seen = BTreeSet::new();
        let mut expected = 0;
        for seals in starts {
            // A process starts with a fresh salt and a count from zero.
            let fresh = FreshSalt::draw().unwrap();
            let salt = fresh.salt();
            let sealer = keys.row_sealer(fresh, 1).unwrap();
            let rows = std::thread::scope(|scope| {
                let work = || (0..seals).map(|_| seal(&sealer, &PLACE, b"x")).collect::<Vec<_>>();
                let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                running.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            expected += rows.len();
            seen.extend(rows.iter().map(|row| (salt.0, row[4..HEAD_BYTES].to_vec())));
        }
        prop_assert_eq!(seen.len(), expected, "(salt, nonce) is unique over threads and starts");
    }
}

#[test]
fn a_subkey_that_is_used_up_seals_nothing_more() {
    let keys = at_rest(1);
    let sealer = sealer(&keys, 2, 1);
    sealer.next.store(COUNT_MAX - 1, Ordering::Relaxed);
    let last = seal(&sealer, &PLACE, b"last");
    assert_eq!(opener(&keys, &[(1, 2)]).open(&PLACE, &last), Ok(b"last".to_vec()));
    for _ in 0..3 {
        assert_eq!(sealer.seal(&PLACE, &mut vec![0; HEAD_BYTES], 0), Err(SealError::UsedUp));
    }
}

#[test]
fn misuse_is_refused() {
    let keys = at_rest(1);
    let sealer = sealer(&keys, 2, 1);
    assert_eq!(sealer.seal(&PLACE, &mut vec![0; HEAD_BYTES - 1], 0), Err(SealError::NoRoom));
    assert_eq!(sealer.seal(&PLACE, &mut vec![0; HEAD_BYTES], 1), Err(SealError::NoRoom));
    let long = Place { key: &[0; 129], ..PLACE };
    assert_eq!(sealer.seal(&long, &mut vec![0; 20], 0), Err(SealError::KeyTooLong(129)));
    assert_eq!(MasterKey::from_secret(&[1; 31]).unwrap_err(), SealError::WrongSize(31));
    assert_eq!(opener(&keys, &[]).open(&PLACE, &[1; 40]), Err(OpenError::UnknownVersion(0x0101_0101)));
}

#[test]
fn an_opener_keeps_few_subkeys_and_opens_all() {
    let keys = at_rest(1);
    let versions: Vec<(u32, u8)> = (1..=100).map(|n| (n, n as u8)).collect();
    let rows: Vec<_> = versions.iter().map(|(n, salt)| seal(&sealer(&keys, *salt, *n), &PLACE, &[*salt])).collect();
    let opener = opener(&keys, &versions);
    for _ in 0..2 {
        for ((_, salt), row) in versions.iter().zip(&rows) {
            assert_eq!(opener.open(&PLACE, row), Ok(vec![*salt]));
            assert_eq!(opener.open(&PLACE, &rows[0]), Ok(vec![1]));
        }
    }
    let ready = opener.ready.read().unwrap();
    assert_eq!(ready.len(), OPENERS_MAX);
    assert!(ready.iter().any(|ready| ready.version == 1), "the one asked for most often is ready");
}

#[test]
fn a_log_opens_at_its_positions_and_never_seals_one_twice() {
    let keys = at_rest(1);
    let fresh = FreshSalt::draw().unwrap();
    let opener = keys.log_opener(&fresh.salt()).unwrap();
    let mut log = keys.log_sealer(fresh).unwrap();
    let mut data = *b"a vote";
    let tag = log.seal_at(77, b"head", &mut data).unwrap();
    assert_ne!(&data, b"a vote");
    let sealed = data;
    for (position, head) in [(78, b"head"), (77, b"haed")] {
        let mut elsewhere = sealed;
        assert!(!opener.open_at(position, head, &mut elsewhere, &tag));
        assert_ne!(&elsewhere, b"a vote");
    }
    assert!(opener.open_at(77, b"head", &mut data, &tag));
    assert_eq!(&data, b"a vote");
    for position in [0, 76, 77] {
        assert_eq!(log.seal_at(position, b"", &mut data), Err(SealError::Position(position)));
    }
    log.seal_at(78, b"", &mut data).unwrap();
}

#[test]
fn keyed_hashes_differ_by_use_tag_and_master_key() {
    let of = |byte, purpose, tag| at_rest(byte).keyed(purpose).unwrap().of(tag, &[b"na", b"me"]);
    let all = [
        of(1, HashUse::Names, 0),
        of(1, HashUse::Names, 1),
        of(1, HashUse::KeyFile, 0),
        of(1, HashUse::JournalHeader, 0),
        of(2, HashUse::Names, 0),
    ];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert_eq!(all[0], of(1, HashUse::Names, 0));
    assert_eq!(hex::encode(all[0]), "f978535b7f24e2e597d00590bd6621df");
}

#[test]
fn secrets_are_not_printed() {
    assert_eq!(format!("{:?}", at_rest(0xab).master), "MasterKey(..)");
    assert!(!format!("{:?}", at_rest(0xab)).contains("171"));
}
