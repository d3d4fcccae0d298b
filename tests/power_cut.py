"""Rebuilds a folder as a power cut would have left it, from the trace of the layer `disk/layer.cc`.

The model is what POSIX promises and no more: bytes are on the disk after a sync of their file has returned that began
after they were written, and a name after such a sync of its folder. Of unsynced data any part may be there. `Disk.play`
goes through the trace call by call, so that one run of a program gives every point at which the power could have been
cut.

Invariants: a trace that doesn't fit the folder is an error, never a guess; the same seed gives the same image.
"""

import os
import shutil
import stat
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from random import Random

PAGE = 4096
HEAD = struct.Struct("<IIIiQQQ")


class Op(IntEnum):
    """The layer's records."""

    START = 1
    OPEN = 2
    WRITE = 3
    ZEROS = 4
    TRUNCATE = 5
    ALLOCATE = 6
    RENAME = 7
    UNLINK = 8
    RMDIR = 9
    MKDIR = 10
    LINK = 11
    SYNC_BEGIN = 12
    SYNC_END = 13
    SEND = 14


@dataclass(slots=True)
class Record:
    """A call. `a` and `b` are the offset and length of a write, the length of `path` in calls with two paths, or the
    flags of an open."""

    op: Op
    result: int
    file: int
    a: int
    b: int
    path: str
    data: bytes

    @property
    def names(self) -> tuple[str, str]:
        """The two paths of a rename or link."""
        return self.path[: self.a], self.path[self.a :]


def read_trace(path: Path) -> list[Record]:
    """Reads all records, except one that the end of the process cut short."""
    found, at, content = [], 0, path.read_bytes()
    while at + HEAD.size <= len(content):
        op, path_bytes, data_bytes, result, file, a, b = HEAD.unpack_from(content, at)
        at += HEAD.size
        if at + path_bytes + data_bytes > len(content):
            break
        name, data = content[at : at + path_bytes].decode(), content[at + path_bytes : at + path_bytes + data_bytes]
        found.append(Record(Op(op), result, file, a, b, name, data))
        at += path_bytes + data_bytes
    return found


@dataclass(slots=True)
class Change:
    """A change of a file's bytes. `data`: `None` for zeros. `cut`: the file ends at `end` afterwards."""

    index: int
    offset: int
    end: int
    data: bytes | None = None
    cut: bool = False

    def apply(self, content: bytearray) -> None:
        if self.cut:
            del content[self.end :]
        if len(content) < self.end:
            content.extend(bytes(self.end - len(content)))
        if not self.cut:
            content[self.offset : self.end] = bytes(self.end - self.offset) if self.data is None else self.data

    def pages(self) -> Iterator["Change"]:
        """Splits the change into pages: a disk writes each of them or not."""
        at = self.offset
        while at < self.end:
            end = min(self.end, at - at % PAGE + PAGE)
            data = None if self.data is None else self.data[at - self.offset : end - self.offset]
            yield Change(self.index, at, end, data)
            at = end


@dataclass(slots=True, eq=False)
class File:
    """A file's bytes: the current ones, those on the disk, and the changes in between."""

    now: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)

    def change(self, change: Change) -> None:
        change.apply(self.now)
        self.changes.append(change)

    def sync(self, below: int) -> None:
        """Syncs all changes made before the call with this number."""
        for change in self.changes:
            if change.index < below:
                change.apply(self.durable)
        self.changes = [change for change in self.changes if change.index >= below]

    def after_cut(self, data: str, luck: Random) -> bytes:
        if data == "kept":
            return bytes(self.now)
        content = bytearray(self.durable)
        if data == "prefix":
            for change in self.changes[: luck.randint(0, len(self.changes))]:
                change.apply(content)
        elif data == "torn":
            for change in self.changes:
                for part in [change] if change.cut else change.pages():
                    if luck.random() < 0.5:
                        part.apply(content)
        return bytes(content)


class Folder:
    """Stands for a folder in the tables of names."""


Node = File | Folder


@dataclass(slots=True)
class NameChange:
    """A change of names, which is on the disk only after all of its folders are synced."""

    index: int
    op: Op
    path: str
    to: str
    node: Node | None
    waits_for: set[str]

    def apply(self, names: dict[str, Node]) -> None:
        if self.op in (Op.OPEN, Op.MKDIR, Op.LINK):
            assert self.node is not None
            names[self.to or self.path] = self.node
        elif self.op in (Op.UNLINK, Op.RMDIR):
            names.pop(self.path, None)
        elif self.path in names:
            moved = {
                name: node for name, node in names.items() if name == self.path or name.startswith(self.path + "/")
            }
            for name in moved:
                del names[name]
            names.update({self.to + name.removeprefix(self.path): node for name, node in moved.items()})
        elif self.node is not None:
            # The file was created and renamed, and only its new folder was synced.
            names[self.to] = self.node


DATA = ("dropped", "kept", "prefix", "torn")
NAMES = ("dropped", "kept", "prefix")
VARIANTS = [(names, data) for names in NAMES for data in DATA if (names, data) != ("kept", "kept")]
"""All ways in which a power cut may leave the changes; ("kept", "kept") is the result of kill -9."""


