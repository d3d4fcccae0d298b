"""`PYTHONPATH=tests python -m model`: plays seeds on the model of the data plane; exits with 1 if one fails."""

import argparse
import sys
from functools import partial

from model.run import run_seed
from model.scenario import Mode
from rustorium.sim.many import play


def main(arguments: list[str]) -> int:
    """Prints a line for each seed, and for each failing seed the command that repeats it."""
    parser = argparse.ArgumentParser(description="Plays seeds on the model of the data plane.")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--mode", type=Mode, choices=list(Mode), default=Mode.LIVENESS)
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    options = parser.parse_args(arguments)
    seeds = range(options.seed, options.seed + options.count)
    failed = 0
    for report in play(partial(run_seed, mode=options.mode), seeds, options.jobs):
        sys.stdout.write(f"{report.line()}\n")
        if not report.ok:
            failed += 1
            sys.stdout.write(f"  repeat with: {report.repeat()}\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
