"""Progress messages of a long build: on the terminal, even if pip keeps its output, every few seconds."""

import io
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "build"))

import progress  # noqa: E402

FOLDER = str(ROOT / "tools" / "build")
SAY = f"import sys; sys.path.insert(0, {FOLDER!r}); from progress import Progress; Progress().say('half')"


def test_progress_reaches_the_terminal_if_the_output_is_captured() -> None:
    terminal, other_end = pty.openpty()
    # As under pip, both outputs are captured. A new session's first terminal becomes its controlling terminal.
    code = f"import os; os.open({os.ttyname(other_end)!r}, os.O_RDWR); {SAY}"
    null = subprocess.DEVNULL
    child = subprocess.Popen([sys.executable, "-c", code], stdout=null, stderr=null, start_new_session=True)
    assert child.wait() == 0
    said = os.read(terminal, 1024)
    os.close(other_end)
    os.close(terminal)
    assert said == b"\r\x1b[Krustorium: half (0 s so far)\r\n"


def test_without_a_terminal_progress_goes_to_stderr() -> None:
    done = subprocess.run([sys.executable, "-c", SAY], capture_output=True, check=True, start_new_session=True)
    assert (done.stdout, done.stderr) == (b"", b"rustorium: half (0 s so far)\n")


def test_progress_is_repeated_until_the_work_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_OF_LOGS_S", 0.01)
    monkeypatch.setattr(progress, "_terminal", lambda: None)
    asked = threading.Semaphore(0)
    told = progress.Progress()
    with told.repeated(lambda: asked.release() or "at work"):  # type: ignore[func-returns-value]
        assert all(asked.acquire(timeout=60) for _ in range(3))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("rustorium: at work (") for line in lines)


def test_cargos_progress_bar_becomes_text_and_other_lines_pass() -> None:
    lines = (
        b"   Compiling serde v1.0\n\x1b[K    Building [==>      ] 12/340: serde, ring(build)\r"
        b"warning: odd\n Downloading [=>       ] 3/10: ring\r    Building [======> ] 300/340: rustorium-types, "
        b"ark-ff, a-crate-with-a-very-long-name, another-one-that-is-longer\r    Finished in 2s\nend"
    )
    target = io.BytesIO()
    output = progress.CargoOutput(io.BytesIO(lines[:20] + lines[20:]), target)
    assert output.text() == "starting cargo"
    output.read()
    assert output.text().startswith("compiling Rust, 300 of 340: rustorium-types, ark-ff")
    assert len(output.text()) < 100
    assert target.getvalue() == b"   Compiling serde v1.0\nwarning: odd\n    Finished in 2s\nend"


def test_no_line_of_a_watched_programs_stderr_is_lost(capfd: pytest.CaptureFixture[str]) -> None:
    told = progress.Progress()
    with progress.cargo_watched(told):
        subprocess.run(["sh", "-c", "echo one >&2; printf '  Building [> ] 1/9: x\\r' >&2; echo two >&2"], check=True)
    assert capfd.readouterr().err == "one\ntwo\n"
