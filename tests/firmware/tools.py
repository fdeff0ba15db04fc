"""Programs of the system that tests start: a machine without them skips, a build server must have them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T", bound=Callable[..., object])


def needs(*programs: str) -> Callable[[T], T]:
    """Skip a test where one of the programs is missing; with CI=true it runs and fails."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(
        bool(missing) and os.environ.get("CI") != "true", reason=f"{', '.join(missing)} not installed"
    )
