"""The examples are built by the code blocks of their READMEs, which tests/docs knows how to run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))
