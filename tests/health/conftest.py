"""Puts the benches on the path: what judges a recording there judges it in a test too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))
