"""Files with round-trip times between regions, and the one that the package brings.

Invariants: a file that is no matrix is refused in one sentence that names it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from rustorium.config import nearest
from rustorium.errors import UsageError
from rustorium.geo.matrix import Matrix, parse_matrix

RTT_MATRIX = Path(__file__).parents[1] / "data" / "region_rtt_ms.json"


def read_matrix(path: Path) -> Matrix:
    """Reads a matrix of round-trip times. Errors: UsageError."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a matrix of round-trip times ({error}): name another file") from None
    return parse_matrix(content, str(path))


def matrix_for(regions: Sequence[str], matrix: Path | None) -> Path | None:
    """Returns the file by which links are delayed: the given one, or the included one if it has all regions. `None` if
    it has none of them, because they are labels. Errors: UsageError if it has only some of them."""
    known = read_matrix(matrix or RTT_MATRIX).regions
    unknown = [region for region in regions if region not in known]
    if not unknown:
        return matrix or RTT_MATRIX
    if matrix is None and len(unknown) == len(regions):
        return None
    raise UsageError(f"there are no round-trip times for region {unknown[0]}{nearest(unknown[0], known)}")
