//! A chain that begins with several shards: each account is in one of them, and each shard executes and proves its own.

use crate::common::*;
use proptest::prelude::*;
use rustorium_crypto::{account_id, pool_account, verifier_id};
use rustorium_execution::*;
use rustorium_types::*;

/// The test accounts in the order of their ids.
fn ascending() -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..ACCOUNTS).collect();
    numbers.sort_unstable_by_key(|number| account(*number));
    numbers
}

fn shard(from: AccountId, members: &[u16]) -> GenesisShard {
    GenesisShard { from, members: BoundedVec::new(members.to_vec()).unwrap() }
}

fn listing(shards: Vec<GenesisShard>) -> Genesis {
    Genesis { shards: BoundedVec::new(shards).unwrap(), ..make_genesis(Parameters::default()) }
}

/// Two of the four accounts are in each of two shards, and all validators in both.
fn two() -> Genesis {
    let (cut, all) = (account(ascending()[2]), &[0, 1, 2, 3]);
    listing(vec![shard(AccountId::default(), all), shard(cut, all)])
}

const OTHER: ShardId = ShardId(1);

#[test]
fn each_account_is_in_the_state_of_one_shard() {
    let cut = account(ascending()[2]);
    let made = listing(vec![shard(AccountId::default(), &[0, 1, 2, 3]), shard(cut, &[1, 2, 3, 0])]);
    assert_eq!(check_genesis(&made), Ok(()));
    assert_eq!(made.shard_ids().collect::<Vec<_>>(), [ShardId::ROOT, OTHER]);
    let starts = [ShardId::ROOT, OTHER].map(|shard| genesis(&made, shard));
    for (place, number) in ascending().into_iter().enumerate() {
        let has = starts.each_ref().map(|start| start.value(&account_key(account(number))).is_some());
        assert_eq!(has, [place < 2, place >= 2]);
        let charters = [ShardId::ROOT, OTHER].map(|shard| made.charter(shard).has(&account(number)));
        assert_eq!((charters, made.shard_of(&account(number))), (has, ShardId(u32::from(place >= 2))));
    }
    assert_ne!(starts[0].digest, starts[1].digest);
    let [root, other] = [ShardId::ROOT, OTHER].map(|shard| hashes(&made, shard));
    assert_eq!((root.chain, root.parameters), (other.chain, other.parameters));
    assert!(root.validator_set != other.validator_set && root.shard_map != other.shard_map);
    assert_eq!(made.committee(OTHER)[0], made.validators[1]);
    assert_eq!((made.committee(ShardId(2)).len(), made.charter(ShardId(2)).has(&account(0))), (0, false));
}

#[test]
fn a_committee_has_the_members_that_the_genesis_names() {
    let cut = account(ascending()[2]);
    let made = listing(vec![shard(AccountId::default(), &[0, 1, 2]), shard(cut, &[3])]);
    assert_eq!(check_genesis(&made), Ok(()));
    let start = genesis(&made, OTHER);
    assert_eq!((start.header.cursors.len(), made.committee(OTHER).as_slice()), (1, &made.validators[3..]));
    let bytes = encode(&made);
    assert_eq!(decode::<Genesis>(&bytes, bytes.len()), Ok(made));
}

#[test]
fn pools_and_sponsors_are_where_their_accounts_are() {
    let sponsor = |number| GenesisSponsor { account: account(number), work_ppm: 1_000, history_ppm: 1_000 };
    let order = ascending();
    let sponsors = BoundedVec::new(vec![sponsor(order[3]), sponsor(order[0])]).unwrap();
    let made = Genesis { sponsors, ..two() };
    for (at, number) in [(OTHER, 1), (ShardId::ROOT, 2)] {
        let start = genesis(&made, at);
        let has: Vec<u32> = (1..=2).filter(|number| start.value(&sponsor_key(*number)).is_some()).collect();
        assert_eq!(has, [number]);
    }
}

