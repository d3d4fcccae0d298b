"""`zk register`, `zk submit`, `zk verify`: Groth16 keys and proofs, as snarkjs writes them or as canonical bytes; and
`zk ceremony`."""

from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli import ceremony
from rustorium.cli.options import (
    GenesisOption,
    KeyOption,
    NetOption,
    NodeOption,
    PassphraseOption,
    TimeoutOption,
    TokenFileOption,
    client_of,
    key_of,
)
from rustorium.cli.output import Format, Output, emit_one
from rustorium.cli.sending import WaitOption, submitted_row

group = typer.Typer(help="Register verifying keys, submit proofs, verify proofs.", no_args_is_help=True)
group.add_typer(ceremony.group, name="ceremony")

VerifyingKeyHelp = "The verifying key: verification_key.json, or canonical bytes."
ProofOption = Annotated[Path, typer.Option("--proof", help="The proof: proof.json, or canonical bytes.")]
PublicOption = Annotated[Path, typer.Option("--public", help="The public inputs: public.json.")]
NamedOption = Annotated[
    list[int] | None,
    typer.Option("--named", min=0, max=63, help="Index of an input whose value transactions can require; repeat."),
]
OnceOption = Annotated[
    list[int] | None, typer.Option("--once", min=0, max=63, help="Index of a named input that is a nullifier; repeat.")
]


@group.command()
def register(
    verifying_key: Annotated[Path, typer.Argument(help=VerifyingKeyHelp)],
    key: KeyOption,
    named: NamedOption = None,
    once: OnceOption = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    wait: WaitOption = "final",
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Register a verifying key, and print the verifier's id."""
    from rustorium.client import wait_of
    from rustorium.zk import groth16 as zk

    reached, raw = wait_of(wait), zk.key_bytes(verifying_key)
    signer = key_of(key, passphrase_file)
    verifier = zk.verifier_id(signer.address, raw, named=named or (), once=once or ())
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        done = client.register_verifier(raw, named=named or (), once=once or (), key=signer, wait=reached)
    emit_one({"verifier": verifier} | submitted_row(done), output)


@group.command()
def submit(
    verifier: Annotated[str, typer.Argument(help="The verifier's id (hex), as `zk register` prints it.")],
    proof: ProofOption,
    public: PublicOption,
    key: KeyOption,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    wait: WaitOption = "final",
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Submit a proof to a verifier, which records the proven statement."""
    from rustorium.client import wait_of

    reached, signer = wait_of(wait), key_of(key, passphrase_file)
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        emit_one(submitted_row(client.submit_proof(verifier, proof, public, key=signer, wait=reached)), output)


@group.command()
def verify(
    key: Annotated[Path, typer.Option("--key", help=VerifyingKeyHelp)],
    proof: ProofOption,
    public: PublicOption,
    output: Output = Format.table,
) -> None:
    """Verify a proof without any node. Exit code 4: the proof is refused. The key determines the curve."""
    from rustorium.zk import groth16 as zk

    raw = zk.key_bytes(key)
    zk.verify(raw, proof, public)
    curve, inputs = zk.describe(raw)
    emit_one({"proof": "verified", "curve": curve, "inputs": inputs}, output)
