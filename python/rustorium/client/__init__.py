"""Clients that talk to nodes over HTTP and check answers against the genesis: `AsyncClient` and `Client`, with the same
methods, and wallets of shielded value.

Invariants: works on trio and asyncio (anyio); the same bytes are sent to other nodes until the deadline, then the
outcome is reported as unknown, never guessed; every proof and certificate is checked.
"""

from typing import TYPE_CHECKING

from rustorium.access.tls import Tls
from rustorium.client.aio import AsyncClient
from rustorium.client.blocking import Client
from rustorium.client.keys import Key, account_of
from rustorium.client.light import LightClient
from rustorium.client.signingfile import SigningFile
from rustorium.client.text import amount_of, bytes_to_text, text_to_bytes, wait_of
from rustorium.client.wallet import Wallet
from rustorium.client.walletaio import AsyncWallet
from rustorium.zk import groth16 as zk
from rustorium.zk.blockproofs import BlockProofs, Verifier

if TYPE_CHECKING:
    from rustorium.api import ConsensusEngine, Storage, TransactionProcessor

    def _implements(client: AsyncClient) -> tuple[TransactionProcessor, ConsensusEngine, Storage]:
        return client, client, client


__all__ = [
    "AsyncClient",
    "AsyncWallet",
    "BlockProofs",
    "Client",
    "Key",
    "LightClient",
    "SigningFile",
    "Tls",
    "Verifier",
    "Wallet",
    "account_of",
    "amount_of",
    "bytes_to_text",
    "text_to_bytes",
    "wait_of",
    "zk",
]
