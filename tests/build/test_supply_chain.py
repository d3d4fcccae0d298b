"""The wheel names its components: crates in its SBOM, licences of third parties, and the versions to install."""

import base64
import hashlib
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tools" / "build")]

import licences  # noqa: E402

import bill as bills  # noqa: E402


def shipped(*place: str) -> str:
    """Returns the text of a file in the installed package's .dist-info."""
    distribution = importlib.metadata.distribution("rustorium")
    text = distribution.read_text("/".join(place))
    assert text, f"the wheel has no {'/'.join(place)}"
    return text


def bill() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shipped("sboms", "rustorium-native.cyclonedx.json"))
    return found


def test_the_wheel_has_a_bill_of_materials_with_all_its_crates_and_no_other_systems() -> None:
    found = bill()
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    own = found["metadata"]["component"]
    listed = {(part["name"], part["version"]) for part in found["components"]} | {(own["name"], own["version"])}
    line = ["cargo", "tree", "--locked", "--package=rustorium-native", "--edges=normal,build", "--prefix=none"]
    tree = subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert listed == {(name, version[1:]) for name, version, *_ in map(str.split, filter(None, tree.splitlines()))}
    assert not {name for name, _ in listed} & {"windows-sys", "windows-link", "security-framework", "js-sys"}
    refs = {part["bom-ref"] for part in (*found["components"], own)}
    needs = [ref for one in found["dependencies"] for ref in (one["ref"], *one.get("dependsOn", ()))]
    assert set(needs) == refs, "each component has its place in the graph, and no other has"


def test_a_narrowed_wheel_is_recorded_as_it_is(tmp_path: Path) -> None:
    wheel, place = tmp_path / "one.whl", "one.dist-info/sboms/one.cyclonedx.json"
    parts = [{"name": name, "version": "1.0.0", "bom-ref": name} for name in ("serde", "windows-sys")]
    needs = [{"ref": "one", "dependsOn": ["serde", "windows-sys"]}, {"ref": "serde"}, {"ref": "windows-sys"}]
    whole = {"metadata": {"component": {"bom-ref": "one"}}, "components": parts, "dependencies": needs}
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("one.py", "1")
        made.writestr(place, json.dumps(whole))
        made.writestr("one.dist-info/RECORD", f"one.py,sha256=x,1\n{place},sha256=y,2\none.dist-info/RECORD,,\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bills, "crates", lambda _target, _features: {("serde", "1.0.0")})
        bills.narrow(wheel, "any")
    with zipfile.ZipFile(wheel) as made:
        content, record = made.read(place), made.read("one.dist-info/RECORD").decode().splitlines()
        assert made.read("one.py") == b"1"
    assert [part["name"] for part in json.loads(content)["components"]] == ["serde"]
    assert json.loads(content)["dependencies"] == [{"ref": "one", "dependsOn": ["serde"]}, {"ref": "serde"}]
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    assert record == ["one.py,sha256=x,1", f"{place},sha256={digest},{len(content)}", "one.dist-info/RECORD,,"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.whl"]


def test_the_bill_pins_each_crate_by_the_hash_in_the_lock() -> None:
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    hashes = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    for part in bill()["components"]:
        said = [one["content"] for one in part.get("hashes", []) if one["alg"] == "SHA-256"]
        wanted = hashes[part["name"], part["version"]]
        assert said == ([wanted] if wanted else []), part["name"]
        assert part["purl"].startswith(f"pkg:cargo/{part['name']}@{part['version'].split('+')[0]}")


def test_the_wheel_has_the_licences_of_what_is_in_it() -> None:
    assert shipped("licenses", "LICENSE") == (ROOT / "LICENSE").read_text()
    assert shipped("licenses", "THIRD-PARTY.txt") == licences.REPORT.read_text()


def test_the_licences_are_of_these_crates() -> None:
    assert licences.REPORT.read_text() == licences.report(), "run `just licences`, and commit THIRD-PARTY.txt"


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("MIT OR Apache-2.0", {"Apache-2.0"}),
        ("MIT/Apache-2.0", {"Apache-2.0"}),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", {"Apache-2.0", "Unicode-3.0"}),
        ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", {"Apache-2.0"}),
        ("Apache-2.0 AND ISC", {"Apache-2.0", "ISC"}),
        ("Zlib OR BSD-3-Clause AND MIT", {"Zlib"}),
    ],
)
def test_apache_is_chosen_if_there_is_a_choice(expression: str, wanted: set[str]) -> None:
    assert licences.chosen({"license": expression}) == wanted


def locked(name: str) -> dict[str, set[str]]:
    """Returns each package of a lock file with its version, and its files' hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    blocks = [block for block in re.split(r"\n(?=\w)", text) if "==" in block]
    return {block.split(" ")[0].lower(): set(re.findall(r"--hash=(sha256:\w+)", block)) for block in blocks}


def test_the_wheels_requirements_are_locked_to_the_tested_versions() -> None:
    runtime, test = locked("runtime"), locked("test")
    assert runtime
    assert all(runtime.values())
    assert {name: test.get(name) for name in runtime} == runtime
    needed = [line for line in importlib.metadata.requires("rustorium") or [] if "extra ==" not in line]
    declared = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed}
    assert declared <= {name.split("==")[0] for name in runtime}


def test_overflows_are_checked_in_the_wheel_and_in_no_dependency() -> None:
    profiles = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]
    assert profiles["release"]["overflow-checks"] is True
    assert profiles["release"]["package"] == {"*": {"debug-assertions": False, "overflow-checks": False}}
    client = profiles["client"]
    assert client["inherits"] == "release"
    assert "overflow-checks" not in client
    assert all(set(own) <= {"opt-level", "codegen-units"} for own in client["package"].values())
    # cargo only warns of a name that there is not.
    packages = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    assert set(client["package"]) <= {package["name"] for package in packages}
    extension = next((ROOT / "python" / "rustorium").glob("_native*.so")).read_bytes()
    for what in (b"add", b"subtract", b"multiply"):
        assert b"attempt to " + what + b" with overflow" in extension


def test_the_client_compiles_no_crate_of_the_node() -> None:
    line = ["cargo", "tree", "--locked", "--package=rustorium-native", "--edges=normal,build", "--prefix=none"]
    crates = {}
    for part, features in (("node", []), ("client", ["--no-default-features"])):
        done = subprocess.run([*line, *features], cwd=ROOT, check=True, capture_output=True, text=True)
        crates[part] = {crate.split(" ")[0] for crate in done.stdout.splitlines() if crate}
    node = {
        "cryptoki",
        "rayon",
        "regex",
        "rocksdb",
        "rustorium-signer",
        "rustorium-storage",
        "rustorium-txpool",
        "tokio",
    }
    assert "utoipa" not in crates["node"] | crates["client"], "it describes the HTTP API when developing"
    assert node <= crates["node"]
    assert not node & crates["client"]