class Disk:
    """A folder and its synced content. `base`: its content when the trace began, all synced."""

    def __init__(self, root: Path, base: Mapping[str, bytes | None] | None = None) -> None:
        self.root = str(root.resolve())
        self.names: dict[str, Node] = {}
        self.durable_names: dict[str, Node] = {}
        self.namings: list[NameChange] = []
        self._inodes: dict[int, File] = {}
        self._index = 0
        self._process_start = 0
        for path, content in (base or {}).items():
            node: Node = Folder() if content is None else File(bytearray(content), bytearray(content))
            self.names[f"{self.root}/{path}"] = self.durable_names[f"{self.root}/{path}"] = node

    def play(self, record: Record) -> None:
        """Applies the next call of the trace."""
        index = self._index
        self._index += 1
        match record.op:
            case Op.START:
                self._process_start = index
            case Op.OPEN:
                self._open(index, record)
            case Op.WRITE | Op.ZEROS:
                data = record.data if record.op == Op.WRITE else None
                self._file(record).change(Change(index, record.a, record.a + record.b, data))
            case Op.TRUNCATE:
                self._file(record).change(Change(index, record.a, record.a, cut=True))
            case Op.ALLOCATE:
                self._allocate(index, record)
            case Op.MKDIR:
                self._name(NameChange(index, record.op, record.path, "", Folder(), {_parent(record.path)}))
            case Op.RENAME | Op.LINK:
                path, to = record.names
                assert path, f"a name came in over the folder's border: {record}"
                assert to, f"a name went out over the folder's border: {record}"
                folders = {_parent(path), _parent(to)} if record.op == Op.RENAME else {_parent(to)}
                self._name(NameChange(index, record.op, path, to, self.names[path], folders))
            case Op.UNLINK | Op.RMDIR:
                self._name(NameChange(index, record.op, record.path, "", None, {_parent(record.path)}))
            case Op.SYNC_END if record.result == 0:
                self._sync(record.path, record.file, self._process_start + record.a)
            case _:
                pass

    def _open(self, index: int, record: Record) -> None:
        if record.result:
            file = File()
            self._name(NameChange(index, record.op, record.path, "", file, {_parent(record.path)}))
        elif isinstance(found := self.names.get(record.path), File):
            file = found
        else:
            assert found is not None or record.path == self.root, f"the trace lacks how {record.path} came to be"
            return
        self._inodes[record.file] = file
        if record.b and file.now:
            file.change(Change(index, 0, 0, cut=True))

    def _file(self, record: Record) -> File:
        return self._inodes[record.file]

    def _allocate(self, index: int, record: Record) -> None:
        keeps_size, punches = record.result & 1, record.result & 2
        file, end = self._file(record), record.a + record.b
        if punches:
            file.change(Change(index, record.a, min(end, len(file.now))))
        elif not keeps_size and end > len(file.now):
            file.change(Change(index, len(file.now), end))

    def _name(self, naming: NameChange) -> None:
        naming.apply(self.names)
        self.namings.append(naming)

    def _sync(self, path: str, inode: int, below: int) -> None:
        if path != self.root and not isinstance(self.names.get(path), Folder):
            if (file := self._inodes.get(inode)) is not None:
                file.sync(below)
            return
        waiting = []
        for naming in self.namings:
            if naming.index < below:
                naming.waits_for.discard(path)
            if naming.waits_for:
                waiting.append(naming)
            else:
                naming.apply(self.durable_names)
        self.namings = waiting

    def pending(self) -> int:
        """Returns the changes that a power cut could remove."""
        files = {id(node): node for node in self.names.values() if isinstance(node, File)}
        return len(self.namings) + sum(len(file.changes) for file in files.values())

    def image(self, names: str, data: str, seed: int) -> dict[str, bytes | None]:
        """Returns what a power cut leaves, by path below the folder; `None`: a folder."""
        luck = Random(seed)
        table = dict(self.names if names == "kept" else self.durable_names)
        if names == "prefix":
            for naming in self.namings[: luck.randint(0, len(self.namings))]:
                naming.apply(table)
        found: dict[str, bytes | None] = {}
        for path in sorted(table):
            parent = _parent(path)
            if parent == self.root or found.get(self._inside(parent), b"") is None:
                node = table[path]
                found[self._inside(path)] = node.after_cut(data, luck) if isinstance(node, File) else None
        return found

    def _inside(self, path: str) -> str:
        return path.removeprefix(self.root + "/")

    def assert_complete(self, but: str = "") -> None:
        """Checks that the folder, except one folder in it, has exactly the traced content: the layer has seen every
        call."""
        said, found = self.image("kept", "kept", 0), read_folder(Path(self.root))
        if but:
            said, found = ({path: one[path] for path in one if not path.startswith(f"{but}/")} for one in (said, found))
        assert sorted(said) == sorted(found)
        different = [path for path in said if said[path] != found[path]]
        assert not different, f"the layer has missed writes to {different}"


def _parent(path: str) -> str:
    return os.path.dirname(path)


def read_folder(folder: Path) -> dict[str, bytes | None]:
    """Returns all files and folders, as `Disk.image` does."""
    found: dict[str, bytes | None] = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            found[str(path.relative_to(folder))] = None
        elif stat.S_ISREG(mode):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def write_folder(folder: Path, image: Mapping[str, bytes | None], but: str = "") -> None:
    """Makes the folder equal to the image, except the folder `but` in it, which stays as it is."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in folder.iterdir():
        if old.is_dir() and old.name != but:
            shutil.rmtree(old)
        elif old.name != but:
            old.unlink()
    for path, content in image.items():
        if but and (path == but or path.startswith(f"{but}/")):
            continue
        if content is None:
            (folder / path).mkdir(mode=0o700)
        else:
            (folder / path).touch(0o600)
            (folder / path).write_bytes(content)
