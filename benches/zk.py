"""Measures Groth16 proofs: verifying one and batches of 128, with the wrapper's cost, and everything that shielded
value takes. The figures stand beside the promised ones, plain ark-groth16 and, if it is installed, snarkjs.

Invariants: processor time a proof, the least of the repetitions, since others share the machine; nothing passes or
fails by time.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from rustorium import _native
from rustorium.client import Client, Key
from rustorium.client.operations import verify_proof
from rustorium.net.devnet import Devnet
from rustorium.types import Submitted
from rustorium.zk import groth16 as zk

ROOT = Path(__file__).resolve().parents[1]
MADE = ROOT / "tests" / "zk"
SENDERS = 4
LABELS = {"BN254": "bn128", "BLS12-381": "bls12381"}
BLOCKS = (1, 8, 32, 128, 512)
WANTED = {
    "single_ns": ("≤ 1.8", "≤ 1.8"),
    "batch_ns": ("≤ 0.48", "≤ 0.65"),
}
"""Milliseconds a proof, by curve."""
PROVED_MAX_MS, HASHES_MAX, SCANNED_MIN, RATE_MIN = 700, 2, 25_000, 500
ROWS = {
    "decoding proof and inputs": "decode_ns",
    "single, decoding included": "single_ns",
    "in a batch of 128, decoding included": "batch_ns",
    "in a batch of 128 with one bad proof": "one_bad_ns",
    "in a batch of 128 bad ones": "all_bad_ns",
    "single, and its key decoded and prepared": "fresh_key_ns",
    "plain ark-groth16, prepared key, decoded before": "plain_ns",
}
SNARKJS = """
const snarkjs = require(process.argv[1]), fs = require("fs");
const [key, public, proof] = process.argv.slice(2, 5).map(path => JSON.parse(fs.readFileSync(path)));
(async () => {
    let least = Infinity;
    for (let i = 0; i < Number(process.argv[5]); i++) {
        const before = process.cpuUsage();
        if (!await snarkjs.groth16.verify(key, public, proof)) throw new Error("refused");
        const used = process.cpuUsage(before);
        least = Math.min(least, used.user + used.system);
    }
    console.log(least * 1000);
    process.exit(0);
})();
"""
SNARKJS_PROVES = """
const snarkjs = require(process.argv[1]);
(async () => {
    let least = Infinity;
    for (let i = 0; i < Number(process.argv[4]); i++) {
        const before = process.cpuUsage();
        await snarkjs.groth16.prove(process.argv[2], process.argv[3]);
        const used = process.cpuUsage(before);
        least = Math.min(least, used.user + used.system);
    }
    console.log(least * 1000);
    process.exit(0);
})();
"""


def example(name: str, *arguments: object) -> list[dict[str, Any]]:
    """The lines of JSON that an example of the crate prints."""
    command = ["cargo", "run", "--release", "--locked", "-q", "-p", "rustorium-zk", "--example", name, "--"]
    done = subprocess.run([*command, *map(str, arguments)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def ours(times: int) -> dict[str, dict[str, int]]:
    """Nanoseconds by curve, of the crate's own example."""
    return {line.pop("curve"): line for line in example("zk_bench", times)}


def block(curve: str, proofs: int, times: int) -> float:
    """Milliseconds in which a client checks a block's proofs as one equation, their key decoded too."""
    folder = MADE / LABELS[curve]
    key, claims = zk.key_bytes(folder / "verification_key.json"), []
    for name in ("1", "2", "3"):
        proof = zk.proof_bytes(folder / f"{name}.proof.json")
        claims.append((key, proof, zk.input_bytes(folder / f"{name}.public.json", proof)))
    many, least = [claims[at % 3] for at in range(proofs)], float("inf")
    for _ in range(times):
        before = time.thread_time()
        if any(_native.zk_verify_all(many)):
            raise SystemExit("a good proof was refused")
        least = min(least, time.thread_time() - before)
    return least * 1000


