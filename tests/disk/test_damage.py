"""Bit flips and truncation in each kind of file of a home are found, repaired or named, and never lead to a wrong
answer.

A validator of an idle net is stopped. Its home is damaged in one place, started, and restored before the next case. The
validator may stop with a named reason, refuse to answer by name, follow with a retired key, or run and answer all
questions as a healthy node does; anything else is a failure. `RUSTORIUM_DAMAGE_SEEDS` is the number of places for each
kind of file (of `RUSTORIUM_DAMAGE_KINDS`, separated by commas). The quick form takes a few kinds in turn.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from damaged_kinds import KINDS, RECORDS, make_files, read, retire

from power_cut import read_folder, write_folder
from process_tools import Load, level, statuses, wait_for
from rustorium.client import Client
from rustorium.errors import RustoriumError
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes

SEEDS = int(os.environ.get("RUSTORIUM_DAMAGE_SEEDS", "0"))
ONLY = os.environ.get("RUSTORIUM_DAMAGE_KINDS", "")
VICTIM, HEALTHY = 3, 0
QUICK = ("config", "journal segment", "table file", "retirement")
"""The store's other files are damaged in `crates/storage/src/rocks/tests/damaged.rs`, the journal and the audit log in
their own tests, and the files that Python reads in `tests/abuse/test_hostile_files.py`."""
DAMAGES = ("flip", "cut")
RETIRED = "key retired, follows"


def damage(path: Path, how: str, luck: Random) -> str:
    """Flips a bit of the file's content, or truncates it there; returns the place."""
    content = path.read_bytes()
    used = len(content.rstrip(b"\0"))
    at = luck.randrange(max(used, 1))
    path.chmod(0o600)
    if how == "cut":
        path.write_bytes(content[:at])
    elif content:
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << luck.randrange(8)]) + content[at + 1 :])
    return f"{path.name} at {at} of {len(content)}"


@dataclass(frozen=True)
class Question:
    """A question that every node answers alike."""

    what: str
    name: object

    def answer(self, client: Client, namespace: str) -> object:
        """Returns the answer, or the code of the refusal."""
        try:
            match self.what, self.name:
                case "value", bytes() as name:
                    return client.get(namespace, name, verify=False)
                case "proven value", bytes() as name:
                    return client.get(namespace, name)
                case "block", int() as height:
                    return client.block(height, proof=False)
                case "transaction", str() as identity:
                    return client.get_transaction(identity)
                case _:
                    found = client.account(namespace, verify=False)
                    return found.nonce, found.quota_left, found.storage_bytes_left
        except RustoriumError as error:
            return Refused(str(getattr(error, "code", None) or type(error).__name__))


@dataclass(frozen=True)
class Refused:
    """A refused request, with its code."""

    code: str


