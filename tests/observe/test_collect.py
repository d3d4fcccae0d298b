"""`metrics collect` and `metrics convert` against endpoints that answer, that don't answer, and that answer falsely."""

import itertools
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runner import Cli
from fake_nodes import metrics_endpoint, text

from rustorium.observe.exposition import BYTES_MAX, parse
from rustorium.observe.recording import Recording
from rustorium.observe.scrape import Scraper, targets_of


@pytest.fixture
def closed() -> Iterator[str]:
    """Returns the URL of a port without a listener."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def test_a_table_has_a_row_a_node(cli: Cli, closed: str) -> None:
    with metrics_endpoint(lambda: text(8)) as one:
        ended = cli("metrics", "collect", "--node", one, "--node", closed)
    assert ended.code == 5, "one didn't answer"
    head, first, second = ended.out.splitlines()
    assert head.split()[:3] == ["node", "ready", "height"]
    assert first.split()[:3] == [one.removeprefix("http://"), "-", "8"]
    assert "doesn't answer" in second


def test_json_has_every_sample(cli: Cli) -> None:
    with metrics_endpoint(lambda: text(8, '# TYPE rustorium_x gauge\nrustorium_x{peer="1"} NaN\n')) as one:
        [row] = json.loads(cli("metrics", "collect", "--node", one, "-o", "json").out)
    assert (row["height"], row["transactions"], row["error"]) == (8, 80, None)
    assert {"name": "rustorium_x", "labels": {"peer": "1"}, "value": "nan"} in row["metrics"]
    assert len(row["metrics"]) == 10


def test_one_file_for_all_nodes(cli: Cli, tmp_path: Path, closed: str) -> None:
    out = tmp_path / "now.om"
    with metrics_endpoint(lambda: text(8)) as one, metrics_endpoint(lambda: text(9)) as two:
        ended = cli("metrics", "collect", "--node", one, "--node", two, "--out", out)
        assert (ended.code, ended.out, ended.err) == (0, "", "")
        heights = parse(out.read_bytes())["rustorium_consensus_height"].samples
        assert sorted(sample.value for sample in heights) == [8.0, 9.0]
        assert {sample.labels for sample in heights} == {
            (("node", url.removeprefix("http://")), ("shard", "0")) for url in (one, two)
        }
        cli("metrics", "collect", "--node", one, "--out", out).fails(2, "never overwritten")
        cli("metrics", "collect", "--node", one, "--out", tmp_path / "no" / "x").fails(2, "can't be written")
    ended = cli("metrics", "collect", "--node", closed, "--out", tmp_path / "none")
    assert ended.code == 5
    assert not (tmp_path / "none").exists()


def test_a_recording_is_made_and_converted(cli: Cli, tmp_path: Path) -> None:
    heights = iter(range(1, 1_000))
    out, converted = tmp_path / "r.jsonl", tmp_path / "r.om"
    with metrics_endpoint(lambda: text(next(heights))) as one:
        ended = cli(
            "metrics", "collect", "--node", one, "--for", "300ms", "--every", "100ms", "--out", out, "-o", "json"
        )
    assert ended.code == 0
    [row] = json.loads(ended.out)
    assert row["silent_looks"] == 0
    assert row["transactions_per_s"] > 0
    assert ended.err == f"3 looks at 1 nodes in {out}\n", "no progress bar off a terminal"
    recording = Recording.open(out)
    assert [recording.families_at(look)["rustorium_consensus_height"].samples[0].value for look in recording] == [
        1,
        2,
        3,
    ]
    assert cli("metrics", "convert", out, "--out", converted).code == 0
    assert converted.read_text().count("\nrustorium_consensus_height{") == 3
    out.write_bytes(out.read_bytes()[:-20])
    ended = cli("metrics", "convert", out, "--out", tmp_path / "cut.om")
    assert (ended.code, "was cut off" in ended.err) == (0, True)


def test_bad_arguments_are_one_sentence(cli: Cli, tmp_path: Path, closed: str) -> None:
    out = tmp_path / "out"
    cli("metrics", "collect").fails(2, "no net is named")
    cli("metrics", "collect", "--node", closed, "--for", "5m").fails(2, "--out FILE")
    cli("metrics", "collect", "--node", closed, "--for", "soon", "--out", out).fails(2, "'soon' is not a duration")
    cli("metrics", "collect", "--node", closed, "--for", "1m", "--every", "1ms", "--out", out).fails(
        2, "at least 100ms"
    )
    cli("metrics", "collect", "--node", closed, "--node", closed).fails(2, "named twice")
    cli("metrics", "collect", "--node", "http://[").fails(2, "is not the URL")
    cli("metrics", "collect", "--node", "http://a:99999").fails(2, "is not the URL")
    cli("metrics", "collect", "--net", tmp_path / "none").fails(2, "can't be read")
    assert not out.exists()
    cli("metrics", "collect", "--node", closed, "--for", "1m", "--out", out).fails(5, "no node answers")
    assert not out.exists(), "nothing was recorded"
    cli("metrics", "convert", tmp_path / "none", "--out", tmp_path / "x").fails(2, "can't be read")
    cli("metrics", "convert", __file__, "--out", tmp_path / "x").fails(1, "is no recording")
    assert not (tmp_path / "x").exists()


LIES = {
    "answers wrongly: line 2": lambda: b"# TYPE a gauge\na one\n# EOF\n",
    "end before their": lambda: text()[:-9],
    "aren't UTF-8": lambda: os.urandom(8) + b"\xff\n# EOF\n",
    "longer than": lambda: b"#" * (BYTES_MAX + 1),
}


@pytest.mark.parametrize("part", LIES)
def test_a_false_answer_is_an_error_in_its_own_row(cli: Cli, part: str) -> None:
    with metrics_endpoint(LIES[part]) as liar, metrics_endpoint(text) as honest:
        ended = cli("metrics", "collect", "--node", liar, "--node", honest, "-o", "json")
    assert ended.code == 5
    lies, said = json.loads(ended.out)
    assert part in lies["error"]
    assert (lies["height"], said["height"]) == (None, 7)


def test_answers_without_metrics_are_reported(cli: Cli) -> None:
    with metrics_endpoint(text, status=404) as wrong:
        ended = cli("metrics", "collect", "--node", wrong)
    assert ended.code == 5
    assert "status 404: is that the URL of its metrics?" in ended.out


def test_an_answer_that_is_too_slow_is_given_up() -> None:
    """A byte now and then never exceeds the time-out of an idle connection, so the time of the whole answer counts. The
    test's clock advances by a second at each reading."""
    ended, ticks = threading.Event(), itertools.count()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
                while not ended.wait(0.001):
                    try:
                        connection.sendall(b"#")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        targets = targets_of(None, [f"http://127.0.0.1:{server.getsockname()[1]}"])
        with Scraper(targets, 60.0, clock=lambda: float(next(ticks))) as scraper:
            [scrape] = scraper.scrape()
        ended.set()
        thread.join()
    assert scrape.error == "doesn't answer (its answer took longer than 60 s)"
