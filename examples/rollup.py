"""A game shop's coins: balances off the ledger, settled on it in batches by one proof each.

    python examples/rollup.py open  --net devnet.json --key account-0.key --coins 1000,500
    python examples/rollup.py settle transfers.txt --net devnet.json --key account-0.key
    python examples/rollup.py check ADDRESS --net devnet.json

`open` registers the rollup's verifying key and writes the first root. `settle` takes lines `SENDER RECEIVER AMOUNT`,
proves them a batch at a time, and settles each batch by one transaction, which goes on only if the root on the ledger
is still the one that the batch starts from: the proof, the new root and the batch itself, all or nothing. `check` is
for everybody else: it reads what is on the ledger, verified, follows the batches from the first balances, checks every
proof on its own side, and prints the balances. Ends with 4 where they don't lead to the root on the ledger.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from rustorium import Key
from rustorium.cli.options import content_of
from rustorium.cli.output import note, progress
from rustorium.client import Client, zk
from rustorium.client.operations import put, require_absent, require_value, verify_proof
from rustorium.errors import RustoriumError, UsageError, VerificationFailed
from rustorium.types import Subject, Value
from rustorium.zk.rollup import (
    NEW_ROOT,
    OLD_ROOT,
    TRANSFERS_MAX,
    WARNING,
    Prover,
    State,
    Transfer,
    batch_from_bytes,
    batch_hash,
    batch_to_bytes,
)

ROOT, OPENED = b"coins/root", b"coins/opened"
NAMED = (OLD_ROOT, NEW_ROOT)
"""Inputs by which others can require a settlement: `require_proved(verifier, NEW_ROOT, root)`."""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__.splitlines()[0] if __doc__ else None)
NetOption = Annotated[Path, typer.Option("--net", help="devnet.json of the net.")]
KeyOption = Annotated[Path, typer.Option("--key", help="Key file of the shop's account.")]
ProvingOption = Annotated[
    Path | None, typer.Option("--proving-key", help="proving.key of a ceremony; without it keys for tests only.")
]


def batch_name(number: int) -> bytes:
    """The ledger's key of a batch and its proof."""
    return b"coins/batch/%08d" % number


def numbers(text: str, separator: str | None, what: str) -> list[int]:
    """Whole numbers. Errors: UsageError."""
    parts = text.split(separator)
    if not all(part.isascii() and part.isdigit() and len(part) <= 20 for part in parts):
        raise UsageError(f"{text!r} is not {what}")
    return [int(part) for part in parts]


def transfer_of(line: str) -> Transfer:
    """A line of the file. Errors: UsageError."""
    parts = numbers(line, None, "a transfer: give SENDER RECEIVER AMOUNT, one a line")
    if len(parts) != 3:
        raise UsageError(f"{line!r} is not a transfer: give SENDER RECEIVER AMOUNT, one a line")
    return Transfer(*parts)


def prover_of(path: Path | None) -> Prover:
    """The prover, which takes seconds to make."""
    if path is not None:
        return Prover.open(content_of(path))
    note(WARNING)
    return Prover.insecure()


def value(client: Client, owner: str, name: bytes) -> bytes:
    """Returns the ledger's newest final value, verified. Errors: UsageError if there is none."""
    subject = Subject(owner, key=name)
    found = client.proven([subject], at="current").items[subject]
    if not isinstance(found, Value) or found.value is None:
        raise UsageError(f"{owner} has no {name.decode()} on the ledger: run `open` first")
    return found.value


def replay(client: Client, owner: str) -> tuple[State, int, bytes]:
    """The balances that the batches on the ledger lead to, their number, and the verifying key; checks every proof."""
    opened = json.loads(value(client, owner, OPENED))
    state, key, number = State.of(opened["coins"]), bytes.fromhex(opened["key"]), 0
    while True:
        # One proof for both: a batch that is settled meanwhile moves the root and isn't missed.
        held = client.get_many(owner, [batch_name(number), ROOT])
        batch = held[batch_name(number)]
        if batch is None:
            break
        transfers, proof = batch_from_bytes(batch[256:]), batch[:256]
        after = state.after(transfers)
        zk.verify(key, proof, [state.root, after.root, batch_hash(transfers)])
        state, number = after, number + 1
    if held[ROOT] != state.root:
        raise VerificationFailed("the root on the ledger isn't where the batches lead: don't trust that shop")
    return state, number, key


@app.command("open")
def open_shop(
    net: NetOption,
    key_file: KeyOption,
    coins: Annotated[str, typer.Option("--coins", help="The first balances, as N,N,…")],
    proving_key: ProvingOption = None,
) -> None:
    """Register the verifying key and write the first root."""
    first = numbers(coins, ",", "a list of balances: give whole numbers, separated by commas")
    key, state = Key.open(key_file), State.of(first)
    verifying = prover_of(proving_key).verifying_key
    opened = json.dumps({"coins": first, "key": verifying.hex()}).encode()
    with Client.from_net(net, key=key) as client:
        client.register_verifier(verifying, named=NAMED)
        client.send(
            [
                require_absent(key.address, ROOT),
                put(key.address, ROOT, state.root),
                put(key.address, OPENED, opened),
            ]
        )
    print(f"opened {key.address} with root {state.root.hex()}")


@app.command()
def settle(
    transfers: Annotated[Path, typer.Argument(help="Lines of SENDER RECEIVER AMOUNT.")],
    net: NetOption,
    key_file: KeyOption,
    proving_key: ProvingOption = None,
) -> None:
    """Prove transfers and settle them, a batch a transaction."""
    key = Key.open(key_file)
    lines = content_of(transfers).decode(errors="replace").splitlines()
    wanted = [transfer_of(line) for line in lines if line.strip()]
    batches = [wanted[at : at + TRANSFERS_MAX] for at in range(0, len(wanted), TRANSFERS_MAX)]
    prover = prover_of(proving_key)
    with Client.from_net(net, key=key) as client, progress("settling") as advance:
        state, number, verifying = replay(client, key.address)
        if verifying != prover.verifying_key:
            raise UsageError("the shop was opened with another key: give the --proving-key that it was opened with")
        verifier = zk.verifier_id(key.address, verifying, named=NAMED)
        for done, batch in enumerate(batches):
            settled = prover.prove(state, batch)
            client.send(
                [
                    require_value(key.address, ROOT, state.root),
                    verify_proof(verifier, settled.inputs, settled.proof),
                    put(key.address, ROOT, settled.state.root),
                    put(key.address, batch_name(number + done), settled.proof + batch_to_bytes(batch)),
                ]
            )
            state = settled.state
            advance(done + 1, len(batches))
    print(f"settled {len(wanted)} transfers by {len(batches)} proofs, root {state.root.hex()}")


@app.command()
def check(owner: Annotated[str, typer.Argument(help="The shop's address.")], net: NetOption) -> None:
    """Follow the batches on the ledger, check every proof, and print the balances."""
    with Client.from_net(net) as client:
        state, number, _ = replay(client, owner)
    for account, balance in enumerate(state.balances):
        if balance:
            print(f"{account} {balance}")
    note(f"{number} batches lead to the root on the ledger, {state.root.hex()}")


if __name__ == "__main__":
    try:
        app()
    except RustoriumError as error:
        print(f"error: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)
