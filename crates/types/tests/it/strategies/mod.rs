//! Arbitrary values of every type that travels.

mod proofs;
mod second;
mod terms;

pub use proofs::proof;
use proptest::array::uniform32;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rustorium_types::limits::{INLINE_TRANSACTIONS_MAX, PROOF_HEADERS_MAX, SYNC_ITEMS_MAX, VALIDATORS_MAX};
use rustorium_types::*;
pub use second::{any_transaction, authority, operation2, transaction2};
pub use terms::{activation, transition};

fn bounded<T: std::fmt::Debug, const MAX: usize>(
    item: impl Strategy<Value = T>,
    up_to: usize,
) -> impl Strategy<Value = BoundedVec<T, MAX>> {
    vec(item, 0..=up_to.min(MAX)).prop_map(|list| BoundedVec::new(list).unwrap())
}

fn bytes<const MAX: usize>(up_to: usize) -> impl Strategy<Value = BoundedBytes<MAX>> {
    vec(any::<u8>(), 0..=up_to.min(MAX)).prop_map(|list| BoundedBytes::new(list).unwrap())
}

fn id() -> impl Strategy<Value = [u8; 32]> {
    prop_oneof![Just([0; 32]), Just([255; 32]), uniform32(any::<u8>())]
}

fn account() -> impl Strategy<Value = AccountId> {
    id().prop_map(AccountId)
}

fn hash() -> impl Strategy<Value = Hash> {
    id().prop_map(Hash)
}

fn possession() -> impl Strategy<Value = Possession> {
    (signature(), signature()).prop_map(|(validator, node)| Possession { validator, node })
}

fn signature() -> impl Strategy<Value = Signature> {
    (id(), id()).prop_map(|(a, b)| {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&a);
        signature[32..].copy_from_slice(&b);
        signature
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        (account(), bytes(9), hash()).prop_map(|(namespace, key, hash)| Condition::ValueHash { namespace, key, hash }),
        (account(), bytes(9)).prop_map(|(namespace, key)| Condition::Absent { namespace, key }),
        (account(), id(), any::<u128>()).prop_map(|(account, asset, amount)| Condition::BalanceAtLeast {
            account,
            asset: AssetId(asset),
            amount
        }),
        (id(), any::<u8>(), input_value()).prop_map(|(verifier, input, equals)| Condition::Proved {
            verifier: VerifierId(verifier),
            input,
            equals
        }),
    ]
}

fn input_value() -> impl Strategy<Value = InputValue> {
    prop_oneof![id().prop_map(InputValue::Number), Just(InputValue::ThisTransaction)]
}

fn named_input() -> impl Strategy<Value = NamedInput> {
    any::<(u8, bool)>().prop_map(|(index, once)| NamedInput { index, once })
}

fn validator() -> impl Strategy<Value = Validator> {
    (bytes(8), id(), id(), id(), any::<u8>(), bytes(20)).prop_map(
        |(name, validator_key, node_key, owner_key, region, address)| Validator {
            name,
            validator_key,
            node_key,
            owner_key,
            region,
            address,
        },
    )
}

