"""Files that commands read whole are bounded, whether they are named or come by the standard input.

Invariants: no node runs.
"""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from rustorium.cli import options
from rustorium.cli.options import content_of
from rustorium.errors import UsageError

LEAST_TOO_MANY = options.CONTENT_BYTES_MAX + 1


def give(monkeypatch: pytest.MonkeyPatch, content: io.RawIOBase | io.BytesIO) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=content))


class Endless(io.RawIOBase):
    """A standard input that doesn't end; says how much was taken of it."""

    taken = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "all of it was requested"
        self.taken += size
        return bytes(size)


def test_content_comes_from_a_file_or_from_the_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_bytes(b"[]")
    give(monkeypatch, io.BytesIO(b"{}"))
    assert (content_of(tmp_path / "a.json"), content_of(Path("-"))) == (b"[]", b"{}")


def test_a_file_of_the_largest_size_is_read_and_a_larger_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as large:
        large.truncate(options.CONTENT_BYTES_MAX)
    assert len(content_of(file)) == options.CONTENT_BYTES_MAX
    with file.open("r+b") as large:
        large.truncate(LEAST_TOO_MANY)
    with pytest.raises(UsageError, match="more than 16 MiB"):
        content_of(file)


def test_an_input_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Endless()
    give(monkeypatch, endless)
    with pytest.raises(UsageError, match="more than 16 MiB"):
        content_of(Path("-"))
    assert endless.taken == LEAST_TOO_MANY
