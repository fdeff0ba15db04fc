"""Measures on another machine through OpenSSH that has no Python: one static binary goes there, the models in it."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgett.device import arrive, runner
from edgett.device.bench import ROOM, Arrays, BenchReport, Plan, Subject, unpack
from edgett.device.debian import PACKAGES
from edgett.device.emulated.programs import call
from edgett.device.errand import ABANDONED, RESULTS, TRANSFER, Errand
from edgett.device.link import SHELL, Link, NoProgram
from edgett.device.program import Program
from edgett.errors import ToolError, UsageError
from edgett.meter import Meter
from edgett.system.folders import scratch

COMPILERS = {
    "x86_64": "gcc" if platform.machine() == "x86_64" else "x86_64-linux-gnu-gcc",
    "aarch64": "aarch64-linux-gnu-gcc",
    "armv7l": "arm-linux-gnueabihf-gcc",
    "riscv64": "riscv64-linux-gnu-gcc",
}
"""Debian's for Linux, by what `uname -m` says."""
OPTIMISED = "-O3"
HERE = Path(__file__).parent
SOURCES = ("runner.c", "measure.c", "facts.c")
MOST = 256
"""Artefacts at once, as in measure.c."""
LIMIT = 600.0
"""Seconds that a compiler may take."""


def processor(link: Link) -> str:
    """What a machine calls its processor; shells may greet and take leave."""
    words = link.call(["uname", "-m"]).decode(errors="replace").split()
    return next((word for word in words if word in COMPILERS), words[-1] if words else "processor")


@dataclass(frozen=True)
class Static:
    """A machine behind a link: its architecture, and what makes C of an .onnx file, of a name, for programs there."""

    link: Link
    machine: str
    translate: Callable[[Path, str], Program]

    @property
    def name(self) -> str:
        """As --device takes it."""
        return self.link.name

    def measure(self, subjects: Sequence[Subject], plan: Plan, meter: Meter) -> BenchReport:
        """Measure .onnx files there. Raises ToolError when that machine, or the compiler for it, cannot do it."""
        self._refuse(subjects, plan)
        compiler = COMPILERS[self.machine]
        with scratch() as folder:
            with meter.stage(f"compiling for {self.machine}"):
                programs = [self.translate(one.path, f"artefact{index}") for index, one in enumerate(subjects)]
                binary = built(compiler, programs, subjects, plan, folder)
            with meter.stage(f"sending to {self.link.host}"):
                there = self._sent(binary)
        command = [f"{there}/runner", there]
        with scratch() as back:
            with self._cleared(there):
                Errand(self.link, command, [*command, "--results"]).run(plan, meter, back)

            def made(index: int) -> Arrays:
                count = len(next(iter(subjects[index].inputs.values())))
                return programs[index].made(back / f"outputs-{index}.bin", count)

            return unpack(back, self.name, made)

    def _refuse(self, subjects: Sequence[Subject], plan: Plan) -> None:
        if other := next((one.path for one in subjects if one.path.suffix != ".onnx"), None):
            raise UsageError(
                f"{self.name} has no Python: it runs C, which is made of .onnx, and {other} is none.",
                "Give the .onnx, or install Python 3.9 or later with a runtime there.",
            )
        if plan.threads != 1:
            raise UsageError(
                f"--threads: {plan.threads} threads are more than its programs in C have ({self.name}).",
                "Leave it out.",
            )
        if len(subjects) > MOST:
            raise UsageError(f"{len(subjects)} artefacts are more than {MOST} at once.", "Give fewer.")
        if self.machine not in COMPILERS:
            raise ToolError(
                f"{self.name} has no Python, and edgett compiles for no {self.machine}.",
                f"Install Python 3.9 or later with a runtime there. Known are {', '.join(COMPILERS)}.",
            )

    def _sent(self, binary: bytes) -> str:
        said = self.link.call(["mktemp", "-d", "-t", f"{arrive.PREFIX}XXXXXX"]).decode(errors="replace")
        found = re.search(rf"^/.*/{arrive.PREFIX}\w+$", said, re.MULTILINE)
        if found is None:
            raise ToolError(f"what {self.name} answers is no folder: {said[-200:]!r}.", SHELL)
        with self._cleared(found[0]):
            self.link.call(["dd", f"of={found[0]}/runner", "bs=65536"], binary, TRANSFER)
            self.link.call(["chmod", "700", f"{found[0]}/runner"])
        return found[0]

    @contextmanager
    def _cleared(self, there: str) -> Iterator[None]:
        """Nothing stays there when something fails: the runner itself may be what does not run."""
        try:
            yield
        except BaseException as error:
            with suppress(ToolError):  # what went wrong first is what matters
                self.link.call(["rm", "-r", "-f", there])
            if isinstance(error, NoProgram):
                why = error.message.rpartition(": ")[2]
                cure = f"Is it {self.machine}? Else name a folder in its TMPDIR whose files may be executed."
                raise ToolError(f"{self.name} does not execute a program in {there}: {why}", cure) from error
            raise


