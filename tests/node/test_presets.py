"""Presets of a chain's quotas: they have the figures that docs/quotas.md promises, and a genesis of one names it."""

import json
from typing import Any

import pytest

from rustorium import _native
from rustorium.errors import UsageError
from rustorium.net.agreed import examine
from rustorium.net.generate import Listen, NetPlan, generate
from rustorium.net.presets import NAMES, PRESETS, PresetName, parameters_with, preset_of


def genesis_of(tmp_path: Any, preset: PresetName, **plan: Any) -> dict[str, Any]:
    listen = [Listen(*(f"127.0.0.1:{26650 + 10 * node + port}" for port in range(4))) for node in range(4)]
    files = generate(tmp_path, NetPlan("net", listen, preset=preset, random_passphrase=True, **plan), b"secret word")
    found: dict[str, Any] = json.loads(_native.genesis_describe(_native.genesis_encode(files.genesis.read_text())))
    return found


@pytest.mark.parametrize("preset", NAMES)
def test_a_genesis_has_the_presets_quotas_storage_and_sponsors(tmp_path: Any, preset: PresetName) -> None:
    described = genesis_of(tmp_path, preset, accounts=3, cores=8)
    quotas, parameters = PRESETS[preset], described["parameters"]
    assert preset_of(parameters) == preset
    assert parameters["capacity"]["work_per_s"] == 4 * quotas.work_per_s
    funded = [one for one in described["accounts"] if one["balances"]]
    assert {one["storage_bytes"] for one in funded} == {quotas.storage_bytes}
    sponsors = described.get("sponsors", [])
    assert len(sponsors) == (3 if quotas.sponsors else 0)
    assert all(one["work_ppm"] == one["history_ppm"] == quotas.sponsor_ppm for one in sponsors)
    (found,) = (one for one in examine(_native.genesis_encode(json.dumps(described))) if one.name == "quotas")
    assert (found.result, found.seen.split(",")[0]) == ("ok", preset)
    assert "8 cores" in found.seen


def test_the_figures_are_those_of_the_page() -> None:
    consortium = PRESETS["consortium"].parameters()
    put, put_many = 1_151, 667
    assert consortium["capacity"]["quota_history_per_s"] // put == 91
    assert consortium["capacity"]["quota_history_per_s"] // put_many == 157
    assert consortium["quota_work_per_s"] // 1_030 == 364
    assert round(consortium["capacity"]["history_per_s"] * 86_400 / 1e9) == 181
    assert round(consortium["capacity"]["history_per_s"] * 0.2 * 86_400 / 1e9) == 36


def test_a_changed_genesis_is_of_no_preset(tmp_path: Any) -> None:
    described = genesis_of(tmp_path, "open", parameters={"capacity": {"common_ppm": 7}})
    assert described["parameters"]["capacity"] == PRESETS["open"].parameters()["capacity"] | {"common_ppm": 7}
    assert preset_of(described["parameters"]) is None
    results = {one.name: one for one in examine(_native.genesis_encode(json.dumps(described)))}
    assert "quotas" not in results
    assert "capacity" in results["parameters"].seen
    assert parameters_with("open", {"epoch_ms": 5})["epoch_ms"] == 5


def test_version_one_has_no_preset(tmp_path: Any) -> None:
    described = genesis_of(tmp_path, "consortium", version=1)
    assert "capacity" not in described["parameters"]
    assert preset_of(described["parameters"]) is None
    with pytest.raises(UsageError, match="capacity"):
        genesis_of(tmp_path / "other", "private", version=1, parameters={"capacity": {}})
