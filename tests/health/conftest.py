"""Puts the benches on the path, because tests use their judgement of recordings too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))