def built(compiler: str, programs: Sequence[Program], subjects: Sequence[Subject], plan: Plan, folder: Path) -> bytes:
    """The binary that measures what is to be measured, and needs nothing."""
    (folder / "artefacts.c").write_text(_artefacts(programs, subjects, plan, compiler, folder))
    for program in programs:
        program.write(folder)
    models = [f"{program.name}.c" for program in programs]
    sources: list[str | Path] = ["artefacts.c", *models, *(HERE / name for name in SOURCES)]
    options = ["-std=gnu99", OPTIMISED, "-static", "-D_FILE_OFFSET_BITS=64", f"-I{folder}", f"-I{HERE}", "-o", "runner"]
    cure = f"There may be too many artefacts at once. The compiler: apt-get install {PACKAGES[compiler]}"
    call([compiler, *options, *sources, "-lm"], folder, LIMIT, cure)
    return (folder / "runner").read_bytes()


def _artefacts(
    programs: Sequence[Program], subjects: Sequence[Subject], plan: Plan, compiler: str, folder: Path
) -> str:
    """The text of artefacts.c: the models, their inputs, which go into files of the folder, and the plan."""
    parts, entries, known = ['#include "runner.h"'], [], dict[bytes, str]()
    for index, (program, subject) in enumerate(zip(programs, subjects, strict=True)):
        records = program.given(subject.inputs)
        inputs = known.setdefault(records.tobytes(), f"inputs{index}")
        if inputs == f"inputs{index}":
            records.tofile(folder / f"{inputs}.bin")
            held = f'{inputs}: .incbin \\"{inputs}.bin\\"'
            parts.append(f'__asm__(".section .rodata\\n.balign 16\\n{held}\\n.previous");')
            parts.append(f"extern const unsigned char {inputs}[];")
        parts.append(program.glue(str(index)))
        file, sizes = _c(f"{index}-{subject.path.name}"), f"sizeof given{index}, sizeof made{index}, {len(records)}"
        entries.append(f"    {{{file}, model{index}, &given{index}, &made{index}, {sizes}, {inputs}}},")
    parts += ["const struct artefact artefacts[] = {", *entries, "};"]
    parts.append(f"const size_t artefact_count = {len(entries)};")
    numbers = (runner.CONTRACT, plan.rounds, plan.lives, plan.limit, *plan.least, ABANDONED, ROOM)
    texts = (arrive.PREFIX, RESULTS, f"by {compiler} {OPTIMISED}")
    parts.append(f"const struct plan plan = {{{', '.join([*map(str, numbers), *map(_c, texts)])}}};")
    return "\n".join(parts) + "\n"


def _c(text: str) -> str:
    """A literal of C: in octal, what is not plain."""
    plain = (chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(plain)}"'
