"""Appends an operator's command to the audit log of a home whose node is stopped.

Invariants: SYNC; lines are signed with the node's own key, like all lines of that log.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from rustorium import _native
from rustorium.home.keys import open_signing_key
from rustorium.home.paths import Home


def note_by_operator(
    home: Home,
    event: str,
    fields: Mapping[str, object],
    passphrase_file: Path | None,
    environment: Mapping[str, str],
) -> None:
    """Appends a line. Errors: NativeError, KeyFileError."""
    key = open_signing_key(home.node_key, "node", passphrase_file, environment)
    _native.audit_record_by(str(home.path / "audit"), key, event, json.dumps({"by": "operator", **fields}))
