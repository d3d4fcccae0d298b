"""What a client is given to begin with: URLs and a genesis, as content and with slips."""

import json
from pathlib import Path

import pytest

from rustorium import _native
from rustorium.client import Client, Key
from rustorium.errors import HomeError, UsageError
from rustorium.sim.net import make_net

URL = "http://127.0.0.1:26651"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999", "http://127.0.0.1:abc", "http://local host:80", "http://", "127.0.0.1:26651", ""]
)
def test_a_slip_in_a_url_is_told_at_once(url: str) -> None:
    for urls in (url, [URL, url]):
        with pytest.raises(UsageError, match=r"is not the URL of an .*: give one such as http"):
            Client(urls)


def test_a_genesis_is_given_as_a_file_as_its_text_or_in_its_canonical_form(tmp_path: Path) -> None:
    canonical = make_net(4, 4, 4).genesis
    file = tmp_path / "genesis.json"
    file.write_text(json.dumps(json.loads(_native.genesis_describe(canonical))))
    for given in (file, str(file), file.read_bytes(), file.read_text(), canonical):
        with Client(URL, genesis=given) as client:
            assert client.light.chain == _native.genesis_hash(canonical)


@pytest.mark.parametrize("content", [b"", b"no genesis", b"{", b'{"version": 2}', "{}"])
def test_other_content_is_refused_in_a_sentence(content: bytes | str) -> None:
    with pytest.raises(HomeError, match="the content is not a genesis"):
        Client(URL, genesis=content)


def test_half_a_character_is_refused_in_a_sentence() -> None:
    """Files' names in Python have them, where they aren't UTF-8."""
    with Client(URL, key=Key(bytes(32))) as client:
        for write in (lambda: client.put("k\udcff", "v"), lambda: client.put("k", "v\udcff")):
            with pytest.raises(UsageError, match=r"has half a character \(\\udcff\), which is not text"):
                write()
