"""The manual page names each command and option, and roff prints its text as it is."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import man_page  # noqa: E402

from json_results import commands  # noqa: E402

INSTALLED = ROOT / "packaging" / "data" / "share" / "man" / "man1"


def test_each_command_has_a_part_with_its_options() -> None:
    page = man_page.page()
    for words, _ in commands():
        assert f'.SS "{man_page.escaped(words)} [OPTIONS]' in page, words
    part = page.split('.SS "tx put ')[1].split(".SS")[0]
    assert part.startswith("[OPTIONS] NAME VALUE")
    assert '.B "\\-\\-key <path>"' in part
    assert '.B "\\-o, \\-\\-output <table|json|jsonl>"' in part


def test_text_that_looks_like_a_command_of_roff_is_text() -> None:
    assert man_page.escaped(".git and 'x'") == "\\&.git and 'x'"
    assert man_page.escaped("'quoted' C:\\x --out") == "\\&'quoted' C:\\ex \\-\\-out"
    assert man_page.escaped("URL rsk_…") == "URL rsk_\\[u2026]"
    assert man_page.quoted('say "x"') == '"say \\(dqx\\(dq"'
    for line in man_page.page().splitlines():
        assert not line.startswith("'")
        assert not line.startswith(".") or line.split()[0] in (".TH", ".SH", ".SS", ".TP", ".B", ".PP", '.\\"'), line


def test_the_wheel_installs_the_page_under_both_names() -> None:
    assert (INSTALLED / "rustorium.1").read_text() == man_page.page()
    assert (INSTALLED / "rustorium-node.1").read_text() == ".so man1/rustorium.1\n"
    assert 'data = "packaging"' in (ROOT / "pyproject.toml").read_text()
