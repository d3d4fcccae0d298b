"""Orders a running node to rotate its storage keys, and follows how far it comes.

Invariants: SYNC; the node does the work, also after whoever ordered it is gone.
"""

import time
from collections.abc import Callable
from pathlib import Path

from rustorium.errors import NodeError
from rustorium.node.admin import call
from rustorium.node.adminclient import Remote

POLL_S = 0.1


def rotate(plane: Path | Remote, progress: Callable[[int, int], None]) -> dict[str, object]:
    """Begins a rotation and waits for its end; `progress` is told the rows looked at and about how many there are.

    Errors: NotReady where no node runs, or where it ends meanwhile (its next start goes on); NodeError."""
    call(plane, "rotate_keys")
    while (status := call(plane, "rotation"))["running"]:
        progress(status["rows"], max(status["rows"], status["rows_about"]))
        time.sleep(POLL_S)
    if status["failed"] is not None:
        raise NodeError(f"the rotation stopped: {status['failed']}", code="rotation-failed")
    where = {"home": str(plane.parent.parent)} if isinstance(plane, Path) else {"node": plane.url}
    return {"rows": status["rows"], **where}