pub fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (any::<u8>(), id(), any::<u64>()).prop_map(|(region, public_key, storage_bytes)| Operation::CreateAccount {
            region,
            public_key,
            storage_bytes
        }),
        (account(), bytes(9), bytes(40)).prop_map(|(namespace, key, value)| Operation::Put { namespace, key, value }),
        (account(), bytes(9)).prop_map(|(namespace, key)| Operation::Delete { namespace, key }),
        condition().prop_map(Operation::Require),
        (account(), id(), any::<u128>()).prop_map(|(to, asset, amount)| Operation::Transfer {
            to,
            asset: AssetId(asset),
            amount
        }),
        (bytes(16), account(), any::<u128>()).prop_map(|(symbol, to, amount)| Operation::Issue { symbol, to, amount }),
        (account(), bounded(bytes(9), 4)).prop_map(|(to, prefixes)| Operation::Grant { to, prefixes }),
        validator().prop_map(|validator| Operation::AddValidator { validator }),
        id().prop_map(|validator_key| Operation::RemoveValidator { validator_key }),
        (id(), id(), id()).prop_map(|(validator_key, new_validator_key, new_node_key)| Operation::ReplaceKey {
            validator_key,
            new_validator_key,
            new_node_key
        }),
        any::<u64>().prop_map(|epoch| Operation::EndEpoch { epoch: Epoch(epoch) }),
        (validator(), possession()).prop_map(|(validator, possession)| Operation::AddProven { validator, possession }),
        (id(), id(), id(), possession()).prop_map(|(validator_key, new_validator_key, new_node_key, possession)| {
            Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession }
        }),
        (bytes(40), bounded(named_input(), 4)).prop_map(|(key, named)| Operation::RegisterVerifier { key, named }),
        (id(), bounded(id(), 5), bytes(40)).prop_map(|(verifier, inputs, proof)| Operation::VerifyProof {
            verifier: VerifierId(verifier),
            inputs,
            proof
        }),
        (any::<u32>(), id(), any::<u64>(), pool_transfer()).prop_map(|(pool, asset, amount, transfer)| {
            Operation::Shield { pool, asset: AssetId(asset), amount, transfer }
        }),
        (any::<u32>(), pool_transfer()).prop_map(|(pool, transfer)| Operation::ShieldedTransfer { pool, transfer }),
        (any::<u32>(), id(), any::<u64>(), account(), pool_transfer()).prop_map(
            |(pool, asset, amount, to, transfer)| Operation::Unshield {
                pool,
                asset: AssetId(asset),
                amount,
                to,
                transfer
            }
        ),
    ]
}

fn pool_transfer() -> impl Strategy<Value = Box<PoolTransfer>> {
    (id(), [id(), id()], [id(), id()], any::<u8>(), any::<u8>()).prop_map(
        |(root, nullifiers, commitments, sealed, proof)| {
            let (sealed, proof) = ([sealed; limits::SEALED_BYTES], [proof; limits::TRANSFER_PROOF_BYTES]);
            Box::new(PoolTransfer { root, nullifiers, commitments, sealed, proof })
        },
    )
}

pub fn transaction() -> impl Strategy<Value = Transaction1> {
    let head = (any::<u16>(), id(), account(), id(), any::<u64>(), any::<u64>(), any::<u64>());
    let location = (any::<i32>(), any::<i32>());
    let location = location.prop_map(|(latitude_e7, longitude_e7)| GeoLocation { latitude_e7, longitude_e7 });
    let tail = (option::of(any::<u32>()), option::of(location), bounded(operation(), 4), signature());
    (head, tail).prop_map(|(head, (shard_hint, location, data, signature))| {
        let (version, chain, sender, public_key, nonce, expires_at_ms, work_limit) = head;
        let (chain, shard_hint) = (ChainId(chain), shard_hint.map(ShardId));
        let body = TransactionBody {
            version,
            chain,
            sender,
            public_key,
            nonce,
            expires_at_ms,
            work_limit,
            shard_hint,
            location,
            data,
        };
        Transaction1 { body, signature }
    })
}

pub fn batch() -> impl Strategy<Value = Batch> {
    let head = (id(), any::<u32>(), any::<u64>(), any::<u16>(), any::<u64>(), id());
    (head, bounded(any_transaction(), 3), signature()).prop_map(|(head, transactions, signature)| {
        let (chain, shard, epoch, author, seq, previous) = head;
        let body = BatchBody {
            chain: ChainId(chain),
            shard: ShardId(shard),
            epoch: Epoch(epoch),
            author: ValidatorIndex(author),
            seq,
            previous: BatchDigest(previous),
            transactions,
        };
        Batch { body, signature }
    })
}

fn state_claim() -> impl Strategy<Value = StateClaim> {
    let rooted = (any::<u64>(), any::<u64>(), hash());
    prop_oneof![
        Just(StateClaim::NoneYet),
        rooted.prop_map(|(height, first, root)| StateClaim::Rooted {
            height: Height(height),
            first: Height(first),
            root
        }),
    ]
}

fn end() -> impl Strategy<Value = End> {
    let closing = id().prop_map(|digest| End::Closing(BlockDigest(digest)));
    prop_oneof![Just(End::GoesOn), Just(End::Boundary), closing]
}

