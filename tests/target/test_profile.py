"""Targets: the shipped profiles hold, and every mistake in a profile is told with its file, key, value and remedy."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.errors import ProfileError, ToolError, UsageError
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.search.constraints import CONSTRAINTS, DROP, FLOPS, LATENCY, MODEL_BYTES, PEAK, Objective
from edgett.target import places, profile, units
from edgett.target.fields import describe
from edgett.target.profile import Fact, constraints, list_targets, load_target, override, with_dtype
from edgett.target.units import Percentage

NAMES = {path.stem for path in places.shipped_folder().glob("*.toml")}
SHIPPED = pytest.mark.parametrize("name", sorted(NAMES))
OTHERS = sorted(NAMES - {"host"})
MICROCONTROLLERS = {"cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "ethos-u55", "rp2040", "esp32-s3"}
BASELINE = {MODEL_BYTES: 1_068_841, PEAK: 4_336, FLOPS: 532_811}

PROFILE = """
name = "board"
title = "A board"
[sources]
sheet = "https://example.org/sheet"
[runtime]
format = "tflite"
dtype = "float32"
threads = 1
[memory]
flash = {value = "512 KiB", source = "sheet"}
ram = {value = "128 KiB", source = "sheet"}
flash_share = "50 %"
ram_share = "50 %"
[compute]
clock = {value = "180 MHz", source = "sheet"}
cores = {value = 1, source = "sheet"}
bandwidth = {value = "720 MB/s", estimate = true}
[compute.macs_per_cycle]
float32 = {value = 0.5, estimate = true}
int8 = {value = 2, estimate = true}
[budget]
model_bytes = "256 KiB"
peak_activation_bytes = "64 KiB"
accuracy_drop_pp = 1.5
objective = "memory"
[device]
emulator = "qemu-system-arm"
machine = "mps2-an386"
"""


def write(folder: Path, text: str = PROFILE, name: str = "board") -> str:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def changed(old: str, new: str) -> str:
    assert PROFILE.count(old) == 1, old
    return PROFILE.replace(old, new)


class TestShipped:
    def test_all_load_and_none_is_broken(self) -> None:
        good, bad = list_targets(search=(places.shipped_folder(),))
        assert bad == ()
        assert [target.name for target in good] == sorted(NAMES)
        required = {"cortex-a53", "cortex-a72", "cortex-a7", "riscv64", "host"} | MICROCONTROLLERS
        assert required <= NAMES

    @SHIPPED
    def test_every_source_is_used_and_every_origin_is_told(self, name: str) -> None:
        target = load_target(name)
        origins = {row.origin for row in describe(target)}
        assert set(target.sources.values()) == origins - {"estimate", "choice"}
        facts = [row for row in describe(target) if row.key.startswith(("memory.", "compute."))]
        chosen = {row.key for row in facts if row.origin == "choice" and row.value != "not set"}
        assert chosen == {"memory.flash_share", "memory.ram_share"}

    @SHIPPED
    def test_budget_leaves_room_for_the_application(self, name: str) -> None:
        target = load_target(name)
        limits = constraints(target, dict.fromkeys(CONSTRAINTS, 2**40))
        assert limits[MODEL_BYTES] is not None and limits[PEAK] is not None
        assert 2 * limits[MODEL_BYTES] <= target.memory.flash.value
        assert 2 * limits[PEAK] <= target.memory.ram.value

    def test_a_share_of_what_is_not_known_is_untold(self) -> None:
        target = load_target("cortex-a53")
        limits = constraints(target, {PEAK: 4096})
        assert limits.untold == {MODEL_BYTES, FLOPS} and limits[FLOPS] is None
        assert limits[MODEL_BYTES] == target.memory.flash_share.of(target.memory.flash.value)
        assert constraints(target, {MODEL_BYTES: 1000, PEAK: 4096, FLOPS: 500}).untold == frozenset()

    @SHIPPED
    def test_budget_is_the_kind_of_its_device(self, name: str) -> None:
        budget = load_target(name).budget
        assert budget[DROP] == 1.5
        if name in MICROCONTROLLERS:
            assert isinstance(budget[MODEL_BYTES], int)
            assert (budget[FLOPS], budget.objective) == (None, Objective.MEMORY)
        else:
            assert budget[MODEL_BYTES] == Percentage(Fraction(1, 2))
            assert (budget[FLOPS], budget.objective) == (Percentage(Fraction(1)), Objective.FLOPS)

    @SHIPPED
    def test_exports_tflite_in_float32_where_it_can(self, name: str) -> None:
        target = load_target(name)
        assert target.integers_only == (name == "ethos-u55")
        assert target.runtime.format is Format.TFLITE
        assert target.runtime.dtype is (DType.INT8 if target.integers_only else DType.FLOAT32)

    def test_an_example_of_each_quantity(self) -> None:
        target = load_target("cortex-a53")
        assert target.memory.ram.value == 2**30
        assert target.compute.clock.value == 1_200_000_000
        assert target.compute.bandwidth == Fact(value=2_200_000_000, estimate=True)
        assert target.compute.l2 is not None and target.compute.l2.value == 512 * 1024

    def test_module_docstring_holds_a_profile(self, tmp_path: Path) -> None:
        _, _, text = (profile.__doc__ or "").partition("\n\n")
        target = load_target(write(tmp_path, text, "cortex-m4"))
        assert target.budget[LATENCY] == 20


class TestConstraints:
    def test_percentages_are_of_the_original_rounded_down(self) -> None:
        limits = constraints(load_target("cortex-a53"), BASELINE)
        assert limits[MODEL_BYTES] == 534_420
        assert limits[FLOPS] == BASELINE[FLOPS]
        assert (limits[LATENCY], limits[DROP], limits.objective) == (None, 1.5, Objective.FLOPS)

    def test_absolute_limits_stay(self) -> None:
        limits = constraints(load_target("cortex-m4"), BASELINE)
        assert (limits[MODEL_BYTES], limits[PEAK], limits[FLOPS]) == (256 * 1024, 64 * 1024, None)

    def test_percentage_never_exceeds_the_share_of_the_memory(self, tmp_path: Path) -> None:
        target = load_target(write(tmp_path, changed('model_bytes = "256 KiB"', 'model_bytes = "50 %"')))
        assert constraints(target, BASELINE)[MODEL_BYTES] == 256 * 1024

    def test_missing_byte_limits_are_the_shares(self, tmp_path: Path) -> None:
        text = changed('model_bytes = "256 KiB"\npeak_activation_bytes = "64 KiB"\n', "")
        limits = constraints(load_target(write(tmp_path, text)), BASELINE)
        assert (limits[MODEL_BYTES], limits[PEAK]) == (256 * 1024, 64 * 1024)


class TestOverride:
    def test_given_fields_replace_and_others_stay(self) -> None:
        target = override(load_target("cortex-m4"), model_bytes="300 KiB", accuracy_drop_pp=0.5, objective="accuracy")
        limits = constraints(target, BASELINE)
        assert (limits[MODEL_BYTES], limits[PEAK]) == (300 * 1024, 64 * 1024)
        assert (limits[DROP], limits.objective) == (0.5, Objective.ACCURACY)

    def test_nothing_given_changes_nothing(self) -> None:
        target = load_target("cortex-a7")
        assert override(target, model_bytes=None, objective=None) == target

    def test_takes_percentages_numbers_and_members(self) -> None:
        target = override(load_target("host"), model_bytes=1000, flops="10 %", objective=Objective.MEMORY)
        assert constraints(target, BASELINE)[FLOPS] == 53_281
        assert target.budget[MODEL_BYTES] == 1000
        assert target.budget.objective is Objective.MEMORY

    @pytest.mark.parametrize(
        ("limits", "says"),
        [
            ({"model_bytes": "1 lot"}, ("model_bytes is '1 lot'", "512 KiB")),
            ({"accuracy_drop_pp": -1.0}, ("accuracy_drop_pp is -1.0", "greater than or equal to 0")),
            ({"objective": "speed"}, ("objective is 'speed'", "'memory'")),
            ({"model_byte": 1}, ("model_byte is unknown", "'model_bytes'")),
            ({"model_bytes": "513 KiB"}, ("513 KiB", "512 KiB")),
            ({"peak_activation_bytes": "1 MiB"}, ("1 MiB", "128 KiB of RAM")),
        ],
    )
    def test_wrong_limit(self, limits: dict[str, str | float], says: tuple[str, ...]) -> None:
        with pytest.raises(UsageError) as raised:
            override(load_target("cortex-m4"), **limits)
        assert all(words in str(raised.value) for words in says), raised.value


def test_a_type_stands_over_the_profile_but_no_float32_where_there_are_only_integers() -> None:
    assert with_dtype(load_target("cortex-m4"), DType.INT8).runtime.dtype is DType.INT8
    target = load_target("ethos-u55")
    assert with_dtype(target, DType.INT8) == with_dtype(target, None) == target
    with pytest.raises(UsageError, match=r"ethos-u55: runtime\.dtype is 'float32'.*--dtype int8"):
        with_dtype(target, DType.FLOAT32)


class TestMistakes:
    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("[budget]", "[budget]\nflopss = 1", ("budget.flopss", "value is 1", "model_bytes, peak", "mean 'flops'?")),
            ("[runtime]", "[runtim]", ("runtime is missing", "runtim is unknown", "mean 'runtime'?")),
            ("threads = 1", 'threads = "1"', ("runtime.threads is '1'", "valid integer")),
            ("threads = 1", "threads = 1.5", ("runtime.threads is 1.5", "valid integer")),
            ("threads = 1", "threads = 2", ("runtime.threads is 2", "at most compute.cores, 1")),
            (
                "[compute]",
                '[compute]\nintegers_only = {value = true, source = "sheet"}',
                ("runtime.dtype is 'float32'", "it must be 'int8'", "compute.integers_only is true"),
            ),
            ("threads = 1", "", ("runtime.threads is missing", "threads that run")),
            ('title = "A board"', "title = 3", ("title is 3", "string")),
            ('"tflite"', '"tf"', ("runtime.format is 'tf'", "'tflite', 'onnx' or 'c'")),
            ('"180 MHz"', '"180 KiB"', ("compute.clock.value is '180 KiB'", "MHz")),
            ('"128 KiB"', '"128 MHz"', ("memory.ram.value is '128 MHz'", "KiB")),
            ('"128 KiB"', "true", ("memory.ram.value is True", "KiB")),
            ('"128 KiB"', "0", ("memory.ram.value is 0", "positive")),
            ('"720 MB/s"', '"720 MB"', ("compute.bandwidth.value is '720 MB'", "MB/s")),
            ('flash_share = "50 %"', 'flash_share = "150 %"', ("memory.flash_share is '150 %'", "up to 100")),
            ('flash_share = "50 %"', "flash_share = 50", ("memory.flash_share is 50", "as in '50 %'")),
            ('"256 KiB"', '"50 % of it"', ("budget.model_bytes is '50 % of it'", "as in '50 %'")),
            ("accuracy_drop_pp = 1.5", "accuracy_drop_pp = nan", ("budget.accuracy_drop_pp is nan", "100")),
            ('"180 MHz", source = "sheet"', '"180 MHz"', ("compute.clock is", "either a source or estimate")),
            (
                '"180 MHz", source = "sheet"',
                '"180 MHz", source = "sheet", estimate = true',
                ("compute.clock is", "either a source or estimate = true, and not both"),
            ),
            ('"180 MHz", source = "sheet"', '"180 MHz", source = "book"', ("compute.clock.source is 'book'", "sheet")),
            ('cores = {value = 1, source = "sheet"}', "cores = 1", ("compute.cores is 1", "value, source, estimate")),
            ("[sources]\nsheet =", "sources =", ("sources is 'https", "it must be a table")),
            ('"https://example.org/sheet"', '"a sheet"', ("sources.sheet is 'a sheet'", "https?://")),
            ('"256 KiB"', '"400 KiB"', ("budget.model_bytes is 400 KiB", "256 KiB, 50 % of the 512 KiB of flash")),
            ('"64 KiB"', '"65 KiB"', ("budget.peak_activation_bytes is 65 KiB", "50 % of the 128 KiB of RAM")),
            ('name = "board"', 'name = "bored"', ("name is 'bored'", "'board'")),
            ('name = "board"', 'name = "A Board"', ("name is 'A Board'", "match pattern")),
            ('emulator = "qemu-system-arm"\n', "", ("device.emulator is missing",)),
            ("[runtime]", "[runtime", ("not TOML", "line")),
        ],
    )
    def test_is_told_with_file_key_value_and_what_is_allowed(
        self, tmp_path: Path, old: str, new: str, says: tuple[str, ...]
    ) -> None:
        path = write(tmp_path, changed(old, new))
        with pytest.raises(ProfileError) as raised:
            load_target(path)
        assert str(raised.value).startswith(path)
        assert all(words in str(raised.value) for words in says), raised.value
        assert raised.value.cure

    def test_all_at_once(self, tmp_path: Path) -> None:
        text = changed("threads = 1", "threads = 0").replace('"180 MHz"', '"fast"')
        with pytest.raises(ProfileError, match=r"(?s)runtime\.threads.*\n.*compute\.clock"):
            load_target(write(tmp_path, text))

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(ProfileError, match=r"none\.toml cannot be read: No such file"):
            load_target(str(tmp_path / "none.toml"))

    def test_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "board.toml").mkdir()
        with pytest.raises(ProfileError, match=r"board\.toml cannot be read"):
            load_target(str(tmp_path / "board.toml"))

    def test_a_link_in_a_circle(self, tmp_path: Path) -> None:
        (tmp_path / "board.toml").symlink_to(tmp_path / "board.toml")
        with pytest.raises(ProfileError, match=r"board\.toml cannot be read"):
            load_target(str(tmp_path / "board.toml"))

    def test_not_text(self, tmp_path: Path) -> None:
        (tmp_path / "board.toml").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ProfileError, match="not TOML in UTF-8"):
            load_target(str(tmp_path / "board.toml"))


class TestLookup:
    def test_by_path_without_the_suffix(self, tmp_path: Path) -> None:
        path = Path(write(tmp_path)).rename(tmp_path / "board")
        assert load_target(str(path)).name == "board"

    @pytest.mark.parametrize(("name", "near"), [("cortex-m5", "cortex-m55"), ("cortexa53", "cortex-a53")])
    def test_unknown_name_suggests_the_nearest(self, name: str, near: str) -> None:
        with pytest.raises(ProfileError) as raised:
            load_target(name)
        assert f"no target {name!r}" in raised.value.message
        assert raised.value.cure.startswith(f"Did you mean {near}")
        assert raised.value.cure.endswith("'edgett targets list' lists them.")

    def test_unknown_name_near_to_none(self) -> None:
        with pytest.raises(ProfileError) as raised:
            load_target("zzzzzz")
        assert raised.value.cure == "'edgett targets list' lists them."

    def test_a_profile_of_ones_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "targets").mkdir()
        write(tmp_path / "targets")
        assert load_target("board").title == "A board"
        assert "board" in {target.name for target in list_targets()[0]}

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG_CONFIG_HOME is Linux's")
    def test_the_users_configuration(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        (tmp_path / "edgett" / "targets").mkdir(parents=True)
        write(tmp_path / "edgett" / "targets")
        assert load_target("board").title == "A board"

    def test_first_folder_wins_and_the_list_tells(self, tmp_path: Path) -> None:
        for folder, title in (("first", "One"), ("second", "Two")):
            (tmp_path / folder).mkdir()
            write(tmp_path / folder, changed("A board", title))
        search = (tmp_path / "first", tmp_path / "second")
        assert load_target("board", search=search).title == "One"
        good, bad = list_targets(search=search)
        assert [target.title for target in good] == ["One"]
        assert len(bad) == 1 and "hidden by" in bad[0].message

    def test_one_folder_twice_is_one(self, tmp_path: Path) -> None:
        write(tmp_path)
        (tmp_path / "inner").mkdir()
        good, bad = list_targets(search=(tmp_path, tmp_path / "inner" / ".."))
        assert (len(good), bad) == (1, ())

    def test_a_broken_profile_hides_no_other(self, tmp_path: Path) -> None:
        write(tmp_path)
        write(tmp_path, "name = ", "broken")
        good, bad = list_targets(search=(tmp_path,))
        assert [target.name for target in good] == ["board"]
        assert len(bad) == 1 and "broken.toml" in bad[0].message

    def test_shipped_inside_the_wheel_or_beside_the_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "edgett").mkdir()
        monkeypatch.setattr(places, "__file__", str(tmp_path / "edgett" / "target" / "places.py"))
        with pytest.raises(ToolError, match="Install edgett again"):
            places.shipped_folder()
        (tmp_path / "targets").mkdir()
        assert places.shipped_folder() == tmp_path / "targets"
        (tmp_path / "edgett" / "_targets").mkdir()
        assert places.shipped_folder() == tmp_path / "edgett" / "_targets"


class TestDescribe:
    def test_every_field_is_explained(self) -> None:
        rows = describe(load_target("cortex-m4"))
        assert len(rows) > 10 and all(row.meaning for row in rows)
        assert len({row.key for row in rows}) == len(rows)
        by_key = {row.key: row for row in rows}
        assert by_key["memory.flash"].value == "512 KiB"
        assert by_key["memory.flash"].origin.endswith("stm32f446Xe.dtsi")
        assert by_key["compute.bandwidth"].origin == "estimate"
        assert by_key["budget.model_bytes"].value == "256 KiB"
        assert by_key["budget.flops"].value == "not set"
        assert by_key["runtime.format"].value == "tflite"

    def test_percentages_and_work(self, tmp_path: Path) -> None:
        text = changed('model_bytes = "256 KiB"', 'model_bytes = "12.5 %"\nflops = "20 MFLOP"')
        by_key = {row.key: row.value for row in describe(load_target(write(tmp_path, text)))}
        assert (by_key["budget.model_bytes"], by_key["budget.flops"]) == ("12.5 %", "20 MFLOP")


class TestUnits:
    @pytest.mark.parametrize(
        ("text", "amount"),
        [("512 KiB", 524_288), ("1 MiB", 2**20), ("2 GiB", 2**31), ("64 KB", 64_000), ("1.5KiB", 1536), (42, 42)],
    )
    def test_sizes(self, text: str | int, amount: int) -> None:
        assert units.SIZE.parse(text) == amount

    @pytest.mark.parametrize(
        "text", ["", "KiB", "512", "512 kib", "-1 KiB", "0 KiB", "0.3 B", "1e3 KiB", "1 KiB ", -1, 1.5]
    )
    def test_not_sizes(self, text: object) -> None:
        with pytest.raises(ValueError, match="512 KiB"):
            units.SIZE.parse(text)

    @given(st.integers(1, 2**60), st.sampled_from([units.SIZE, units.FREQUENCY, units.BANDWIDTH, units.WORK]))
    def test_what_is_written_is_read_back(self, amount: int, unit: units.Unit) -> None:
        assert unit.parse(unit.text(amount)) == amount
        assert unit.parse(amount) == amount

    @given(st.integers(0, 2**80), st.integers(1, 10_000))
    def test_a_share_is_exact(self, whole: int, hundredths: int) -> None:
        share = units.parse_share(f"{hundredths // 100}.{hundredths % 100:02} %")
        assert share.of(whole) == whole * hundredths // 10_000

    def test_a_share_can_be_written_again(self) -> None:
        assert units.parse_share(str(units.parse_share("12.5 %"))) == Percentage(Fraction(1, 8))


def test_loads_no_framework() -> None:
    script = (
        "import sys, edgett.target.profile as t; t.list_targets(); "
        "print(*{'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


class TestHere:
    def test_no_other_profile_is_of_this_machine(self) -> None:
        assert load_target("host").here
        assert not any(load_target(name).here for name in OTHERS)

    @pytest.mark.parametrize(
        ("isa", "machine", "here"),
        [("aarch64", "aarch64", True), ("aarch64", "arm64", True), ("arm", "armv7l", True),
         ("riscv64", "riscv64", True), ("x86_64", "AMD64", True), ("arm", "aarch64", False),
         ("x86_64", "aarch64", False), (None, "pdp11", True)],
    )  # fmt: skip
    def test_it_has_to_be_of_its_kind(
        self, monkeypatch: pytest.MonkeyPatch, isa: str | None, machine: str, here: bool
    ) -> None:
        monkeypatch.setattr("platform.machine", lambda: machine)
        device = profile.DeviceTable(local=True, isa=isa)
        assert load_target("host").model_copy(update={"device": device}).here is here
