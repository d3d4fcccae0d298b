"""The shape of each command's result, and its JSON schema.

Invariants: PURE; a row for each command that has `--output`, and none for others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from rustorium.cli.results import ledger, nodes, places, watching
from rustorium.cli.results.base import Check, ErrorResult, File
from rustorium.errors import NotFound
from rustorium.geo.plan import Plan
from rustorium.observe.analysis.report import Report

Schema = dict[str, Any]
"""A JSON schema; of all commands by name, if none is named."""
DRAFT = "https://json-schema.org/draft/2020-12/schema"


class Form(StrEnum):
    """Formats in which results are printed."""

    one = "one object"
    many = "a list of objects; with `-o jsonl` one a line"
    lines = "objects, one a line"


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of a command's result, and the types of its objects: each object has one of them."""

    form: Form
    types: tuple[type, ...]


def _one(*types: type) -> Shape:
    return Shape(Form.one, types)


def _list(*types: type) -> Shape:
    return Shape(Form.many, types)


_PROPOSING = {
    f"govern propose {kind}{option}": _one(shape)
    for kind in (
        "parameters",
        "leaders",
        "operators",
        "pause",
        "resume",
        "set-sponsor",
        "assign-sponsor",
        "upgrade",
        "change",
    )
    for option, shape in (("", ledger.Sent), (" --unsigned", ledger.SigningState), (" --dry-run", ledger.PlannedChange))
}
SHAPES: Mapping[str, Shape] = {
    "init": _one(nodes.HomeMade),
    "upgrade": _list(nodes.UpgradeStep),
    "upgrade activate": _one(nodes.Activated),
    "devnet": _one(nodes.DevnetFacts),
    "query": _list(ledger.AccountRow, ledger.BalanceRow, ledger.ValueRow, ledger.ListedKey),
    "verify": _one(ledger.ProofFacts, ledger.ForkFacts),
    "checkpoint": _one(ledger.Checkpoint),
    "replay": _one(watching.Replayed),
    "replay --steps": Shape(Form.lines, (watching.ReplayStep, watching.Replayed)),
    "doctor": _list(Check),
    "debug bundle": _one(nodes.BundleMade),
    "testnet gen": _list(nodes.GeneratedHome),
    "genesis new": _one(ledger.GenesisFacts),
    "genesis show": _one(ledger.GenesisFacts),
    "genesis check": _list(Check),
    "keys new": _one(ledger.NewKey),
    "keys show": _one(ledger.KeyFacts),
    "keys authority new": _one(ledger.AuthorityFacts),
    "keys authority show": _one(ledger.AccountAuthority),
    "keys authority set": _one(ledger.Sent),
    "keys authority cancel": _one(ledger.Sent),
    "keys authority approve": _one(ledger.Sent),
    "keys authority recover": _one(ledger.Sent),
    "keys authority withdraw": _one(ledger.Sent),
    "keys rotate": _one(nodes.RowsRotated, nodes.MasterRotated, nodes.BackupKeyRotated, nodes.PassphraseRotated),
    "keys rotation": _one(nodes.Rotation),
    "signer init": _one(nodes.SignerRecord),
    "signer run": _list(nodes.SignerKey),
    "signer adopt": _one(nodes.SignerRecord),
    "signer show": _list(nodes.SignedRecord),
    "snapshot list": _list(nodes.Snapshot),
    "snapshot create": _one(nodes.Snapshot),
    "account create": _one(ledger.AccountMade),
    "account holdings": _list(ledger.Holding),
    "account grants": _list(ledger.GrantRow),
    "account history": _list(ledger.VersionRow),
    "tx put": _one(ledger.Sent),
    "tx put-many": _one(ledger.KeysSet),
    "tx transfer": _one(ledger.Sent),
    "tx delete": _one(ledger.Sent),
    "tx issue": _one(ledger.Issued),
    "tx grant": _one(ledger.Sent),
    "tx revoke": _one(ledger.Sent),
    "tx send": _one(ledger.Sent),
    "keys authority set --unsigned": _one(ledger.SigningState),
    "keys authority cancel --unsigned": _one(ledger.SigningState),
    "keys authority approve --unsigned": _one(ledger.SigningState),
    "keys authority recover --unsigned": _one(ledger.SigningState),
    "keys authority withdraw --unsigned": _one(ledger.SigningState),
    "tx put --unsigned": _one(ledger.SigningState),
    "tx transfer --unsigned": _one(ledger.SigningState),
    "tx delete --unsigned": _one(ledger.SigningState),
    "tx issue --unsigned": _one(ledger.SigningState),
    "tx grant --unsigned": _one(ledger.SigningState),
    "tx revoke --unsigned": _one(ledger.SigningState),
    "tx send --unsigned": _one(ledger.SigningState),
    "tx sign": _one(ledger.SigningState),
    "tx combine": _one(ledger.SigningState),
    "tx status": _one(ledger.TransactionState),
    "node list": _list(nodes.Member),
    "node add": _one(nodes.ValidatorAdded),
    "node apply": _one(nodes.ValidatorApplied),
    "node remove": _one(nodes.ValidatorRemoved),
    "node end-epoch": _one(nodes.EpochEnd),
    "node replace-key": _one(nodes.KeyReplaced),
    "node set-owner": _one(nodes.OwnerSet),
    "node card": _one(places.NodeCard),
    "node announce": _list(places.DirectoryNode),
    "node withdraw": _list(places.DirectoryNode),
    "geo nodes": _list(places.DirectoryNode),
    "geo show": _list(places.ValidatorPlace),
    "govern seats": _list(ledger.SeatRow),
    "govern list": _list(ledger.ProposalRow),
    "govern show": _one(ledger.ProposalFacts),
    "govern approve": _one(ledger.Sent),
    "govern approve --unsigned": _one(ledger.SigningState),
    "govern withdraw": _one(ledger.Sent),
    "govern withdraw --unsigned": _one(ledger.SigningState),
    "govern recover": _one(ledger.Sent),
    "govern rotate": _one(ledger.Sent),
    "govern rotate --unsigned": _one(ledger.SigningState),
    **_PROPOSING,
    "followers list": _list(nodes.FollowerRow),
    "followers add": _list(nodes.FollowerRow),
    "followers remove": _list(nodes.FollowerRow),
    "block show": _one(ledger.Block),
    "shard list": _list(ledger.ShardRow),
    "shard show": _one(ledger.ShardDetail),
    "geo plan": _one(Plan),
    "recover auto": _list(nodes.RecoveryStep),
    "recover manual": _list(nodes.RecoveryStep),
    "recover manual --undo": _one(nodes.StorePutBack),
    "recover manual --undo --dry-run": _list(nodes.StoreAside),
    "recover committee begin": _one(nodes.RestartPlan),
    "recover committee replace": _one(nodes.MemberReplaced),
    "recover committee show": _list(nodes.RestartMember),
    "recover committee sign": _one(nodes.RestartSigned),
    "recover committee apply": _one(nodes.RestartApplied),
    "status check": _list(watching.NodeHealth),
    "metrics collect": _list(watching.NodeFigures),
    "metrics convert": _one(watching.Converted),
    "analyze performance": _one(Report),
    "dashboards export": _list(File),
    "logs aggregate": Shape(Form.lines, (watching.LogLine,)),
    "bench load": _one(watching.LoadReport),
    "config show": _list(nodes.Setting),
    "admin whoami": _one(nodes.Caller),
    "admin stop": _one(nodes.Stopping),
    "admin token create": _one(nodes.NewToken),
    "admin token list": _list(nodes.TokenRow),
    "admin token revoke": _one(nodes.TokenRow),
    "audit show": _list(nodes.AuditLine),
    "audit verify": _one(nodes.AuditChecked),
    "audit anchor": _one(nodes.AuditAnchored),
    "audit export": _one(nodes.AuditExported),
    "backup create": _one(nodes.BackupMade),
    "backup list": _list(nodes.BackupRow),
    "backup verify": _one(nodes.BackupsVerified),
    "backup restore": _one(nodes.Restored),
    "backup prune": _one(nodes.BackupsPruned),
    "backup schedule": Shape(Form.lines, (nodes.BackupMade,)),
    "sim run": _list(watching.SimRun),
    "sim replay": _one(watching.SimRun),
    "zk register": _one(ledger.Registered),
    "zk submit": _one(ledger.Sent),
    "zk verify": _one(ledger.ProofVerified),
    "zk ceremony new": _one(ledger.CeremonyBegun),
    "zk ceremony contribute": _one(ledger.Contributed),
    "zk ceremony verify": _list(ledger.ContributionRow),
    "zk ceremony finalize": _one(ledger.CeremonyKeys),
    "wallet new": _one(ledger.WalletFacts),
    "wallet address": _one(ledger.WalletFacts),
    "wallet viewing-key": _one(ledger.ViewingKey),
    "wallet balance": _list(ledger.ShieldedHolding),
    "wallet scan": _list(ledger.WalletEvent),
    "wallet shield": _one(ledger.Sent),
    "wallet transfer": _one(ledger.Sent),
    "wallet unshield": _one(ledger.Sent),
    "schema": _one(Schema),
}
"""Shapes by the command's words. A name with an option is for the command with that option."""