pub fn header() -> impl Strategy<Value = Header> {
    let cursor = (any::<u64>(), id()).prop_map(|(next_seq, tip)| Cursor { next_seq, tip: BatchDigest(tip) });
    let place = (any::<u16>(), id(), any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>());
    let parent = (id(), any::<u64>(), any::<u16>(), any::<u64>());
    let payload = (hash(), bounded(cursor, 5), any::<u32>(), any::<u64>(), any::<u64>());
    let sets = (hash(), hash(), hash(), hash());
    (place, parent, payload, sets, (any::<u64>(), hash(), state_claim(), end())).prop_map(
        |(place, parent, payload, sets, claims)| Header {
            version: place.0,
            chain: ChainId(place.1),
            shard: ShardId(place.2),
            epoch: Epoch(place.3),
            view: View(place.4),
            height: Height(place.5),
            parent: BlockDigest(parent.0),
            parent_view: View(parent.1),
            proposer: ValidatorIndex(parent.2),
            time_ms: parent.3,
            payload_root: payload.0,
            cursors: payload.1,
            transactions: payload.2,
            declared_work: payload.3,
            speaks: payload.4,
            validator_set: sets.0,
            end: claims.3,
            next_validator_set: sets.1,
            parameters: sets.2,
            shard_map: sets.3,
            result: ResultClaim { height: Height(claims.0), root: claims.1 },
            state: claims.2,
        },
    )
}

/// Blocks of any version. Those of version 1 have no transactions in the form of version 2.
pub fn block() -> impl Strategy<Value = Block> {
    let first = bounded::<_, INLINE_TRANSACTIONS_MAX>(transaction().prop_map(Transaction::V1), 2);
    let first =
        (header(), first).prop_map(|(header, inline)| Block { header: Header { version: 1, ..header }, inline });
    let later = (header(), bounded::<_, INLINE_TRANSACTIONS_MAX>(any_transaction(), 2));
    let later = later
        .prop_map(|(header, inline)| Block { header: Header { version: header.version.max(2), ..header }, inline });
    prop_oneof![first.boxed(), later.boxed()]
}

fn vote_body() -> impl Strategy<Value = VoteBody> {
    let kind = prop_oneof![Just(VoteKind::Notarize), Just(VoteKind::Nullify), Just(VoteKind::Finalize)];
    (id(), any::<u32>(), any::<u64>(), any::<u64>(), kind, id()).prop_map(|(chain, shard, epoch, view, kind, block)| {
        VoteBody {
            chain: ChainId(chain),
            shard: ShardId(shard),
            epoch: Epoch(epoch),
            view: View(view),
            kind,
            block: BlockDigest(block),
        }
    })
}

pub fn vote() -> impl Strategy<Value = SignedVote> {
    (vote_body(), any::<u16>(), signature()).prop_map(|(body, signer, signature)| SignedVote {
        body,
        signer: ValidatorIndex(signer),
        signature,
    })
}

pub fn certificate() -> impl Strategy<Value = Certificate> {
    let signed = (any::<u16>(), signature()).prop_map(|(signer, signature)| (ValidatorIndex(signer), signature));
    (vote_body(), bounded(signed, 4)).prop_map(|(body, signatures)| Certificate { body, signatures })
}

pub fn proposal() -> impl Strategy<Value = Proposal> {
    let carried = (option::of(certificate()), bounded(certificate(), 2));
    (block(), signature(), carried).prop_map(|(block, signature, (notarization, nullifications))| Proposal {
        header: block.header,
        inline: block.inline,
        signature,
        notarization,
        nullifications,
    })
}

pub fn receipt() -> impl Strategy<Value = Receipt> {
    let failed = (0u8..19, any::<u16>())
        .prop_map(|(code, operation)| Outcome::Failed { code: decode(&[code], 1).unwrap(), operation });
    let numbers = (any::<u64>(), any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>());
    (id(), account(), numbers, prop_oneof![Just(Outcome::Ok), failed]).prop_map(
        |(transaction, sender, (nonce, height, index, time_ms, work), outcome)| Receipt {
            transaction: TxId(transaction),
            sender,
            nonce,
            height: Height(height),
            index,
            time_ms,
            work,
            outcome,
        },
    )
}

pub fn receipt_proof() -> impl Strategy<Value = ReceiptProof> {
    let link = (hash(), hash(), hash()).prop_map(|(receipts, diff, outbox)| ResultLink { receipts, diff, outbox });
    let path = (any::<u32>(), bounded(hash(), 5), hash(), bounded(link, 3));
    let descendants = bounded::<_, PROOF_HEADERS_MAX>(header(), 2);
    (receipt(), path, header(), descendants, certificate()).prop_map(
        |(receipt, (receipts, siblings, previous_root, links), header, descendants, finalization)| ReceiptProof {
            receipt,
            receipts,
            siblings,
            previous_root,
            links,
            header,
            proof: BlockProof { descendants, finalization },
        },
    )
}

