"""The command line starts fast, and every command has help."""

import subprocess
import sys

from cli_runner import Cli

MODULES_MAX = 250
"""Of all packages. The time that help takes goes with their number, and is the same on every machine."""
HEAVY = ("trio", "anyio", "httpx2", "rich", "msgspec", "structlog", "pytest", "rustorium._native", "rustorium.client")


def test_help_imports_few_modules_and_nothing_heavy() -> None:
    code = (
        "import sys\nfrom rustorium.cli import main\n"
        "try:\n    main(['--help'])\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    imported = ended.stderr.split()
    assert "rustorium.cli.app" in imported
    assert [name for name in HEAVY if name in imported] == []
    assert len(imported) <= MODULES_MAX


def test_every_command_has_help(cli: Cli) -> None:
    commands = (
        "init start devnet top query testnet keys tx block status bench config|testnet gen|keys new|keys show|tx put|"
        "tx transfer|tx status|block show|status check|bench load|config show|metrics collect|metrics convert|"
        "analyze performance|dashboards export|logs aggregate|doctor|debug bundle|systemd print|admin whoami|"
        "admin stop|admin token create|admin token list|admin token revoke"
    )
    top, *lines = commands.split("|")
    for line in [*top.split(), *lines]:
        ended = cli(*line.split(), "--help")
        assert ended.code == 0
        assert "Usage: " in ended.out


def test_version(cli: Cli) -> None:
    ended = cli("--version")
    assert (ended.code, ended.out.count(".")) == (0, 2)


def test_unknown_commands_and_options_are_usage_errors(cli: Cli) -> None:
    assert cli("node", "explode").code == 2
    assert cli("start", "--nonsense").code == 2
    assert cli("devnet", "--nodes", "0").code == 2
    ended = cli("tx", "put", "name")
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_debug_shows_the_traceback() -> None:
    command = [sys.executable, "-m", "rustorium.cli", "config", "show", "--home", "/nowhere"]
    plain = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (plain.returncode, "Traceback" in plain.stderr) == (3, False)
    debug = subprocess.run([*command, "--debug"], capture_output=True, text=True, check=False)
    assert "Traceback" in debug.stderr
