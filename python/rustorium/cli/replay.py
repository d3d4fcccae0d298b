"""`replay` runs the core again with the inputs that a production node logged."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.output import Format, Output, emit, emit_one


def replay(
    log: Annotated[Path, typer.Argument(help="A node's folder log/inputs, or one of its segments.", exists=True)],
    steps: Annotated[bool, typer.Option("--steps", help="Print each step: its time, input and effects.")] = False,
    output: Output = Format.table,
) -> None:
    """Replay the inputs that a node logged through the consensus core, and compare the effects with the logged ones.

    Exit code 4: the log is corrupt, or a step has different effects."""
    from rustorium.node.loop.inputlog import replay as replay_log

    inputs, effects = Counter[str](), Counter[str]()
    segments, first_ns, last_ns = set[str](), None, 0
    for number, step in enumerate(replay_log(log)):
        kinds = [type(effect).__name__ for effect in step.effects]
        inputs[type(step.event).__name__] += 1
        effects.update(kinds)
        segments.add(step.segment)
        first_ns, last_ns = step.now if first_ns is None else first_ns, step.now
        if steps:
            row = {"step": number, "at_ms": round((step.now - first_ns) / 1e6, 3), "input": repr(step.event)}
            if output is Format.table:
                print(number, f"{row['at_ms']} ms", row["input"], "->", ", ".join(map(repr, step.effects)) or "nothing")
            else:
                emit([row | {"effects": [repr(effect) for effect in step.effects]}], Format.jsonl)
    summary: dict[str, object] = {
        "steps": inputs.total(),
        "segments": len(segments),
        "seconds": round((last_ns - (first_ns or 0)) / 1e9, 3),
        "inputs": dict(sorted(inputs.items())),
        "effects": dict(sorted(effects.items())),
    }
    emit_one(summary, Format.jsonl if steps and output is not Format.table else output)