pub fn genesis() -> impl Strategy<Value = Genesis> {
    let balance = (id(), any::<u128>()).prop_map(|(asset, amount)| (AssetId(asset), amount));
    let account = (any::<u8>(), id(), any::<u64>(), bounded(balance, 3)).prop_map(
        |(region, public_key, storage_bytes, balances)| GenesisAccount { region, public_key, storage_bytes, balances },
    );
    let pool = (any::<u32>(), bytes(9)).prop_map(|(number, key)| GenesisPool { number, key });
    let sponsor = (id(), any::<u32>(), any::<u32>()).prop_map(|(account, work_ppm, history_ppm)| GenesisSponsor {
        account: AccountId(account),
        work_ppm,
        history_ppm,
    });
    let shard =
        (id(), bounded(any::<u16>(), 4)).prop_map(|(from, members)| GenesisShard { from: AccountId(from), members });
    let lists =
        (bounded(validator(), 4), bounded(account, 4), bounded(pool, 2), bounded(sponsor, 2), bounded(shard, 3));
    (any::<u16>(), bytes(12), any::<u64>(), lists).prop_map(
        |(version, name, time_ms, (validators, accounts, pools, sponsors, shards))| Genesis {
            version,
            name,
            time_ms,
            parameters: Parameters::of(if version < 2 { Rules::V1 } else { Rules::V2 }),
            validators,
            accounts,
            pools,
            sponsors: if version < 2 { BoundedVec::default() } else { sponsors },
            shards: if version < 2 { BoundedVec::default() } else { shards },
        },
    )
}

fn report() -> impl Strategy<Value = Report> {
    (any::<u64>(), hash(), any::<u64>(), hash()).prop_map(|(executed, root, rooted, state_root)| Report {
        executed: Height(executed),
        root,
        rooted: Height(rooted),
        state_root,
    })
}

fn request() -> impl Strategy<Value = Request> {
    let lane = (any::<u16>(), id());
    prop_oneof![
        id().prop_map(|digest| Request::Block(BlockDigest(digest))),
        lane.prop_map(|(lane, digest)| Request::Batch { lane: ValidatorIndex(lane), digest: BatchDigest(digest) }),
        any::<(u64, u64)>().prop_map(|(first, last)| Request::Certificates { first: View(first), last: View(last) }),
        any::<(u64, u32)>().prop_map(|(first, count)| Request::FinalBlocks { first: Height(first), count }),
        any::<u64>().prop_map(|next_seq| Request::OwnSignatures { next_seq }),
        any::<u64>().prop_map(|epoch| Request::EpochEnd(Epoch(epoch))),
        any::<(u16, u64, u64)>().prop_map(|(lane, first, end)| Request::Batches {
            lane: ValidatorIndex(lane),
            first,
            end
        }),
        state_request().prop_map(Request::State),
        any::<Option<u64>>().prop_map(|first| Request::Follow(first.map(Height))),
    ]
}

fn state_request() -> impl Strategy<Value = StateRequest> {
    let prefix = || bytes(63);
    prop_oneof![
        any::<u64>().prop_map(|above| StateRequest::Newest { above: Height(above) }),
        (any::<u64>(), prefix()).prop_map(|(root, prefix)| StateRequest::Node { root: Height(root), prefix }),
        (any::<u64>(), prefix(), any::<u8>()).prop_map(|(root, prefix, from)| StateRequest::Values {
            root: Height(root),
            prefix,
            from
        }),
    ]
}

