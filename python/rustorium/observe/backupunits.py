"""The systemd service and timer that make a home's backups.

Invariants: the service may write the home and the backup folder, and nothing else.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from rustorium.errors import UsageError
from rustorium.observe.systemd import CREDENTIAL, Unit, unit_text

_PLAIN = re.compile(r"[\w./@:+~-]+", re.ASCII)
SERVICE = """# Rustorium: backups of {name}. The passphrase: as for the node, {unit}.service. Credentials of a bucket:
# AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in /etc/rustorium/{unit}.backup.env (0600).
[Unit]
Description=Backup of Rustorium node {name}
Wants=network-online.target
After=network-online.target {unit}.service

[Service]
Type=oneshot
ExecStart={command} backup create --home {home} --to {destination} --keep {keep}{flags}
User={user}
Group={user}
LoadCredentialEncrypted={credential}:/etc/credstore.encrypted/{unit}.passphrase
EnvironmentFile=-/etc/rustorium/{unit}.backup.env
Nice=10
IOSchedulingClass=idle
LimitCORE=0
LimitMEMLOCK=16M

{sandbox}
"""
TIMER = """# systemctl daemon-reload && systemctl enable --now {unit}-backup.timer
[Unit]
Description=Backups of Rustorium node {name}

[Timer]
OnBootSec=5min
OnUnitActiveSec={every_s}s
RandomizedDelaySec={delay_s}s
Persistent=true

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True, slots=True)
class BackupUnits:
    """The parameters of the units."""

    name: str
    home: Path
    command: Path
    user: str
    destination: str
    every_s: int
    keep: int
    flags: tuple[str, ...] = ()


def unit_files(units: BackupUnits) -> dict[str, str]:
    """Returns names and texts of the unit files. Errors: UsageError if a value has characters with a special meaning to
    systemd."""
    for word in (units.destination, *units.flags):
        if not _PLAIN.fullmatch(word):
            raise UsageError(f"{word} has characters that mean something to systemd: use a plainer one")
    unit = f"rustorium-{units.name}"
    # Checks the names, and contains the node's sandbox.
    node = unit_text(Unit(units.name, units.home, units.command, units.user))
    sandbox = node[node.index("UMask=") : node.index("\n[Install]")].rstrip("\n")
    if "://" not in units.destination:
        written = f"ReadWritePaths={units.home}"
        sandbox = sandbox.replace(written, f"{written} {units.destination}")
    service = SERVICE.format(
        name=units.name,
        unit=unit,
        command=units.command,
        home=units.home,
        destination=units.destination,
        keep=units.keep,
        flags="".join(f" {flag}" for flag in units.flags),
        user=units.user,
        credential=CREDENTIAL,
        sandbox=sandbox,
    )
    timer = TIMER.format(unit=unit, name=units.name, every_s=units.every_s, delay_s=max(1, units.every_s // 20))
    return {f"{unit}-backup.service": service, f"{unit}-backup.timer": timer}