def shape_of(line: Sequence[str]) -> tuple[str, Shape]:
    """Returns the name and the shape of a command's result, of the longest name whose words all stand in the line, the
    first of them in order. Errors: NotFound."""
    words = [word for word in line if not word.startswith("-")]
    found = [name for name in SHAPES if _fits(name.split(), words, line)]
    if not found:
        raise NotFound(f"no command `{' '.join(line)}` has a result: `rustorium --help` lists the commands")
    name = max(found, key=lambda one: len(one.split()))
    return name, SHAPES[name]


def _fits(name: Sequence[str], words: Sequence[str], line: Sequence[str]) -> bool:
    plain = [part for part in name if not part.startswith("-")]
    return list(words[: len(plain)]) == plain and all(part in line for part in name)


def schema_of(shape: Shape) -> dict[str, Any]:
    """The JSON schema of what `-o json` prints; of each line, if the form is lines."""
    schemas, parts = msgspec.json.schema_components(shape.types, ref_template="#/$defs/{name}")
    row = schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
    made = {"type": "array", "items": row} if shape.form is Form.many else row
    return {"$schema": DRAFT} | made | ({"$defs": parts} if parts else {})


def error_schema() -> dict[str, Any]:
    """The JSON schema of an error, which `-o json` and `-o jsonl` print as one line on standard error."""
    return schema_of(_one(ErrorResult))
