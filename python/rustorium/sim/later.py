"""The people of version 2 in a run: they begin, stop and act at the end with the run's clients.

Invariants: a run without such people is the run that it was.
"""

from typing import TYPE_CHECKING

from rustorium.sim.checkers import COMMITTEE
from rustorium.sim.custodians import Custodians
from rustorium.sim.governors import Governors
from rustorium.sim.modes import Mode
from rustorium.sim.people import People

if TYPE_CHECKING:
    from rustorium.sim.clients import Clients
    from rustorium.sim.scenario import Plan


class Later:
    """The people of version 2 in one shard."""

    def __init__(self, people: People, story: Custodians | Governors) -> None:
        self._people, self._story = people, story

    def begin(self) -> None:
        self._story.begin()

    def stop(self) -> None:
        """Lets people begin nothing more."""
        self._story.stop()

    def waiting(self) -> int:
        """Returns the number of transactions under way."""
        return self._people.waiting()

    @property
    def abandoned(self) -> int:
        """Number of submissions of transactions whose signers gave up."""
        return self._people.abandoned

    def finish(self) -> str:
        """Plays the end, on a chain at rest. Returns the goal that was missed, or an empty string."""
        return self._story.finish()

    def judge(self) -> None:
        """Checks what nodes hold at the end, except executed transactions."""
        if isinstance(self._story, Governors):
            self._story.judge()


def later_of(plan: "Plan", clients: "list[Clients]") -> list[Later]:
    """Returns the people of each shard; none if the run has nothing of version 2 alone."""
    if plan.governing is not None:
        people = People(clients[0])
        governors = Governors(clients[0], people, plan.governing)
        clients[0].world.shadow.replays = governors.replay
        # Nobody pays for what seats write into the committee's record.
        clients[0].world.checkers.unpaid += (COMMITTEE,)
        return [Later(people, governors)]
    if plan.mode is not Mode.AUTHORITY:
        return []
    later = []
    for number, of_shard in enumerate(clients):
        people = People(of_shard)
        # All shards' processes have the same clocks, so an hour passes once.
        story = Custodians(of_shard, people, plan.hours if number == 0 else ())
        of_shard.world.shadow.replays = story.replay
        later.append(Later(people, story))
    return later
