"""The minimum heights of proven reads, per shard."""

from dataclasses import replace

from rustorium.client.floors import WRITTEN_MAX, Floors, OwnWrite
from rustorium.types import Receipt

RECEIPT = Receipt("", "rs1", 0, 9, 0, 100, 1)


def test_each_shard_has_its_own_heights() -> None:
    floors = Floors()
    floors.show(0, 5)
    floors.write(replace(RECEIPT, shard=1), 1000)
    assert [floors.least(shard) for shard in (0, 1, 2)] == [5, 9, 0]
    assert [floors.shown(shard) for shard in (0, 1)] == [5, 0]
    floors.forget_write(1)
    assert [floors.least(shard) for shard in (0, 1)] == [5, 0]


def test_floors_never_fall() -> None:
    floors = Floors()
    floors.show(0, 5)
    floors.show(0, 4)
    floors.write(RECEIPT, 1000)
    floors.write(replace(RECEIPT, height=8, time_ms=200), 1000)
    assert (floors.shown(0), floors.own(0)) == (5, OwnWrite(9, 100))


def test_a_time_in_the_future_counts_as_now() -> None:
    floors = Floors()
    floors.write(replace(RECEIPT, time_ms=10**15), 1000)
    assert floors.own(0) == OwnWrite(9, 1000)


def test_nodes_that_name_many_shards_use_bounded_memory_and_evict_no_shard_in_use() -> None:
    floors = Floors()
    for shard in range(1, 10 * WRITTEN_MAX):
        floors.write(replace(RECEIPT, shard=shard), 1000)
        floors.write(RECEIPT, 1000)
    assert floors.own(0).height == 9
    assert sum(floors.own(shard).height > 0 for shard in range(10 * WRITTEN_MAX)) == WRITTEN_MAX
