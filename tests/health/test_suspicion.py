"""False suspicions in readings that were recorded on a machine without a free core (`benches/suspicion.py`)."""

from pathlib import Path

from suspicion import DAY_MS, drawn, read, suspicions

RECORDED = Path(__file__).with_name("arrivals.json")
SEED = 7


def test_a_live_peer_is_suspected_at_most_once_a_node_day_without_a_free_core() -> None:
    looks = read(RECORDED)
    count = suspicions(drawn(looks, SEED, DAY_MS), corrected=True)
    print(f"seed {SEED}: {count} false suspicions in a node-day of {len(looks)} readings drawn again")
    assert count <= 1