fn state_answer() -> impl Strategy<Value = StateAnswer> {
    let leaf = || {
        (id(), bytes(40), bytes(40)).prop_map(|(account, name, value)| StateLeaf {
            account: AccountId(account),
            name,
            value,
        })
    };
    let link = (hash(), hash(), hash()).prop_map(|(receipts, diff, outbox)| ResultLink { receipts, diff, outbox });
    let headers = bounded(block().prop_map(|block| block.header), 2);
    let snapshot = (any::<u64>(), headers, certificate(), hash(), bounded(link, 3)).prop_map(
        |(height, headers, finalization, result_root, links)| {
            let height = Height(height);
            StateAnswer::Snapshot(Snapshot { height, headers, finalization, result_root, links })
        },
    );
    prop_oneof![
        snapshot,
        bytes(200).prop_map(StateAnswer::Slots),
        bounded(leaf(), 3).prop_map(StateAnswer::Subtree),
        bounded(leaf(), 3).prop_map(StateAnswer::Values),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    let blocks = bounded::<_, SYNC_ITEMS_MAX>(block(), 2);
    prop_oneof![
        Just(Response::NotHeld),
        block().prop_map(|block| Response::Block(Box::new(block))),
        batch().prop_map(|batch| Response::Batch(Box::new(batch))),
        bounded(certificate(), 3).prop_map(Response::Certificates),
        (blocks, option::of(certificate()))
            .prop_map(|(blocks, finalization)| Response::FinalBlocks { blocks, finalization }),
        (any::<u64>(), option::of(certificate()), bounded(vote(), 3), option::of(batch().prop_map(Box::new))).prop_map(
            |(epoch, finalization, votes, batch)| {
                Response::OwnSignatures { epoch: Epoch(epoch), finalization, votes, batch }
            }
        ),
        transition().prop_map(Response::EpochEnd),
        bounded(batch(), 3).prop_map(Response::Batches),
        state_answer().prop_map(|answer| Response::State(Box::new(answer))),
    ]
}

pub fn epoch_change() -> impl Strategy<Value = EpochChange> {
    let descendants = bounded::<_, PROOF_HEADERS_MAX>(header(), 2);
    (header(), descendants, certificate(), bounded(validator(), 3)).prop_map(
        |(boundary, descendants, finalization, next)| EpochChange {
            boundary,
            proof: BlockProof { descendants, finalization },
            next,
        },
    )
}

fn work() -> impl Strategy<Value = Work> {
    let end = (0u16..128, any::<u64>(), any::<[u8; 32]>())
        .prop_map(|(lane, next_seq, tip)| (ValidatorIndex(lane), Cursor { next_seq, tip: BatchDigest(tip) }));
    let named = any::<(u64, [u8; 32])>().prop_map(|(view, digest)| (View(view), BlockDigest(digest)));
    (any::<u64>(), bounded(end, 3), bounded(named, 3), report()).prop_map(|(epoch, tips, notarizations, report)| Work {
        epoch: Epoch(epoch),
        tips,
        notarizations,
        report,
    })
}

pub fn message() -> impl Strategy<Value = Message> {
    let held = || bounded::<_, VALIDATORS_MAX>(any::<u64>(), 5);
    let change = (0u16..128, any::<u64>()).prop_map(|(lane, count)| (ValidatorIndex(lane), count));
    let said =
        prop_oneof![held().prop_map(Held::Whole), bounded::<_, VALIDATORS_MAX>(change, 5).prop_map(Held::Changes),];
    let vote_message = (vote(), report(), said, option::of(certificate()))
        .prop_map(|(vote, report, held, carry)| VoteMessage { vote, report, held, carry });
    let certificates = (option::of(certificate()), option::of(certificate()));
    let heartbeat = (any::<u64>(), certificates, bounded(vote(), 3), report(), held()).prop_map(
        |(epoch, (finalization, entered_by), votes, report, held)| Heartbeat {
            epoch: Epoch(epoch),
            finalization,
            entered_by,
            votes,
            report,
            held,
        },
    );
    prop_oneof![
        proposal().prop_map(|proposal| Message::Proposal(Box::new(proposal))),
        vote_message.prop_map(|vote| Message::Vote(Box::new(vote))),
        certificate().prop_map(|certificate| Message::Certificate(Box::new(certificate))),
        heartbeat.prop_map(|heartbeat| Message::Heartbeat(Box::new(heartbeat))),
        report().prop_map(Message::Report),
        any::<u64>().prop_map(Message::Probe),
        any::<u64>().prop_map(Message::Echo),
        work().prop_map(|work| Message::Work(Box::new(work))),
        batch().prop_map(|batch| Message::Batch(Box::new(batch))),
        bounded(any_transaction(), 3).prop_map(Message::Transactions),
        (any::<u64>(), request()).prop_map(|(id, request)| Message::Request { id, request }),
        (any::<u64>(), response()).prop_map(|(id, response)| Message::Response { id, response }),
    ]
}
