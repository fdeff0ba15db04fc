"""What the shell offers on the tab key, asked the way that shells ask."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.cli import complete, run

SCRIPT = Path(sys.executable).with_name("edgett")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with a run, a model, data, and a profile."""
    run = tmp_path / "runs" / "dial-host-1"
    run.mkdir(parents=True)
    outcome = {"trials": [{"solution": 12}, {"solution": 17}, {"solution": 3}]}
    (run / "run.json").write_text(json.dumps({"outcome": outcome}))
    (run / "small.tflite").touch()
    inner = {"class_name": "Functional", "config": {"name": "head", "layers": [dense("fc2")]}}
    layers = [{"class_name": "Conv2D", "config": {"name": "conv"}}, dense("fc1"), inner]
    with zipfile.ZipFile(tmp_path / "dial.keras", "w") as file:
        file.writestr("config.json", json.dumps({"class_name": "Functional", "config": {"layers": layers}}))
    (tmp_path / "faces.npz").touch()
    (tmp_path / "board.toml").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


def dense(name: str) -> Mapping[str, object]:
    return {"class_name": "Dense", "config": {"name": name}}


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (("comp",), ["compress"]),
        (("firmware", "p"), ["pack"]),
        (("compress", "--target", "cortex-a"), ["cortex-a53", "cortex-a7", "cortex-a72"]),
        (("targets", "show", "cortex-m7"), ["cortex-m7"]),
        (("compress", "--target", "bo"), ["board.toml"]),
        (("compress", "exam"), list(complete.EXAMPLES)),
        (("compress", "di"), ["dial.keras"]),
        (("compress", "--data", "f"), ["faces.npz"]),
        (("compress", "--data", "m"), ["mnist"]),
        (("compress", "--objective", ""), ["accuracy", "memory", "flops", "latency"]),
        (("export", "ru"), ["runs/dial-host-1"]),
        (("export", "./runs/"), ["./runs/dial-host-1"]),
        (("compress", "--out", "runs/d"), ["runs/dial-host-1"]),
        (("export", "runs/dial-host-1", "--format", "t"), ["tflite", "tflm"]),
        (("export", "runs/dial-host-1", "--solution", "1"), ["12", "17"]),
        (("firmware", "pack", "runs/dial-host-1", "--solution", ""), ["12", "17", "3", "baseline"]),
        (("export", "nowhere", "--solution", ""), []),
        (("deploy", "example:cl"), ["example:clock"]),
        (("deploy", "example:clock", "--target", "ethos"), ["ethos-u55"]),
        (("bench", "runs/dial-host-1/s"), ["runs/dial-host-1/small.tflite"]),
        (("bench", "--device", "e"), ["emulator"]),
        (("compress", "dial.keras", "--only-layer", ""), ["conv", "fc1", "head/fc2"]),
        (("compress", "faces.npz", "--only-layer", ""), []),
        (("compress", "example", ":", "le"), ["lenet300", "lenet5"]),
        (("compress", "example", ":"), [name.removeprefix("example:") for name in complete.EXAMPLES]),
        (("compress", "example", ":", "clock", "--target", "cortex-m7"), ["cortex-m7"]),
        (("compress", "--target", "=", "cortex-a"), ["cortex-a53", "cortex-a7", "cortex-a72"]),
        (("compress", "--objective", "="), ["accuracy", "memory", "flops", "latency"]),
        (("bench", "--device", "=", "ssh", ":"), ["//"]),
        (("compress", '"example:le'), ["example:lenet300", "example:lenet5"]),
        (("compress", "example", ":", "clock", "--only-layer", "h"), ["hour_fc", "hour"]),
        (("report", "ru"), ["runs/dial-host-1"]),
        (("compress", "[not-a-pattern"), []),
        (("schema", "e"), ["explore", "export", "error"]),
        (("schema", "fi"), ["firmware"]),
        (("schema", "firmware", ""), ["pack", "check", "size"]),
        (("schema", "compress", ""), []),
    ],
    ids=" ".join,
)
def test_answers(
    place: Path,
    words: Sequence[str],
    answers: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("_EDGETT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(("edgett", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))

    with pytest.raises(SystemExit):
        run([])

    out, err = capsys.readouterr()
    assert (out.split(), err) == (answers, "")


def keras(name: str, config: str, **how: int) -> Path:
    with zipfile.ZipFile(name, "w", **how) as file:  # type: ignore[arg-type]
        file.writestr("config.json", config)
    return Path(name)


def spoiled(path: Path, changes: Mapping[int, int]) -> None:
    content = bytearray(path.read_bytes())
    for index, value in changes.items():
        content[index] = value
    path.write_bytes(content)


ONE = json.dumps({"config": {"layers": [dense("fc")]}})
ENTRY = 30 + len("config.json") + len(ONE)
"""Where the directory of an archive of just that begins."""
ODD = {
    "no.keras": lambda name: None,
    "cut.keras": lambda name: Path(name).write_bytes(b"PK"),
    "pipe.keras": os.mkfifo,
    "numbers.keras": lambda name: keras(name, json.dumps({"config": {"layers": [5, None]}})),
    "deep.keras": lambda name: keras(name, "[" * 100_000),
    "encrypted.keras": lambda name: spoiled(keras(name, ONE), {6: 1, ENTRY + 8: 1}),
    "method.keras": lambda name: spoiled(keras(name, ONE), {8: 99, ENTRY + 10: 99}),
    "damaged.keras": lambda name: spoiled(
        keras(name, ONE * 9, compression=zipfile.ZIP_DEFLATED), dict.fromkeys(range(45, 60), 255)
    ),
}
"""What cannot be looked into, by name, and how it is made."""


@pytest.mark.parametrize("name", ODD)
def test_whatever_is_wrong_with_a_model_nothing_is_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ODD[name](name)

    silent({"COMP_WORDS": f"edgett\ncompress\n{name}\n--only-layer\n", "COMP_CWORD": "4"}, monkeypatch, capsys)


@pytest.mark.parametrize("content", ['{"outcome":"x"}', '{"outcome":{"trials":5}}', "[{}]", "{", "[" * 100_000, None])
def test_whatever_is_wrong_with_a_run_nothing_is_said(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    if content is None:
        os.mkfifo("run/run.json")
    else:
        Path("run/run.json").write_text(content)

    silent({"COMP_WORDS": "edgett\nexport\nrun\n--solution\n", "COMP_CWORD": "4"}, monkeypatch, capsys)


@pytest.mark.parametrize("place", ["abc", "", "²", "99", "-9", None])
def test_whatever_is_wrong_with_the_question_nothing_is_said(
    place: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"COMP_CWORD": "1"} if place is None else {"COMP_WORDS": "edgett\nexample\n:\nl", "COMP_CWORD": place}

    silent(asked, monkeypatch, capsys)


def silent(asked: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in {"_EDGETT_COMPLETE": "complete_bash", **asked}.items():
        monkeypatch.setenv(name, text)

    with pytest.raises(SystemExit):
        run([])

    assert [text.strip() for text in capsys.readouterr()] == ["", ""]


def test_what_would_move_the_cursor_is_not_offered() -> None:
    assert complete._beginning("a", ["a\x1b[2J", "a\nb", "a\udcff", "ab"]) == ["ab"]


@pytest.mark.parametrize("example", complete.EXAMPLES)
def test_layers_of_examples_are_theirs(example: str) -> None:
    from edgett.examples import zoo
    from edgett.model import kinds

    model = zoo.example(example.removeprefix("example:")).build()

    found = [layer.name for layer in model.layers if kinds.is_any(layer)]
    assert sorted(found) == sorted(complete.EXAMPLES[example])


def test_every_example_is_offered() -> None:
    from edgett.examples import zoo

    assert [f"example:{name}" for name in zoo._examples()] == list(complete.EXAMPLES)


def test_a_real_bash_completes(place: Path) -> None:
    """With the script that --show-completion prints, and the words that this bash makes of a line."""
    bash = shutil.which("bash")
    assert bash is not None
    script = f"""
        PATH={SCRIPT.parent}:$PATH
        eval "$(_EDGETT_COMPLETE=source_bash edgett)"
        complete -p edgett
        COMP_WORDS=(edgett compress example : le) COMP_CWORD=4
        _edgett_completion edgett
        echo "${{COMPREPLY[@]}}"
        COMP_WORDS=(edgett compress --objective = fl) COMP_CWORD=4
        _edgett_completion edgett
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([bash, "--norc", "-c", script], cwd=place, capture_output=True, text=True, check=False)

    assert (done.stdout.splitlines(), done.stderr) == (
        ["complete -o default -F _edgett_completion edgett", "lenet300 lenet5", "flops"], "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shell", "variables", "answer"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "edgett compress --target cortex-m7"}, '"cortex-m7"'),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "edgett compress --target cortex-m7", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
            "cortex-m7",
        ),
    ],
)
def test_other_shells(place: Path, shell: str, variables: Mapping[str, str], answer: str) -> None:
    environment = os.environ | {"_EDGETT_COMPLETE": f"complete_{shell}"} | variables
    done = subprocess.run([SCRIPT], env=environment, cwd=place, capture_output=True, text=True, check=False)

    assert answer in done.stdout and done.stderr == ""


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", ".config/fish/completions/edgett.fish")]
)
def test_installs(tmp_path: Path, shell: str, file: str) -> None:
    environment = os.environ | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [SCRIPT, "--install-completion", shell], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "edgett" in (tmp_path / file).read_text() or shell == "zsh"
    shown = subprocess.run(
        [SCRIPT, "--show-completion", shell], env=environment, capture_output=True, text=True, check=False
    )
    assert "_EDGETT_COMPLETE" in shown.stdout


def test_it_is_fast(place: Path) -> None:
    """By what it loads, since times depend on what else the machine does."""
    code = (
        "import sys\nfrom edgett.cli import run\n"
        "try: run([])\nexcept SystemExit: pass\n"
        "heavy = {'tensorflow', 'numpy', 'rich.progress', 'edgett.target.profile'}\n"
        "print(*sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    environment = os.environ | {
        "_EDGETT_COMPLETE": "complete_bash", "COMP_WORDS": "edgett compress --target cortex-m7", "COMP_CWORD": "3",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)

    assert done.stdout.split() == ["cortex-m7"] and done.stderr.strip() == ""


@given(st.lists(st.sampled_from(["edgett", "run", "a", "--x"]), min_size=1), st.data())
def test_words_without_colons_stay(words: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(words)))

    assert complete.joined_words(words, place)[0][: len(words)] == words
    assert complete.joined_words(words, place)[1] == place


def test_words_around_colons_are_joined() -> None:
    words = ["edgett", "bench", "a", "--device", "ssh", ":", "//pi@berry", ":", "22"]

    assert complete.joined_words(words, 8) == (["edgett", "bench", "a", "--device", "ssh://pi@berry:22", ""], 4)
    assert complete.joined_words(words[:5], 5) == (["edgett", "bench", "a", "--device", "ssh", ""], 5)