class Bench:
    """A net with a victim that can be restored, and a healthy node's answers."""

    def __init__(self, root: Path) -> None:
        self.net = Devnet.create(root, accounts=2)
        self.home = Path(self.net.net.nodes[VICTIM].home)
        self.where = ""
        self.cache = {"XDG_CACHE_HOME": str(self.home / "cache")} if SEEDS else {}
        for index in range(4):
            self.net.spawn(index, self.cache if index == VICTIM else None)
        self.net.wait_ready()
        with Load(self.net, "damage") as load:
            load.wait_for_more(600)
            for _ in range(2):  # each start moves the content of the write-ahead log to table files
                self._restart()
                load.wait_for_more(200)
        wait_for("all are level", lambda: level(self.net))
        told = load.told[:: 1 + len(load.told) // 60]
        self.namespace = told[0][1]
        height = statuses(self.net, [HEALTHY])[0].executed
        self.questions = [Question("account", None)]
        self.questions += [Question("transaction", identity) for identity, *_ in told]
        self.questions += [Question("block", number) for number in range(0, height + 1, 1 + height // 60)]
        self.questions += [Question("value", name) for _, space, name, _ in told if space == self.namespace]
        self.questions += [Question("proven value", name) for _, space, name, _ in told[:6] if space == self.namespace]
        wait_for("what was told is certified", lambda: self._certified([identity for identity, *_ in told]))
        self.right = self.answers(HEALTHY)
        assert not any(isinstance(answer, Refused) for answer in self.right), self.right
        assert self.net.terminate(VICTIM) == 0
        make_files(self.home)
        self.whole = read_folder(self.home)

    def _certified(self, identities: list[str]) -> bool:
        """Returns true if answers about these transactions can't change any more."""
        with Client(self.net.net.nodes[HEALTHY].http, genesis=Path(self.net.net.genesis)) as client:
            return all(client.get_transaction(identity).certified for identity in identities)

    def _restart(self) -> None:
        assert self.net.terminate(VICTIM) == 0
        self.net.spawn(VICTIM, self.cache)
        self.net.wait_ready(indexes=[VICTIM])

    def answers(self, index: int) -> list[object]:
        with Client(self.net.net.nodes[index].http, genesis=Path(self.net.net.genesis)) as client:
            return [question.answer(client, self.namespace) for question in self.questions]

    def files(self, kind: str) -> list[Path]:
        return sorted(path for path in self.home.glob(KINDS[kind]) if path.stat().st_size)

    def damaged(self, kind: str, how: str, seed: int) -> str:
        """Damages a file of this kind; returns the place, and the result of the victim's start."""
        if kind == "retirement":
            retire(self.home)
        files = self.files(kind)
        assert files, f"a home has no {kind} ({KINDS[kind]})"
        before, luck = read(kind, self.home), Random(f"{kind} {how} {seed}")
        self.where = damage(luck.choice(files), how, luck)
        found = read(kind, self.home)
        if kind in RECORDS:
            return "read as before" if found == before else "read as another record"
        outcome = self.outcome()
        assert kind != "retirement" or outcome == RETIRED, f"its key is retired: {outcome}"
        if found is None:
            return outcome
        assert found == before or isinstance(found, str), f"a wrong content: {found}, not {before}"
        return f"{outcome}; read {'as before' if found == before else found}"

    def outcome(self) -> str:
        """Returns the result of the damaged victim's start. Fails on a wrong answer and on an end without a reason."""
        self.net.spawn(VICTIM, self.cache)
        wait_for("it ended or caught up", lambda: self.net.exit_code(VICTIM) is not None or level(self.net))
        if self.net.exit_code(VICTIM) is not None:
            return self._stopped()
        answers = self.answers(VICTIM)
        refused = {answer.code for answer in answers if isinstance(answer, Refused)}
        for question, answer, right in zip(self.questions, answers, self.right, strict=True):
            assert isinstance(answer, Refused) or answer == right, f"a wrong answer: {question}: {answer}, not {right}"
        found = statuses(self.net)
        assert [one.evidence for one in found] == [()] * 4
        retired = found[VICTIM].retired
        code = self.net.terminate(VICTIM)
        if code != 0:
            return self._stopped()
        assert refused <= {"storage", "unavailable", "internal"}, refused
        kept = RETIRED if retired else "answers all as before"
        return f"refuses some by name {sorted(refused)}" if refused else kept

    def _stopped(self) -> str:
        said, reason = self.net.last_words(VICTIM)
        code = self.net.exit_code(VICTIM)
        assert code in (1, 2, 4), f"ended with {code}: {said}"
        assert reason, f"no code behind the sentence: {said}"
        return f"stops [{reason}]"

    def put_back(self) -> None:
        logs = {path: (self.home / path).read_bytes() for path in ("log/stderr.log",)}
        for path, text in logs.items():
            assert b"panicked" not in text, path
            assert b"Traceback" not in text, text.decode()
        write_folder(self.home, self.whole)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("damage"))
    yield made
    made.net.stop()
    shutil.rmtree(made.net.root)


def cases() -> Iterator[tuple[str, str, int]]:
    """Yields kind, damage and seed; the quick form damages each of a few kinds in one way."""
    if SEEDS:
        kinds = [kind for kind in KINDS if not ONLY or kind in ONLY.split(",")]
        yield from ((kind, how, seed) for kind in kinds for how in DAMAGES for seed in range(SEEDS))
    else:
        yield from ((kind, DAMAGES[number % 2], 0) for number, kind in enumerate(QUICK))


def test_damage_is_found_and_never_answered_with(bench: Bench) -> None:
    table: dict[tuple[str, str], list[str]] = defaultdict(list)
    failures = []
    for kind, how, seed in cases():
        try:
            outcome = bench.damaged(kind, how, seed)
        except AssertionError as error:
            outcome = "FAILED"
            failures.append(f"{kind}, {how} {seed} ({bench.where}): {error}")
            print(failures[-1])
            bench.net.kill(VICTIM)
        table[kind, how].append(outcome)
        print(f"{kind:19} {how:5} {bench.where:50} {outcome}", flush=True)
        bench.put_back()
    assert failures == []