fn wrong(shards: Vec<GenesisShard>, says: &str) {
    match check_genesis(&listing(shards)) {
        Err(GenesisRefused::Shards(why)) => assert!(why.contains(says), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_list_of_shards_that_cannot_start_a_chain_is_refused() {
    let (zero, cut) = (AccountId::default(), account(ascending()[2]));
    let all = &[0, 1, 2, 3][..];
    wrong(vec![shard(zero, all)], "leave the list out");
    wrong(vec![shard(cut, all), shard(AccountId([255; 32]), all)], "lowest account");
    wrong(vec![shard(zero, all), shard(zero, all)], "above the one before");
    wrong(vec![shard(zero, all), shard(AccountId([255; 32]), all), shard(cut, all)], "above the one before");
    let mut among_the_systems = [0; 32];
    among_the_systems[30] = 1;
    wrong(vec![shard(zero, all), shard(AccountId(among_the_systems), all)], "system's ids");
    wrong(vec![shard(zero, all), shard(cut, &[])], "no members");
    wrong(vec![shard(zero, all), shard(cut, &[4])], "none of the validators");
    wrong(vec![shard(zero, all), shard(cut, &[1, 1])], "twice");
    wrong(vec![shard(zero, &[0, 1]), shard(cut, &[2])], "in no shard");
    let unrooted = Parameters { state_roots: false, ..Parameters::default() };
    let made = Genesis { parameters: unrooted, ..two() };
    assert!(matches!(check_genesis(&made), Err(GenesisRefused::Shards(why)) if why.contains("state_roots")));
    let first = Genesis { version: 1, parameters: Parameters::of(Rules::V1), ..two() };
    assert!(matches!(check_genesis(&first), Err(GenesisRefused::Shards(why)) if why.contains("version 2")));
}

#[test]
fn an_empty_list_has_one_encoding() {
    let made = make_genesis(Parameters::default());
    let bytes = encode(&made);
    assert_eq!(decode::<Genesis>(&bytes, bytes.len()), Ok(made));
    let longer = [&bytes[..], &[0; 4]].concat();
    assert!(decode::<Genesis>(&longer, longer.len()).is_err());
}

#[test]
fn a_sender_of_another_shard_is_skipped() {
    let order = ascending();
    let mut world = World::of_shard(two(), OTHER);
    let (there, here) = (order[0], order[2]);
    let transaction = world.sign_at(there, 0, vec![put(there, b"k", b"v")]);
    let execution = world.run(&[transaction]);
    assert_eq!(execution.skipped.iter().map(|(_, skip)| *skip).collect::<Vec<_>>(), [Skip::Elsewhere]);
    assert!(execution.receipts.is_empty() && execution.diff.is_empty());
    world.ok(here, vec![put(here, b"k", b"v"), transfer(order[3], 1), grant(order[3], &[b"k"])]);
}

/// Returns an account that doesn't exist yet, in this shard.
fn new_in(made: &Genesis, shard: ShardId) -> usize {
    (100..).find(|number| made.shard_of(&account(*number)) == shard).unwrap()
}

#[test]
fn an_operation_that_concerns_another_shard_fails_and_takes_back_the_others() {
    let (made, order) = (two(), ascending());
    let (there, here) = (order[0], order[2]);
    let elsewhere = |shard| new_in(&made, shard);
    let (new_there, new_here) = (elsewhere(ShardId::ROOT), elsewhere(OTHER));
    let pool = (0..).find(|number| made.shard_of(&pool_account(*number)) == ShardId::ROOT).unwrap();
    let verifier = VerifierId([0; 32]);
    let conditions = [
        Condition::Absent { namespace: account(there), key: key(b"k") },
        Condition::ValueHash { namespace: account(there), key: key(b"k"), hash: Hash::ZERO },
        Condition::BalanceAtLeast { account: account(there), asset: gold(), amount: 1 },
        Condition::Proved { verifier: VerifierId([1; 32]), input: 0, equals: InputValue::ThisTransaction },
    ];
    let mut operations = vec![
        put(there, b"k", b"v"),
        delete(there, b"k"),
        transfer(there, 1),
        issue(b"COIN", there, 1),
        grant(there, &[b"k"]),
        create(new_there, 0),
        Operation::EndEpoch { epoch: Epoch(0) },
        Operation::RemoveValidator { validator_key: made.validators[0].validator_key },
        Operation::VerifyProof {
            verifier: VerifierId([1; 32]),
            inputs: BoundedVec::default(),
            proof: BoundedBytes::new(vec![0; 128]).unwrap(),
        },
    ];
    operations.extend(conditions.map(Operation::Require));
    let named = BoundedVec::default();
    let registered = |bytes: u8| BoundedBytes::new(vec![bytes; 8]).unwrap();
    let away = |bytes: &u8| {
        let id = verifier_id(&account(here), registered(*bytes).as_slice(), &[]);
        made.shard_of(&AccountId(id.0)) == ShardId::ROOT
    };
    let bytes = (0..=255).find(away).unwrap();
    operations.push(Operation::RegisterVerifier { key: registered(bytes), named });
    assert!(made.shard_of(&AccountId(verifier.0)) == ShardId::ROOT && pool < u32::MAX);
    for operation in operations {
        let mut world = World::of_shard(made.clone(), OTHER);
        world.fails(here, vec![put(here, b"before", b"v"), operation], FailureCode::CrossShard);
    }
    let mut world = World::of_shard(made.clone(), OTHER);
    world.ok(here, vec![create(new_here, 0)]);
    assert_eq!(
        world.outcome(here, vec![create(new_here, 0)]),
        Outcome::Failed { code: FailureCode::AccountExists, operation: 0 }
    );
}

#[test]
fn seats_act_in_the_root_shard_and_owners_in_each() {
    let parameters = Parameters {
        operators: BoundedVec::new(vec![signer(0).public()]).unwrap(),
        operator_quorum: 1,
        ..Parameters::default()
    };
    let made = Genesis { parameters, ..two() };
    for (at, expected) in [(ShardId::ROOT, Ok(Outcome::Ok)), (OTHER, Err(Skip::Elsewhere))] {
        let mut world = World::of_shard(made.clone(), at);
        let change = propose(&world, set_parameters(&world, |parameters| parameters.epoch_ms += 1));
        assert_eq!(world.seat_does(0, &alone(0), change), expected);
        let replaced = world.replace_keys(0, 77);
        assert_eq!(world.owner_does(0, &owner(0), replaced), Ok(Outcome::Ok));
    }
}

#[test]
fn a_checkpoint_says_which_accounts_its_shard_has() {
    let made = two();
    for shard in made.shard_ids() {
        let trust = Trust::of_shard(&made, shard);
        let bytes = trust.to_checkpoint();
        assert_eq!(Trust::from_checkpoint(&bytes), Ok(trust.clone()));
        let kept = Light::new(trust.clone(), None).to_bytes();
        assert_eq!(Light::from_bytes(&kept, None).unwrap().newest(), &trust);
        let wider = Trust { charter: Charter { to: None, from: AccountId::default(), ..trust.charter }, ..trust };
        assert!(Trust::from_checkpoint(&wider.to_checkpoint()).is_err(), "the header's hash names the charter");
    }
}

#[test]
fn a_proof_of_a_shard_says_nothing_about_accounts_of_another() {
    let made = two();
    let (there, here) = (ascending()[0], ascending()[2]);
    let chain = ReadChain::above(World::of_shard(made.clone(), OTHER));
    let own = chain.prove(vec![value_of(here, b"absent")], vec![]);
    assert_eq!(verify_read(&made, &own).map(|shown| shown.height), Ok(chain.world.header.height));
    let absent = chain.prove(vec![value_of(there, b"absent")], vec![]);
    let elsewhere = ProofRefused::Elsewhere { account: account(there), shard: OTHER };
    assert_eq!(verify_read(&made, &absent).unwrap_err(), elsewhere);
    let mut light = Light::new(Trust::of_shard(&made, OTHER), None);
    assert_eq!(light.check(&Proof::Read(Box::new(absent.clone())), absent.header.time_ms).unwrap_err(), elsewhere);
    let mut root = Light::new(Trust::genesis(&made), None);
    let other = ProofRefused::OtherShard { header: OTHER, expected: ShardId::ROOT };
    assert_eq!(root.check(&Proof::Read(Box::new(own.clone())), own.header.time_ms).unwrap_err(), other);
    let one = Genesis { shards: BoundedVec::default(), ..made };
    assert_eq!(verify_read(&one, &own).unwrap_err(), other, "a chain of one shard has no other");
}

proptest! {
    #[test]
    fn charters_divide_all_accounts(cuts in proptest::collection::btree_set(any::<[u8; 32]>(), 1..6), id in any::<[u8; 32]>()) {
        let cuts = cuts.into_iter().map(AccountId).filter(|cut| !cut.is_system());
        let shards = std::iter::once(AccountId::default()).chain(cuts).map(|from| shard(from, &[0, 1, 2, 3])).collect();
        let made = listing(shards);
        let id = AccountId(id);
        let having: Vec<ShardId> = made.shard_ids().filter(|shard| made.charter(*shard).has(&id)).collect();
        prop_assert_eq!(having, [made.shard_of(&id)]);
    }

    #[test]
    fn an_account_of_any_key_is_in_one_shard(region in any::<u8>(), key in any::<[u8; 32]>()) {
        let (made, id) = (two(), account_id(region, &key));
        prop_assert_eq!(made.charter(ShardId::ROOT).has(&id), !made.charter(OTHER).has(&id));
    }
}

#[test]
fn a_receipt_of_an_account_of_another_shard_shows_nothing() {
    let made = two();
    let here = ascending()[2];
    let mut world = World::of_shard(made.clone(), OTHER);
    let previous = world.root;
    let transaction = world.sign(here, vec![put(here, b"k", b"v")]);
    let execution = world.run(&[transaction]);
    let claim = ResultClaim { height: world.header.height, root: world.root };
    let header = child(&world.header, claim);
    let proof = BlockProof { descendants: BoundedVec::default(), finalization: finalize(&header, &[0, 1, 3]) };
    let shown = prove_receipt(&execution.receipts, 0, previous, vec![execution.link], header, proof).unwrap();
    assert_eq!(verify_receipt(&made, &shown), Ok(()));
    let charter = made.charter(OTHER);
    let narrower = Charter { from: account(ascending()[3]), ..charter };
    assert_eq!(check_receipt(&shown, &charter), Ok(()));
    let elsewhere = ProofRefused::Elsewhere { account: account(here), shard: OTHER };
    assert_eq!(check_receipt(&shown, &narrower), Err(elsewhere));
}
