"""The list in `--help`, the start of completion, and the parser's errors."""

import json
import re
from pathlib import Path

import pytest
from cli_runner import Cli

from json_results import commands
from rustorium.cli.grouped import OTHERS, SECTIONS, range_words


def test_every_command_stands_in_a_section_with_its_whole_sentence(cli: Cli) -> None:
    page = cli("--help").out
    assert f"{OTHERS}:" not in page, "a new command belongs to a section of rustorium/cli/grouped.py"
    assert "..." not in page.partition("Try it:")[2]
    places = [page.index(f"{title}:") for title in SECTIONS]
    assert places == sorted(places)
    assert cli("-h").out == page


def test_groups_cut_no_sentence(cli: Cli) -> None:
    assert "..." not in cli("tx", "--help").out.partition("Commands:")[2]
    assert "..." not in cli("admin", "token", "-h").out.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("tx combine a", "missing option '--out': see `rustorium-node tx combine --help`"),
        ("tx put a b", "nobody signs: give --key FILE"),
        ("tx pot", "no such command 'pot'. Did you mean 'put'? see `rustorium-node tx --help`"),
        ("devnet --nodes many", "invalid value for '--nodes'"),
        ("nonsense", "no such command 'nonsense': see `rustorium-node --help`"),
    ],
)
def test_a_wrong_line_is_one_sentence_as_text_and_as_json(cli: Cli, line: str, sentence: str) -> None:
    cli(*line.split()).fails(2, sentence)
    told = json.loads(cli(*line.split(), "-o", "json").err)
    assert told["code"] == "usage"
    assert told["error"]


def test_a_group_without_a_command_shows_its_help(cli: Cli) -> None:
    ended = cli("tx")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: rustorium-node tx")


def test_a_shell_completes_commands(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("_RUSTORIUM_NODE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "rustorium-node tx p")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert cli().out.split() == ["put", "put-many"]


def test_help_speaks_of_text_and_numbers_and_not_of_python(cli: Cli) -> None:
    for words, _ in commands():
        text = cli(*words.split(), "--help").out
        assert not re.search(r"list\[|<str>|<int|<float|x[<>]=|<=x", text), words
    assert "at least 1" in " ".join(cli("devnet", "--help").out.split())
    assert "1024 to 65000" in " ".join(cli("init", "--help").out.split())


@pytest.mark.parametrize(
    ("shown", "words"),
    [("x>=0.1", "at least 0.1"), ("x<=7", "at most 7"), ("0<=x<=63", "0 to 63"), ("odd", "odd"), (None, None)],
)
def test_a_range_is_told_in_words(shown: str | None, words: str | None) -> None:
    assert range_words(shown) == words


def test_arguments_are_named_in_capitals_and_durations_have_units(cli: Cli) -> None:
    for words, _ in commands():
        text = cli(*words.split(), "--help").out
        assert not re.search(r"Usage: .*[{}]|\.\.\.\]\.\.\.", text), words
        for option in re.findall(r"(?m)^  (?:-\w, )?--(?:for|every|timeout|max-age|trust-period|expires)\b.*", text):
            assert "<duration>" in option or option.endswith("--timeout-s"), (words, option)
        assert not re.search(r"<duration>[^<]*\[default: [\d.]+\]", text), words
    assert "tx transfer [OPTIONS] TO AMOUNT\n" in cli("tx", "transfer", "-h").out
    assert "query [OPTIONS] [KEY]...\n" in cli("query", "-h").out
    assert "[default: 30s]" in cli("tx", "put", "-h").out


def test_help_is_a_command_too(cli: Cli) -> None:
    assert cli("help").out == cli("--help").out
    assert cli("help", "tx", "put").out == cli("tx", "put", "--help").out
