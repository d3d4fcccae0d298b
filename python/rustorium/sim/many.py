"""Plays many seeds, on several processes at once.

Invariants: reports come in the order of the seeds, and are those that a single process would give.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

R = TypeVar("R")

AHEAD = 4
"""Number of seeds under way or done, per process, before the oldest report is taken."""


def play(run: Callable[[int], R], seeds: Iterable[int], jobs: int) -> Iterator[R]:
    """Yields `run(seed)` for each seed. With more than one job, `run` must be a function that can be pickled."""
    if jobs <= 1:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = []
        for seed in seeds:
            waiting.append(pool.submit(run, seed))
            if len(waiting) >= jobs * AHEAD:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
