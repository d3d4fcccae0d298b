"""The HTTP API of a live node against its own OpenAPI document: schemathesis makes requests of every kind that the
document allows and many that it doesn't, and checks each answer."""

import os
import subprocess
from pathlib import Path

import pytest

from process_tools import assert_no_panic, statuses, wait_for
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.outside

EXAMPLES = int(os.environ.get("RUSTORIUM_OPENAPI_EXAMPLES", "40"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)


def test_every_answer_of_a_live_node_agrees_with_its_document(tmp_path: Path) -> None:
    with Devnet.create(tmp_path / "net", nodes=4) as net:
        net.start()
        key = Key.open(net.net.accounts[0].key_file)
        with Client(net.net.nodes[0].http, genesis=Path(net.net.genesis), key=key) as client:
            done = client.put(b"key", b"value")
        # A random address fails its checksum. With a real one, the code behind the check is reached too.
        known = {"address": key.address, "asset": net.net.asset, "key": "key", "block": "1", "id": done.id}
        settings = "".join(f'"path.{name}" = "{value}"\n' for name, value in known.items())
        (tmp_path / "schemathesis.toml").write_text(f"[parameters]\n{settings}")
        command = [
            "st",
            "run",
            f"{net.net.nodes[0].http}/openapi.json",
            *("--checks", ",".join(CHECKS)),
            *("--phases", "examples,coverage,fuzzing"),
            *("--max-examples", str(EXAMPLES)),
            *("--seed", "1"),
            *("--request-timeout", "30"),
            # The event stream never ends, by design; its own tests read it.
            *("--exclude-path", "/v1/events"),
            "--continue-on-failure",
        ]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr
        wait_for("the node is well", lambda: all(status.ready for status in statuses(net)))
        assert_no_panic(net)
