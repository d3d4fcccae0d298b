//! The client's state, and the questions that it answers.

use rustorium_api::json::{FactsView, SignersView};
use rustorium_execution::{Light, ProofRefused, Trust, header_of};
use rustorium_types::limits::GENESIS_BYTES_MAX;
use rustorium_types::{
    Block, BlockProof, EpochTransition, Genesis, HeaderProof, PROOF_BYTES_MAX, Proof, ReadProof, ReceiptProof, ShardId,
    Transaction, TransactionProof, decode,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Display;

/// Bytes of a question: a proof in hex digits and a little.
pub const QUESTION_BYTES_MAX: usize = 2 * PROOF_BYTES_MAX + 64 * 1024;

/// Question of a page. Bytes are hex digits, as in the HTTP API; times are Unix ms.
#[derive(Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
enum Question {
    /// Starts at a genesis or at a checkpoint. Without a trust period retired committees count for ever. A genesis is
    /// followed in one shard, the root unless another one is named; a checkpoint names its shard.
    Start {
        genesis_hex: Option<String>,
        checkpoint_hex: Option<String>,
        trust_period_ms: Option<u64>,
        #[serde(default)]
        shard: Option<u32>,
    },
    /// Takes the change that ended a known epoch.
    Follow { change_hex: String, now_ms: u64 },
    /// Checks a proof and returns its facts. A transaction's proof needs the transaction as well, a block's proof the
    /// block.
    Check { kind: String, part_hex: Option<String>, proof_hex: String, now_ms: u64 },
}

/// Reason why a question has no other answer.
enum Refusal {
    /// The proof, the change or the genesis is not what it should be: stable code, and sentence.
    Refused(&'static str, String),
    /// Changes from the first of these epochs to before the second are needed first.
    Missing(u64, u64),
}

impl Refusal {
    fn because(error: impl Display) -> Self {
        Self::Refused("proof-refused", error.to_string())
    }
}

impl From<ProofRefused> for Refusal {
    fn from(error: ProofRefused) -> Self {
        Self::Refused(error.code(), error.to_string())
    }
}

/// A light client of one chain, or of none yet.
#[derive(Default)]
pub struct Session {
    light: Option<Light>,
}

impl Session {
    /// Answers a question: `{"shown": …, "protocol": version, "signers": …}` with the protocol version and the signers of
    /// the header that the proof rests on, `{"started": …}`, `{"epoch": …}`, `{"missing": [from, to]}` or `{"refused": "…", "code": "…"}`.
    pub fn answer(&mut self, question: &[u8]) -> String {
        let answer = match serde_json::from_slice(question) {
            Ok(question) => self.dispatch(question).unwrap_or_else(|refusal| match refusal {
                Refusal::Refused(code, why) => json!({ "refused": why, "code": code }),
                Refusal::Missing(from, to) => json!({ "missing": [from, to] }),
            }),
            Err(error) => {
                json!({ "refused": format!("the question can't be read: {error}"), "code": "question-refused" })
            }
        };
        answer.to_string()
    }

    fn dispatch(&mut self, question: Question) -> Result<Value, Refusal> {
        match question {
            Question::Start { genesis_hex, checkpoint_hex, trust_period_ms, shard } => {
                self.start(genesis_hex.as_deref(), checkpoint_hex.as_deref(), trust_period_ms, shard.map(ShardId))
            }
            Question::Follow { change_hex, now_ms } => {
                let change: EpochTransition = read(&change_hex, PROOF_BYTES_MAX)?;
                let epoch = self.light()?.follow(&change, now_ms)?;
                Ok(json!({ "epoch": epoch }))
            }
            Question::Check { kind, part_hex, proof_hex, now_ms } => {
                self.check(&proof_of(&kind, part_hex.as_deref(), &proof_hex)?, now_ms)
            }
        }
    }

    fn light(&mut self) -> Result<&mut Light, Refusal> {
        self.light.as_mut().ok_or_else(|| Refusal::because("no genesis was given yet"))
    }

    fn start(
        &mut self,
        genesis_hex: Option<&str>,
        checkpoint_hex: Option<&str>,
        trust_period_ms: Option<u64>,
        shard: Option<ShardId>,
    ) -> Result<Value, Refusal> {
        let trust = match (genesis_hex, checkpoint_hex) {
            (Some(digits), None) => {
                let (genesis, shard) = (read::<Genesis>(digits, GENESIS_BYTES_MAX)?, shard.unwrap_or(ShardId::ROOT));
                if !genesis.has_shard(shard) {
                    return Err(Refusal::because(format!("the genesis has no shard {shard}")));
                }
                Trust::of_shard(&genesis, shard)
            }
            (None, Some(digits)) if shard.is_none() => {
                Trust::from_checkpoint(&bytes_of(digits)?).map_err(Refusal::because)?
            }
            _ => {
                return Err(Refusal::because(
                    "a light client starts at a genesis, in one of its shards, or at a checkpoint: give one of them",
                ));
            }
        };
        let started =
            json!({ "chain": trust.chain, "shard": trust.charter.shard, "validators": trust.validators.len() });
        self.light = Some(Light::new(trust, trust_period_ms));
        Ok(json!({ "started": started }))
    }

    fn check(&mut self, proof: &Proof, now_ms: u64) -> Result<Value, Refusal> {
        let light = self.light()?;
        if let Some((first, end)) = light.missing(header_of(proof))? {
            return Err(Refusal::Missing(first.0, end.0));
        }
        let shown = light.check(proof, now_ms)?;
        let chain = light.newest().chain;
        let facts = FactsView::new(chain, proof, &shown).map_err(Refusal::because)?;
        let facts = serde_json::to_value(facts).map_err(Refusal::because)?;
        let signers = light.signers(shown.digest).map(SignersView::from);
        Ok(json!({ "shown": facts, "protocol": header_of(proof).version, "signers": signers }))
    }
}

fn read<T: borsh::BorshDeserialize>(digits: &str, bytes_max: usize) -> Result<T, Refusal> {
    decode(&bytes_of(digits)?, bytes_max).map_err(Refusal::because)
}

fn bytes_of(digits: &str) -> Result<Vec<u8>, Refusal> {
    hex::decode(digits).map_err(|_| Refusal::because("not hex digits"))
}

fn proof_of(kind: &str, part_hex: Option<&str>, proof_hex: &str) -> Result<Proof, Refusal> {
    let proof = |digits| read::<BlockProof>(digits, PROOF_BYTES_MAX);
    Ok(match (kind, part_hex) {
        ("read", None) => Proof::Read(Box::new(read::<ReadProof>(proof_hex, PROOF_BYTES_MAX)?)),
        ("transaction", Some(part)) => Proof::Transaction(Box::new(TransactionProof {
            transaction: read::<Transaction>(part, PROOF_BYTES_MAX)?,
            receipt: read::<ReceiptProof>(proof_hex, PROOF_BYTES_MAX)?,
        })),
        ("block", Some(part)) => {
            let header = read::<Block>(part, PROOF_BYTES_MAX)?.header;
            Proof::Block(Box::new(HeaderProof { header, proof: proof(proof_hex)? }))
        }
        // A proof that says itself what it is of, as proof files have it.
        ("any", None) => read(proof_hex, PROOF_BYTES_MAX)?,
        _ => return Err(Refusal::because("there is no such kind of proof, or a part of it is missing")),
    })
}
