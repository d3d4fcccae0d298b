"""Checks a genesis for one party, before it starts a node: is it what the parties agreed on?

Invariants: everything that a party's own files can show is compared with them; each finding names the next step.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rustorium.net.parties import VALIDATOR_KEYS, Holder, Party, default_parameters, faults_tolerated
from rustorium.net.presets import PRESETS, cores_of, preset_of

Result = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    result: Result
    seen: str
    do: str = ""


def examine(
    genesis: bytes,
    parties: Sequence[Party] = (),
    operators: Sequence[Holder] = (),
    own: dict[str, str] | None = None,
    chain: str | None = None,
    home_chain: str | None = None,
) -> list[Check]:
    """Compares a genesis (canonical bytes) with the parties' files, the keys of the own home (public keys by kind), the
    chain of which that home is, and the chain id that others read out."""
    from rustorium import _native

    described: dict[str, Any] = json.loads(_native.genesis_describe(genesis))
    compared = bool(parties or operators) or own is not None
    found = [
        _chain(_native.genesis_hash(genesis), chain, compared=compared),
        _size(described),
        *_shards(described),
        *_validators(described, parties),
    ]
    if own is not None:
        found.append(_own(described, own))
    if home_chain is not None:
        found.append(_home(_native.genesis_hash(genesis), home_chain))
    return [*found, *_governing(described, operators), _accounts(described), *_rest(genesis, described)]


def _chain(found: str, expected: str | None, *, compared: bool) -> Check:
    if expected is None and not compared:
        return Check("chain id", "warn", found, "nothing to compare with: give --chain ID or other parties' files")
    if expected is None:
        return Check("chain id", "ok", found, "read it out to the others: all must have the same")
    if found == expected.strip().lower():
        return Check("chain id", "ok", found)
    return Check("chain id", "fail", f"{found}, not {expected}", "somebody has another file: compare and send one anew")


def _home(found: str, home_chain: str) -> Check:
    if found == home_chain:
        return Check("this home's chain", "ok", "it is of this chain")
    return Check(
        "this home's chain",
        "fail",
        f"it is of chain {home_chain}",
        "make a home for each chain: never put this file there",
    )


def _size(described: dict[str, Any]) -> Check:
    count = len(described["validators"])
    faults = faults_tolerated(count)
    seen = f"{count} validators tolerate {faults or 'no'} failure{'s' if faults > 1 else ''}"
    if faults:
        return Check("committee", "ok", seen)
    return Check("committee", "warn", seen, "take four validators or more, so that the net goes on without one")


def _shards(described: dict[str, Any]) -> list[Check]:
    """Shows who signs for which accounts. A shard with few members of its own is as safe as those few are."""
    names, checks = [str(one["name"]) for one in described["validators"]], []
    for number, shard in enumerate(described.get("shards") or []):
        members = [names[place] for place in shard["members"]]
        faults = faults_tolerated(len(members))
        who = "all validators" if len(members) == len(names) else ", ".join(members)
        range_ = f"accounts from {shard['from']}" if number else "the accounts below those of shard 1"
        seen = f"{range_}; signed for by {who}, and {faults or 'none'} of them may lie or fail"
        whole = len(members) == len(names)
        do = "" if whole else "did all agree on that? These validators alone decide what those accounts hold"
        checks.append(Check(f"shard {number}", "ok" if whole else "warn", seen, do))
    return checks


def _validators(described: dict[str, Any], parties: Sequence[Party]) -> list[Check]:
    entries = {str(one["name"]): one for one in described["validators"]}
    checks = []
    for party in parties:
        entry = entries.get(party.name)
        changed = [name for name, value in party.entry.items() if (entry or {}).get(name) != value]
        if entry is None:
            checks.append(Check(party.name, "fail", f"{party.source} is not in it", "refuse this genesis"))
        elif changed:
            seen = f"it has another {', '.join(changed).replace('_', ' ')} than {party.source}"
            checks.append(Check(party.name, "fail", seen, "refuse this genesis, and ask who made it"))
        else:
            checks.append(Check(party.name, "ok", f"as in {party.source}, whose party holds the keys"))
    if parties and (missing := [name for name in entries if name not in {party.name for party in parties}]):
        seen = f"no file of {', '.join(missing)} was given"
        checks.append(Check("other validators", "fail", seen, "ask their parties for it, and give it as --validator"))
    elif not parties:
        seen = f"{', '.join(entries)}: nothing shows who holds their keys"
        checks.append(Check("validators", "warn", seen, "give each party's file as --validator"))
    return checks


def _own(described: dict[str, Any], own: dict[str, str]) -> Check:
    keys = {name: key for name, key in own.items() if name in VALIDATOR_KEYS}
    for entry in described["validators"]:
        if entry["validator_key"] == own.get("validator_key"):
            wrong = [name for name, key in keys.items() if entry[name] != key]
            if wrong:
                seen = f"{entry['name']} has another {wrong[0].replace('_', ' ')} than this home"
                return Check("this home", "fail", seen, "refuse this genesis, and ask who made it")
            return Check("this home", "ok", f"is {entry['name']}, dialled at {entry['address'] or 'no address'}")
    return Check("this home", "fail", "is not in it", "send your file to whoever makes the genesis")


def _governing(described: dict[str, Any], operators: Sequence[Holder]) -> list[Check]:
    keys, quorum = list(described["parameters"]["operators"]), int(described["parameters"]["operator_quorum"])
    seen = f"{quorum} of {len(keys)} decide who is a validator"
    checks = [Check("operators", "ok", seen)]
    if not keys:
        checks = [Check("operators", "warn", "there are none: the committee never changes", "name some")]
    elif quorum == 1:
        checks = [Check("operators", "warn", seen, "let more than one decide: one key can take over the chain")]
    elif quorum == len(keys):
        checks = [Check("operators", "warn", seen, "a lost key ends all changes: name more operators than decide")]
    if operators:
        known = {one.public_key: one.source for one in operators}
        strangers, missing = [key for key in keys if key not in known], [known[key] for key in known if key not in keys]
        if strangers or missing:
            seen = "; ".join(
                [f"nobody's file has the operator {key[:16]}…" for key in strangers]
                + [f"{source} is no operator in it" for source in missing]
            )
            checks.append(Check("operators' files", "fail", seen, "refuse this genesis, and ask who made it"))
        else:
            checks.append(Check("operators' files", "ok", "the operators are those of the files"))
    return checks


def _accounts(described: dict[str, Any]) -> Check:
    holding = [one for one in described["accounts"] if one.get("balances")]
    seen = f"{len(described['accounts'])} accounts, {len(holding)} of which hold assets"
    if not holding:
        return Check("accounts", "ok", seen)
    return Check("accounts", "warn", seen, "look at them with `rustorium genesis show`: did all agree on that?")


def _rest(genesis: bytes, described: dict[str, Any]) -> list[Check]:
    checks = []
    defaults = default_parameters(genesis)
    preset = preset_of(described["parameters"])
    if preset is not None:
        capacity = described["parameters"]["capacity"]
        cores = cores_of(preset, capacity["work_per_s"])
        defaults |= PRESETS[preset].parameters(cores)
        seen = f"{preset}, for {PRESETS[preset].assumes}; validators with {cores} cores"
        checks.append(Check("quotas", "ok", seen))
    governing = ("operators", "operator_quorum")
    changed = [
        f"{name} = {value}"
        for name, value in described["parameters"].items()
        if name not in governing and defaults.get(name) != value
    ]
    if changed:
        checks.append(Check("parameters", "warn", ", ".join(changed), "did all agree on what is no default?"))
    else:
        checks.append(Check("parameters", "ok", "all are the defaults"))
    if described.get("pools"):
        seen = f"a pool of shielded value with key {described['pools'][0].get('key_hash')}"
        do = "compare the hash with that of your ceremony: who knows the key's secret can make value out of nothing"
        checks.append(Check("pools", "warn", seen, do))
    return checks
