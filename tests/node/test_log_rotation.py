"""A node's log stays within its bound: full files are put aside, and the oldest ones are deleted.

Invariants: each test logs in a process of its own, because a process has one log.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rustorium.config import load
from rustorium.logsection import LogSection

LINES = """
import sys
from pathlib import Path
from rustorium.logs import configure
from rustorium.logsection import LogSection
path, bytes_max, files_max, lines = Path(sys.argv[1]), *map(int, sys.argv[2:])
log = configure(path, LogSection(bytes_max=bytes_max, files_max=files_max), "node-0")
for number in range(lines):
    log.info("counted", number=number, padding="x" * 1000)
    if number == int(lines / 2) and bytes_max == 2**21:
        path.write_bytes(b"")
"""


def logged(path: Path, bytes_max: int, files_max: int, lines: int) -> None:
    subprocess.run([sys.executable, "-c", LINES, path, *map(str, (bytes_max, files_max, lines))], check=True)


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["number"] for line in path.read_bytes().splitlines()]


def test_a_full_log_is_put_aside_and_the_oldest_file_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "node.jsonl"
    logged(path, 2**20, 2, 5000)
    files = [tmp_path / "node.jsonl.2", tmp_path / "node.jsonl.1", path]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    kept = [number for file in files for number in numbers(file)]
    assert kept == list(range(kept[0], 5000))
    assert all(file.stat().st_size <= 2**20 for file in files)
    assert all(file.stat().st_size > 2**20 - 2000 for file in files[:2])


def test_a_process_continues_the_log_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "node.jsonl"
    for _ in range(2):
        logged(path, 2**20, 4, 600)
    kept = numbers(tmp_path / "node.jsonl.1") + numbers(path)
    assert kept == [*range(600), *range(600)]


def test_a_log_without_a_bound_grows_and_without_kept_files_starts_again(tmp_path: Path) -> None:
    logged(tmp_path / "a", 0, 4, 2000)
    assert numbers(tmp_path / "a") == list(range(2000))
    logged(tmp_path / "b", 2**20, 0, 2000)
    assert numbers(tmp_path / "b")[-1] == 1999
    assert (tmp_path / "b").stat().st_size <= 2**20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_log_that_another_program_emptied_is_not_put_aside_early(tmp_path: Path) -> None:
    path = tmp_path / "node.jsonl"
    logged(path, 2**21, 4, 3000)
    assert [file.name for file in tmp_path.iterdir()] == ["node.jsonl"]
    assert numbers(path) == list(range(1501, 3000))


def test_a_bound_is_none_or_at_least_a_mebibyte() -> None:
    assert LogSection().bytes_max == 64 * 2**20
    for wrong in ({"bytes_max": 5}, {"bytes_max": -1}, {"files_max": -1}, {"files_max": 1001}):
        with pytest.raises(ValueError, match=r"bytes_max|files_max"):
            LogSection(**wrong)
    assert load(None, {"RUSTORIUM_LOG__BYTES_MAX": "0"}).config.log.bytes_max == 0