def snarkjs(script: str, *arguments: object) -> int | None:
    """Nanoseconds that snarkjs says, in a process that did it before; none where it isn't installed."""
    tools = os.environ.get("RUSTORIUM_SNARKJS")
    if tools is None or shutil.which("node") is None:
        return None
    module = Path(tools) / "node_modules" / "snarkjs" / "build" / "main.cjs"
    command = ["node", "-e", script, str(module), *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(float(done.stdout))


def snarkjs_verifies(curve: str, times: int) -> int | None:
    """Nanoseconds of a verification by snarkjs."""
    folder = MADE / LABELS[curve]
    files = [folder / "verification_key.json", folder / "1.public.json", folder / "1.proof.json"]
    return snarkjs(SNARKJS, *files, times)


def shielded(runs: int) -> None:
    """Prints what shielded value takes of one core, beside what was promised of it."""
    with tempfile.TemporaryDirectory() as folder:
        [found] = example("shielded_bench", runs, folder)
        theirs = snarkjs(SNARKJS_PROVES, Path(folder, "transfer.zkey"), Path(folder, "transfer.wtns"), min(runs, 5))
    beside = "not installed" if theirs is None else f"{theirs / 1e6:,.0f}"
    outputs = 1e9 / found["scan_ns"]
    print(f"\n| shielded value, one core | ours | wanted | plain ark-groth16 | snarkjs |\n|{'---|' * 5}")
    print(f"| constraints of a transfer over 2^32 leaves | {found['constraints']:,} | < {1 << 14:,} | | |")
    print(
        f"| proving it, CPU ms | {found['prove_ns'] / 1e6:,.0f} | ≤ {PROVED_MAX_MS} "
        f"| {found['plain_prove_ns'] / 1e6:,.0f} | {beside} |"
    )
    print(f"| verifying it, CPU ms | {found['verify_ns'] / 1e6:.2f} | ≤ 1.8 | | |")
    print(f"| verifying it in a batch of 128, CPU ms | {found['verify_batch_ns'] / 1e6:.2f} | ≤ 0.48 | | |")
    for leaves in (16, 128, 1000):
        each = found[f"hashes_of_{leaves}_leaves"] / leaves
        print(f"| hashes a leaf of a block with {leaves} | {each:.2f} | ≤ {HASHES_MAX} | | |")
    print(f"| outputs that a wallet scans, a second | {outputs:,.0f} | ≥ {SCANNED_MIN:,} | | |")


def devnet(folder: Path, proofs: int, batch_ns: int) -> str:
    """The rate at which four validators on this machine take transactions with a proof each, all for one statement."""
    folders = MADE / "bn128"
    with Devnet.create(folder / "net", accounts=SENDERS) as net:
        net.start()
        keys = [Key.open(account.key_file) for account in net.net.accounts]
        with Client.from_net(net.path, key=keys[0], timeout_s=60) as client:
            client.register_verifier(folders / "verification_key.json")
            verifier = zk.verifier_id(keys[0].address, folders / "verification_key.json")
            raw = zk.proof_bytes(folders / "1.proof.json")
            operation = verify_proof(verifier, zk.input_bytes(folders / "1.public.json", raw), raw)
            each = [[operation]] * (proofs // SENDERS)
            before, started = _spent(net), time.perf_counter()
            with ThreadPoolExecutor(SENDERS) as pool:
                send = partial(client.send_many, each, timeout_s=120)
                results = [result for group in pool.map(lambda key: send(key=key), keys) for result in group]
            seconds, cpu = time.perf_counter() - started, _spent(net) - before
    done = sum(isinstance(result, Submitted) for result in results)
    alone, rate = 4 * done * batch_ns / 1e9, done / seconds
    return (
        f"four validators took {done} of {len(results)} transactions with a proof each (BN254), {rate:.0f} a second "
        f"(wanted ≥ {RATE_MIN}); "
        f"{cpu:.1f} s of CPU in the validators, beside {alone:.1f} s that the proofs alone take in batches of 128"
    )


def _spent(net: Devnet) -> float:
    fields = [Path(f"/proc/{node.pid}/stat").read_text().rsplit(")", 1)[1].split() for node in net.net.nodes]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="repetitions of the short measurements")
    parser.add_argument("--devnet", type=int, default=0, metavar="PROOFS", help="send so many to four validators too")
    arguments = parser.parse_args()
    times = arguments.times
    found = ours(times)
    print(f"| CPU ms a proof | {' | '.join(found)} | wanted |\n|---|{'---|' * (len(found) + 1)}")
    for name, field in ROWS.items():
        wanted = ", ".join(WANTED.get(field, ()))
        print(f"| {name} | {' | '.join(f'{curve[field] / 1e6:.2f}' for curve in found.values())} | {wanted} |")
    beside = [snarkjs_verifies(curve, min(times, 30)) for curve in found]
    shown = ["not installed" if ns is None else f"{ns / 1e6:.1f}" for ns in beside]
    print(f"| snarkjs | {' | '.join(shown)} | |")
    shielded(max(3, times // 10))
    print(f"\n| a block's proofs by a client, CPU ms | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for proofs in BLOCKS:
        shown = [f"{block(curve, proofs, max(3, times // (4 + proofs))):.1f}" for curve in found]
        print(f"| {proofs} | {' | '.join(shown)} |")
    if arguments.devnet:
        with tempfile.TemporaryDirectory() as folder:
            print(f"\n{devnet(Path(folder), arguments.devnet, found['BN254']['batch_ns'])}")


if __name__ == "__main__":
    main()
