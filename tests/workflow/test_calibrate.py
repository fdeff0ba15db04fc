"""A profile with measured speeds: as text, beside what else it says, and what it is good for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgett.device.calibrate import PROBES
from edgett.device.local import Local
from edgett.errors import ProfileError, UsageError
from edgett.graph.dtype import DType
from edgett.meter import Silent
from edgett.target.profile import load_profile, load_target, with_dtype
from edgett.target.speeds import toml
from edgett.workflow import calibrate, profile_file
from tests.conftest import EASY, Answer, Tiny
from tests.device.test_calibrate import PLANTED

Call = Callable[..., Answer]
TABLE = toml(PLANTED, "local, some processor", DType.FLOAT32, 1)


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """The host's, with planted speeds, and of another machine: what is timed here decides nothing."""
    path = tmp_path / "mine.toml"
    profile_file.write(path, calibrate._placed(profile_file.text_of("host"), here=False), profile_file.LATENCY, TABLE)
    return path


class TestProfile:
    def test_speeds_survive_and_nothing_else_changes(self, profile: Path) -> None:
        host, mine = load_target("host"), load_profile(profile)
        assert mine.name == "mine"
        assert mine.speeds is not None
        assert mine.speeds == PLANTED
        assert (mine.runtime, mine.memory, mine.compute, mine.budget) == (
            host.runtime, host.memory, host.compute, host.budget,
        )  # fmt: skip

    def test_measured_again_the_table_is_replaced(self, profile: Path) -> None:
        again = toml(replace(PLANTED, start=2.5), "local, later", DType.FLOAT32, 1)
        profile_file.write(profile, profile.read_text(), profile_file.LATENCY, again)
        text = profile.read_text()
        assert text.count("[latency]") == 1
        assert "later" in text and "some processor" not in text
        speeds = load_profile(profile).speeds
        assert speeds is not None
        assert speeds.start == 2.5

    def test_a_table_of_an_older_edgett_is_measured_again(self, profile: Path) -> None:
        whole = profile.read_text()
        profile.write_text("".join(line for line in whole.splitlines(True) if not line.startswith("windows")))
        with pytest.raises(ProfileError, match=r"latency\.windows is missing") as caught:
            load_profile(profile)
        assert "edgett calibrate --target FILE --out FILE" in caught.value.cure
        assert profile_file.loaded(str(profile)).name == "mine"
        profile_file.write(profile, profile.read_text(), profile_file.LATENCY, TABLE)
        assert load_profile(profile).speeds == PLANTED

    def test_other_mistakes_stand(self, profile: Path) -> None:
        profile.write_text(profile.read_text().replace("[memory]", "[memories]"))
        with pytest.raises(ProfileError, match="memories is unknown"):
            profile_file.loaded(str(profile))
        profile.write_bytes(b"\xff\xfe")
        with pytest.raises(ProfileError, match=r"mine\.toml is not TOML in UTF-8"):
            profile_file.loaded(str(profile))

    def test_tables_behind_it_stay(self, profile: Path) -> None:
        text = profile.read_text()
        moved = TABLE + "\n" + text.replace(TABLE, "")
        head, tail = moved.split("\n\n", 1)
        profile.write_text(tail.split("[", 1)[0] + head + "\n\n[" + tail.split("[", 1)[1])
        profile_file.write(profile, profile.read_text(), profile_file.LATENCY, TABLE)
        assert load_profile(profile).budget == load_target("host").budget

    @pytest.mark.parametrize("base", ["host", "cortex-a53", "cortex-m4"])
    def test_it_says_whether_the_device_is_this_machine(self, tmp_path: Path, base: str) -> None:
        text = profile_file.text_of(base)
        for here in (True, True, False):
            text = calibrate._placed(text, here=here)
            profile_file.write(tmp_path / "mine.toml", text, profile_file.LATENCY, TABLE)
            found = load_profile(tmp_path / "mine.toml")
            assert found.device == load_target(base).device.model_copy(update={"local": here})
            assert text.count("[device]") == 1
            (tmp_path / "mine.toml").unlink()

    def test_they_hold_for_what_was_measured_alone(self, profile: Path) -> None:
        assert with_dtype(load_profile(profile), DType.INT8).speeds is None

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("start = 0.7", "start = -1", "latency.start"),
            ("mac = 1.6e-05", "", "latency.mac is missing"),
            ("columns = 8", "columns = 0", "latency.columns"),
            ("columns = 8", 'columns = "8"', "latency.columns"),
            ('dtype = "float32"', 'dtype = "float16"', "latency.dtype"),
            ("streams = {", 'streams = { "1 GiB" = 1e-5,', "latency.streams"),
            ("streams = {", 'streams = { "1 parsec" = 1e-5,', "latency.streams"),
            ('"256 KiB" = 1.2e-05', '"256 KiB" = -1', "latency.streams"),
            ("touch = 7e-05", "touch = nan", "latency.touch"),
            ("mac = 1.6e-05", "mac = -1", "latency.mac"),
            ('"256 KiB" = 1.2e-05', '"256 KiB" = 1', "latency.streams"),
            ('"256 KiB" = 1.2e-05', '"256 KiB" = 1.2e-05, "2048 KiB" = 1.3e-05', "latency.streams"),
            ("touch = 7e-05", "touch = 7e-05\nspeed = 1", "latency.speed is unknown"),
            ("windows = {", "windows = { 0 = 1e-5,", "latency.windows"),
            ("windows = {", 'windows = { "nine" = 1e-5,', "latency.windows"),
            ("windows = {", "windows = { 1000 = 1e-5,", "latency.windows"),
            ("9 = 0.0002", "9 = -1", "latency.windows"),
            ("windows = {", "holes = {", "latency.windows is missing"),
        ],
    )
    def test_mistakes_name_the_key(self, profile: Path, old: str, new: str, words: str) -> None:
        text = profile.read_text()
        assert old in text
        profile.write_text(text.replace(old, new))
        with pytest.raises(ProfileError, match=re.escape(words)):
            load_profile(profile)

    @pytest.mark.parametrize(
        ("base", "out", "words"),
        [
            ("cortex-m4", "x.txt", "is no profile"),
            ("host", "there.toml", "exists"),
            ("host", "nowhere/x.toml", "does not exist"),
        ],
    )
    def test_where_nothing_can_be_written(self, tmp_path: Path, base: str, out: str, words: str) -> None:
        (tmp_path / "there.toml").touch()
        with pytest.raises(UsageError, match=words):
            calibrate.calibrate(Local(), base, tmp_path / out, 60, Silent())

    def test_a_profile_of_another_machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        with pytest.raises(UsageError, match="the target cortex-m4 is arm, and the device is"):
            calibrate.calibrate(Local(), "cortex-m4", tmp_path / "x.toml", 60, Silent())
        assert not (tmp_path / "x.toml").exists()

    def test_a_name_that_no_profile_has(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="is no name of a target"):
            calibrate.calibrate(Local(), "host", tmp_path / "My Pi's.toml", 60, Silent())
        with pytest.raises(UsageError, match="would be no profile"):
            profile_file.write(tmp_path / "My Laptop.toml", profile_file.text_of("host"), profile_file.LATENCY, TABLE)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture
def busy(profile: Path) -> Path:
    """A device on which arithmetic is all: there, fewer FLOPs are less time."""
    profile.write_text(profile.read_text().replace("mac = 1.6e-05", "mac = 0.01"))
    return profile


class TestBudget:
    @pytest.mark.slow
    def test_a_latency_is_held(
        self, edgett: Call, tiny: Tiny, busy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))  # no other test's benchmark keeps it from being timed
        arguments = ["compress", *tiny.arguments, *EASY, "--target", busy, "--objective", "latency", "--json"]
        found = edgett(*arguments, "--latency-ms", 1000, "--out", "run")
        assert found.code == 0
        times = [trial["latency_ms"] for trial in found.document["trials"] if trial["feasible"]]
        assert found.document["picks"]["recommended"]["latency_ms"] == min(times)
        (held,) = (item for item in found.document["constraints"] if item["name"] == "latency_ms")
        assert (held["holds"], held["value"]) == (True, min(times))
        timed = found.document["timed_here"]
        assert timed["low"] <= timed["value"] <= timed["high"]

    @pytest.mark.slow
    def test_a_latency_that_nothing_reaches(self, edgett: Call, tiny: Tiny, busy: Path) -> None:
        found = edgett("compress", *tiny.arguments, *EASY, "--target", busy, "--latency-ms", 1e-6, "--json")
        assert found.code == 4
        assert "latency_ms binds" in found.document["error"]["message"]

    @pytest.mark.slow
    def test_all_slower(self, edgett: Call, tiny: Tiny, profile: Path) -> None:
        profile.write_text(profile.read_text().replace("transpose = 0.1", "transpose = 1e6"))
        arguments = ["compress", *tiny.arguments, *EASY, "--target", profile, "--json"]
        dense = edgett(*arguments, "--objective", "flops", "--out", "dense")
        assert dense.code == 0 and dense.document["picks"]["recommended"]["solution"] == -1
        assert "every low-rank form of every layer is predicted to be slower on mine" in dense.document["why_dense"]
        found = edgett(*arguments, "--objective", "flops", "--model-bytes", "90 %")
        assert found.code == 4
        assert "slower on mine than dense" in found.document["error"]["message"]
        assert "--objective memory" in found.document["error"]["cure"]
        small = edgett(*arguments, "--objective", "memory", "--out", "small")
        assert small.code == 0
        assert small.document["slower_than_dense"] == {}

    def test_an_objective_that_cannot_be_predicted(self, edgett: Call, tiny: Tiny) -> None:
        found = edgett("compress", *tiny.arguments, "--objective", "latency")
        assert found.code == 2
        assert "[latency] table" in found.err and "edgett calibrate" in found.err

    @pytest.mark.parametrize("more", [(), ("--dtype", "int8")])
    def test_a_limit_that_cannot_be_predicted_is_refused(
        self, edgett: Call, tiny: Tiny, profile: Path, more: tuple[str, ...]
    ) -> None:
        target = ("--target", profile) if more else ()
        found = edgett("compress", *tiny.arguments, *EASY, *target, *more, "--latency-ms", 1e-6)
        assert found.code == 2
        assert "edgett calibrate" in found.err


@pytest.mark.slow
def test_this_machine_is_calibrated(edgett: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    found = edgett("calibrate", "--out", tmp_path / "here.toml", "--json")
    assert found.code == 0
    assert found.document["probes"] == len(PROBES)
    # A machine that others use is hard to foretell; with little else on it it is 9 %.
    assert found.document["median_error"] < 0.25
    speeds = load_profile(tmp_path / "here.toml").speeds
    assert speeds is not None
    assert 1e-7 < speeds.mac < 1e-2


@pytest.mark.slow
@pytest.mark.long
def test_int8_is_calibrated_too(edgett: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    base = tmp_path / "narrow.toml"
    text = profile_file.text_of("host").replace('"float32"', '"int8"', 1)
    base.write_text(re.sub(r"(?m)^name = .*", 'name = "narrow"', text))
    for _ in range(3):  # something else may run here at the same time
        found = edgett("calibrate", "--target", base, "--out", base, "--json")
        if "make no sense" not in found.err:
            break
    assert found.code == 0, found.err
    assert load_profile(base).speeds is not None
