"""Checks what a node reports of who governs, as far as it can be checked without a proof.

Invariants: SYNC; a hash that operators sign stands beside the change or the parameters that have it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from rustorium import _native
from rustorium.errors import ProofRefused


def check_hashes(answer: Mapping[str, Any]) -> None:
    """Checks that each open proposal's hash is that of the change beside it, and likewise for the wanted parameters.
    Otherwise an operator would be shown one change and approve another (V12, V39). Errors: ProofRefused."""
    for one in answer["proposals"]:
        _check(f"the change of proposal {one['number']}", _native.change_hash, one["change"], one["hash"])
    _check("the wanted parameters", _native.parameters_hash, answer["wanted"], answer["wanted_hash"])


def _check(what: str, hashed: Callable[[str], str], shown: object, said: object) -> None:
    try:
        found = hashed(json.dumps(shown))
    except ValueError:
        raise ProofRefused(
            f"a node shows {what} in a form that this release can't check: update it, or ask another node"
        ) from None
    if found != said:
        raise ProofRefused(f"a node shows {what} beside the hash of something else: don't trust that node")
