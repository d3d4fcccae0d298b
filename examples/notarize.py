"""Records every file of a folder on the ledger (path, size, BLAKE3 hash), and checks the folder against it.

    python examples/notarize.py FOLDER --net devnet.json --key account-0.key            # record, then check
    python examples/notarize.py FOLDER --net devnet.json --key account-0.key --check    # only check, some day later

Exit code 0: every file is as recorded; 4: a file was changed, removed or added, and is named.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio
import typer

from rustorium import AsyncClient, Key
from rustorium._native import value_hash
from rustorium.cli.output import note, progress
from rustorium.client.operations import put
from rustorium.errors import ClientError, RustoriumError
from rustorium.types import KEY_BYTES_MAX

READERS = 32
INDEX = b"notarized-files"


@dataclass(frozen=True)
class Entry:
    """A file as it is now."""

    name: bytes
    size: int
    blake3: str

    @property
    def key(self) -> bytes:
        """Its key on the ledger; a very long path is named by its hash."""
        key = b"file/" + self.name
        return key if len(key) <= KEY_BYTES_MAX else b"file-by-hash/" + value_hash(self.name)

    @property
    def value(self) -> bytes:
        """Returns the recorded content."""
        return json.dumps({"size": self.size, "blake3": self.blake3}, separators=(",", ":")).encode()


def entries(folder: Path) -> Iterator[Entry]:
    """Every regular file below the folder, in the order of their paths."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        content = path.read_bytes()
        yield Entry(os.fsencode(path.relative_to(folder)), len(content), value_hash(content).hex())


async def record(client: AsyncClient, key: Key, files: list[Entry]) -> None:
    """Records each file in a signed transaction, and their number in one more; returns when all are final."""
    transactions = [[put(key.address, file.key, file.value)] for file in files]
    transactions.append([put(key.address, INDEX, str(len(files)).encode())])
    with progress("recording") as advance:
        results = await client.send_many(transactions, on_progress=advance)
    for result in results:
        if isinstance(result, ClientError):
            raise result
        if result.receipt is None or not result.receipt.ok:
            raise ClientError(f"transaction {result.id} did not take effect: look at it with `rustorium tx status`")


async def check(client: AsyncClient, key: Key, files: list[Entry]) -> list[str]:
    """Returns the differences between the folder and the ledger, one sentence each."""
    found: dict[bytes, str] = {}
    room = anyio.CapacityLimiter(READERS)
    done = 0

    async def one(file: Entry) -> None:
        nonlocal done
        async with room:
            recorded = (await client.read(key.address, file.key)).value
        name = os.fsdecode(file.name)
        if recorded is None:
            found[file.name] = f"{name} was never recorded"
        elif recorded != file.value:
            was = json.loads(recorded)
            found[file.name] = (
                f"{name} was changed: recorded {was['size']} bytes {was['blake3']}, now {file.size} bytes {file.blake3}"
            )
        done += 1
        advance(done, len(files))

    with progress("checking") as advance:
        async with anyio.create_task_group() as tasks:
            for file in files:
                tasks.start_soon(one, file)
    number = (await client.read(key.address, INDEX)).value
    missing = int(number or b"0") - len([file for file in files if not found.get(file.name, "").endswith("recorded")])
    differences = [found[name] for name in sorted(found)]
    return differences + ([f"{missing} recorded files are gone"] if missing > 0 else [])


def main(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The folder.")],
    net: Annotated[Path, typer.Option("--net", help="devnet.json of the net.")],
    key_file: Annotated[Path, typer.Option("--key", help="Key file of the account that records.")],
    only_check: Annotated[bool, typer.Option("--check", help="Record nothing.")] = False,
) -> None:
    """Record a folder on the ledger and check it."""

    async def run() -> list[str]:
        key = Key.open(key_file)
        files = list(entries(folder))
        async with AsyncClient.from_net(net, key=key) as client:
            if not only_check:
                await record(client, key, files)
                note(f"{len(files)} files are recorded by {key.address}")
            return await check(client, key, files)

    try:
        differences = anyio.run(run)
    except RustoriumError as error:
        print(f"error: {error.message}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from None
    for difference in differences:
        print(difference)
    if differences:
        raise typer.Exit(4)
    print("every file is as recorded")


if __name__ == "__main__":
    typer.run(main)
