"""What the tests of all exporters share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some cases, exported by another process."""
    folder = tmp_path_factory.mktemp("elsewhere")
    program = Path(__file__).with_name("exported.py")
    subprocess.run([sys.executable, str(program), str(folder)], check=True, capture_output=True)
    return folder
