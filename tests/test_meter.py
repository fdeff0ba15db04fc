"""A meter that nobody watches."""

from __future__ import annotations

import pytest

from edgett.meter import Silent


def test_silent_meter_draws_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    meter = Silent()
    with meter.stage("work", 3) as advance:
        advance(1)
    meter.say("done")

    assert capfd.readouterr() == ("", "")
