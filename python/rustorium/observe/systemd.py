"""The systemd unit of a home: with readiness notices and a watchdog, and without the rights that a node doesn't need.

Invariants: the node may write its home and nothing else.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from rustorium.errors import UsageError

CREDENTIAL = "rustorium-passphrase"
UNIT = """# Rustorium: {name}. Put it at /etc/systemd/system/{unit}.service, then: systemctl daemon-reload
# && systemctl enable --now {unit}. The passphrase: systemd-creds encrypt --name={credential} FILE
# /etc/credstore.encrypted/{unit}.passphrase.
# The user: useradd --system --shell /usr/sbin/nologin {user} && chown -R {user}: {home}
[Unit]
Description=Rustorium node {name}
Wants=network-online.target
After=network-online.target time-sync.target
StartLimitIntervalSec=600
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={command} recover auto --home {home}
WatchdogSec=60
TimeoutStopSec=60
KillMode=mixed
# What a person must decide ends it with a reason, and isn't tried again.
Restart=on-abnormal
RestartSec=5
User={user}
Group={user}
LoadCredentialEncrypted={credential}:/etc/credstore.encrypted/{unit}.passphrase
LimitNOFILE=65536
LimitMEMLOCK=16M
LimitCORE=0
OOMScoreAdjust=-500

UMask=0077
ReadWritePaths={home}
ProtectSystem=strict
ProtectHome={protect_home}
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
PrivateIPC=yes
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectProc=invisible
ProcSubset=all
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=setpriority sched_setaffinity mlock mlock2 munlock
SystemCallErrorNumber=EPERM
KeyringMode=private
DevicePolicy=closed

[Install]
WantedBy=multi-user.target
"""
_PLAIN = re.compile(r"/[\w./@:+~-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Unit:
    """The parameters of the unit."""

    name: str
    home: Path
    command: Path
    user: str


def unit_text(unit: Unit) -> str:
    """Returns the unit file. Errors: UsageError if a value has characters with a special meaning to systemd."""
    for path in (unit.home, unit.command):
        if not _PLAIN.fullmatch(str(path)) or "/../" in f"{path}/":
            raise UsageError(f"{path} has characters that mean something to systemd: use a plainer, absolute path")
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", unit.user):
        raise UsageError(f"{unit.user!r} is not a valid user name: use lower-case letters, digits, - and _")
    if not re.fullmatch(r"[\w.-]{1,64}", unit.name, re.ASCII):
        raise UsageError(
            f"the node's name {unit.name!r} can't be part of a unit's name: use letters, digits, ., - and _"
        )
    at_home = unit.home.is_relative_to("/home") or unit.home.is_relative_to("/root")
    at_home = at_home or unit.command.is_relative_to("/home") or unit.command.is_relative_to("/root")
    return UNIT.format(
        name=unit.name,
        unit=f"rustorium-{unit.name}",
        home=unit.home,
        command=unit.command,
        user=unit.user,
        credential=CREDENTIAL,
        protect_home="read-only" if at_home else "yes",
    )


def hidden(unit: Unit) -> list[str]:
    """Returns sentences on files that the service couldn't reach: those below /tmp, which it sees empty, and those in
    folders that only their owner may enter."""
    found = []
    for what, path, do in (
        ("the home", unit.home, "move it to /var/lib/rustorium"),
        ("the program", unit.command, "install it in a virtual environment such as /opt/rustorium"),
    ):
        if path.is_relative_to("/tmp") or path.is_relative_to("/var/tmp"):  # noqa: S108
            found.append(f"{what} {path} is below {'/'.join(path.parts[:2])[1:]}, which the service sees empty: {do}")
        elif (closed := _closed(path)) is not None and _owner(closed) != unit.user:
            found.append(f"{what} {path} is in {closed}, which the user {unit.user} can't enter: {do}")
    return found


def _closed(path: Path) -> Path | None:
    """Returns the first folder on the way to a path that only its owner can enter."""
    for folder in reversed(path.parents):
        try:
            if not folder.stat().st_mode & 0o001:
                return folder
        except OSError:
            return folder
    return None


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (OSError, KeyError):
        return ""
