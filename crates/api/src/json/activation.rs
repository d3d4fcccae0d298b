//! Activations as JSON, for `upgrade activate` and for what it shows.

use super::Hex;
use rustorium_types::{Activation, ActivationBody, ChainId, Epoch, Hash, Parameters};
use serde::{Deserialize, Serialize};

/// The signed part of an activation. The signature, if it is shown, stands beside it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationView {
    /// The protocol version.
    pub version: u16,
    /// The chain.
    pub chain: Hex<32>,
    /// The epoch whose boundary decides.
    pub epoch: u64,
    /// Hash of the committee.
    pub committee: Hex<32>,
    /// The parameters from the next epoch on.
    pub parameters: Parameters,
    /// The operators' quorum from the next epoch on.
    pub operator_quorum: u8,
    /// The operator's signature; missing before it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Hex<64>>,
}

impl From<&ActivationBody> for ActivationView {
    fn from(body: &ActivationBody) -> Self {
        Self {
            version: body.version,
            chain: Hex(body.chain.0),
            epoch: body.epoch.0,
            committee: Hex(body.committee.0),
            parameters: body.parameters.clone(),
            operator_quorum: body.operator_quorum,
            signature: None,
        }
    }
}

impl From<&Activation> for ActivationView {
    fn from(activation: &Activation) -> Self {
        Self { signature: Some(Hex(activation.signature)), ..Self::from(&activation.body) }
    }
}

impl From<ActivationView> for ActivationBody {
    fn from(view: ActivationView) -> Self {
        Self {
            version: view.version,
            chain: ChainId(view.chain.0),
            epoch: Epoch(view.epoch),
            committee: Hash(view.committee.0),
            parameters: view.parameters,
            operator_quorum: view.operator_quorum,
        }
    }
}
