"""Measures artefacts on the machine that it runs on. Needs Python 3.9, NumPy and a runtime; nothing of edgett.

python3 runner.py FOLDER            measure what FOLDER/plan.json asks for; FOLDER/report.json says what came of it
python3 runner.py FOLDER --detach   the same in the background, whatever becomes of the terminal
python3 runner.py FOLDER --status   whether it is done: one JSON document
python3 runner.py FOLDER --stop     end it, and remove the folder

plan.json: artefacts (files in FOLDER), inputs (an .npz of (n, ...) real numbers by "=NAME" for each), threads, runs and
seconds (timed at least, each artefact), rounds, lives, limit (seconds for everything). Each artefact has a process of
its own; they take turns, and begin anew for each life: one may be a little faster than another all its life.
outputs-I.npz: what artefact I makes of all its inputs, real numbers by "=NAME".
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

CONTRACT = 1
RUNTIMES = {".tflite": ("ai_edge_litert", "tflite_runtime"), ".onnx": ("onnxruntime",)}
WARM_UP = 2  # runs at the start of every turn that are not timed
MOST = 1000  # timed runs of a turn
FLOATS = {"tensor(float)": "float32", "tensor(double)": "float64"}  # others have NumPy's names
LOCK = Path(tempfile.gettempdir()) / "edgett-bench.lock"


class Trouble(Exception):
    """What went wrong; `kind` is for programs."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def late(*_: Any) -> None:
    raise Trouble("time", "it took longer than allowed")


def told(error: BaseException) -> dict[str, str]:
    kind = getattr(error, "kind", "memory" if isinstance(error, MemoryError) else "failed")
    if getattr(error, "errno", None) == 28:
        return {"kind": "disk", "message": tempfile.gettempdir()}
    return {"kind": kind, "message": " ".join(str(error).split())[:500] or type(error).__name__}


class LiteRT:
    """A .tflite in LiteRT, by any of the names of its package."""

    def __init__(self, path: Path, package: str, threads: int) -> None:
        module = importlib.import_module(f"{package}.interpreter")
        self.interpreter = module.Interpreter(model_path=str(path), num_threads=threads)
        self.interpreter.allocate_tensors()
        serve = self.interpreter.get_signature_runner()
        self.inputs, self.outputs = serve.get_input_details(), serve.get_output_details()
        self.batch = int(next(iter(self.inputs.values()))["shape"][0])

    def feed(self, rows: dict[str, Any]) -> None:
        import numpy as np

        for name, detail in self.inputs.items():
            values, (scale, zero) = rows[name], detail["quantization"]
            if scale:
                limits = np.iinfo(detail["dtype"])
                values = np.clip(np.rint(values / scale) + zero, limits.min, limits.max)
            self.interpreter.set_tensor(detail["index"], values.astype(detail["dtype"]))

    def run(self) -> None:
        self.interpreter.invoke()

    def made(self) -> dict[str, Any]:
        results = {}
        for name, detail in self.outputs.items():
            values, (scale, zero) = self.interpreter.get_tensor(detail["index"]), detail["quantization"]
            results[name] = (values.astype("float32") - zero) * scale if scale else values
        return results


class OnnxRuntime:
    """An .onnx in ONNX Runtime, inputs and outputs bound to buffers."""

    def __init__(self, path: Path, package: str, threads: int) -> None:
        onnxruntime = importlib.import_module(package)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        sizes = (value.shape[0] for value in self.session.get_inputs())  # of a batch that is open: a name, or None
        self.batch = next((size for size in sizes if isinstance(size, int)), 1)
        self.binding: Any = None

    def feed(self, rows: dict[str, Any]) -> None:
        self.binding = self.session.io_binding()
        for value in self.session.get_inputs():
            self.binding.bind_cpu_input(value.name, rows[value.name].astype(FLOATS.get(value.type, value.type[7:-1])))
        for value in self.session.get_outputs():
            self.binding.bind_output(value.name)

    def run(self) -> None:
        self.session.run_with_iobinding(self.binding)

    def made(self) -> dict[str, Any]:
        return {value.name: made.numpy() for value, made in zip(self.session.get_outputs(), self.binding.get_outputs())}


ENGINES = {".tflite": LiteRT, ".onnx": OnnxRuntime}


def runtime(path: Path) -> tuple[str, str]:
    """The package that runs a file here, and its version."""
    known = RUNTIMES.get(path.suffix)
    if known is None:
        raise Trouble("suffix", f"{path.name} is neither .tflite nor .onnx")
    for name in known:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            with contextlib.suppress(metadata.PackageNotFoundError):
                return name, metadata.version(name.replace("_", "-"))
            return name, "unknown"
    raise Trouble("runtime", known[0])


def memory(key: str) -> int:
    """Bytes of this process as the kernel counts them; 0 where it does not tell."""
    lines = text(Path("/proc/self/status")).splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), 0)


def child(folder: Path, index: int) -> None:
    """Serve one artefact: a request a line on standard input, an answer a line on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the runtimes print is no answer

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        serve(folder, index, answer)
    except BaseException as error:
        traceback.print_exc()
        answer({"error": told(error)})


def serve(folder: Path, index: int, answer: Any) -> None:
    plan = read(folder / "plan.json")
    path = folder / plan["artefacts"][index]
    package, version = runtime(path)
    import numpy as np

    with np.load(folder / plan["inputs"][index]) as stored:
        inputs = {name[1:]: values for name, values in stored.items()}
    before = memory("VmRSS")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    start = time.perf_counter_ns()
    try:
        engine: Any = ENGINES[path.suffix](path, package, plan["threads"])
    except Exception as error:
        raise error if isinstance(error, MemoryError) else Trouble("refused", str(error)) from error
    count = len(next(iter(inputs.values())))
    parts = [np.arange(first, first + engine.batch) % count for first in range(0, count, engine.batch)]
    engine.feed({name: values[parts[0]] for name, values in inputs.items()})
    engine.run()
    answer({"runtime": package, "version": version, "start_ns": time.perf_counter_ns() - start})
    while "turn" in (request := json.loads(sys.stdin.readline() or "{}")):
        answer({"times": timed(engine.run, request["turn"], request["seconds"])})
    results = []
    for part in parts:
        engine.feed({name: values[part] for name, values in inputs.items()})
        engine.run()
        results.append(engine.made())
    rows = {name: [np.atleast_1d(made[name]) for made in results] for name in results[0]}
    outputs: Any = {f"={name}": np.concatenate(made)[:count] for name, made in rows.items()}
    np.savez(folder / f"outputs-{index}.npz", **outputs)
    answer({"peak_bytes": (peak := memory("VmHWM")), "added_bytes": max(0, peak - before)})


def timed(run: Any, least: int, seconds: float) -> list[int]:
    """Nanoseconds of each of at least so many runs, for at least so long or so often as is enough."""
    for _ in range(WARM_UP):
        run()
    times: list[int] = []
    clock, end = time.perf_counter_ns, time.perf_counter_ns() + int(seconds * 1e9)
    while (len(times) < least or clock() < end) and len(times) < max(MOST, least):
        begin = clock()
        run()
        times.append(clock() - begin)
    return times


class Child:
    """The process of an artefact, as its parent sees it."""

    def __init__(self, folder: Path, index: int, name: str, log: Any) -> None:
        self.name = name
        command = [sys.executable, str(Path(__file__).resolve()), str(folder), "--child", str(index)]
        pipe = subprocess.PIPE
        self.process: Any = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True)
        self.first = self.answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        with contextlib.suppress(OSError):  # the answer says why
            print(json.dumps(request), file=self.process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            why = f"was ended by signal {-code}" if code < 0 else "ended"
            raise Trouble("killed" if code == -signal.SIGKILL else "died", f"the process of {self.name} {why}")
        content: dict[str, Any] = json.loads(line)
        if "error" in content:
            raise Trouble(content["error"]["kind"], f"{self.name}: {content['error']['message']}")
        return content

    def close(self) -> None:
        self.process.kill()
        with contextlib.suppress(OSError, ValueError):  # what is still to be written has no reader
            self.process.communicate()


def measure(folder: Path) -> dict[str, Any]:
    """Everything that the plan asks for; the report."""
    plan = read(folder / "plan.json")
    if plan["contract"] != CONTRACT:
        raise Trouble("contract", f"the plan is of contract {plan['contract']}, the runner of {CONTRACT}")
    pinned = pin(plan["threads"])
    report = {"contract": CONTRACT, "machine": machine(), "threads": plan["threads"], "pinned": pinned}
    report["before"] = state(pinned)
    entries: list[dict[str, Any]] = [{"file": name, "turns": []} for name in plan["artefacts"]]
    with (folder / "runner.log").open("a") as log:
        for life in range(plan["lives"]):
            live(folder, plan, entries, life, log)
    return {**report, "after": state(pinned), "artefacts": entries}


def live(folder: Path, plan: dict[str, Any], entries: list[dict[str, Any]], life: int, log: Any) -> None:
    """Processes from their start to their end, which take turns: A B C, C B A, A B C and so on."""
    children: list[Child] = []
    parent, rounds, turns = os.getppid(), plan["rounds"], plan["rounds"] * plan["lives"]
    request = {"turn": -(-plan["runs"] // turns), "seconds": plan["seconds"] / turns}
    try:
        for index, entry in enumerate(entries):
            children.append(Child(folder, index, entry["file"].partition("-")[2], log))
            entry.update(children[-1].first)
        for turn in range(rounds):
            for one, entry in list(zip(children, entries))[:: 1 if turn % 2 == 0 else -1]:
                entry["turns"].append(one.ask(**request)["times"])
            write(folder / "progress.json", {"done": life * rounds + turn + 1, "of": turns})
            if os.getppid() != parent:
                raise Trouble("died", "whoever asked is gone")
        for one, entry in zip(children, entries):
            entry.update(one.ask(finish=True))
    finally:
        for one in children:
            one.close()


def pin(threads: int) -> list[int]:
    """Keep to as many processors as there are threads, the last ones: where cores differ, those are the fast ones."""
    if threads > (os.cpu_count() or threads):
        raise Trouble("threads", f"{threads} threads are more than its {os.cpu_count()} processors")
    with contextlib.suppress(AttributeError, OSError):
        chosen = sorted(os.sched_getaffinity(0))[-threads:]
        os.sched_setaffinity(0, chosen)
        return chosen
    return []


def machine() -> dict[str, str]:
    """What the machine calls itself."""
    pairs = (line.partition(":") for line in text(Path("/proc/cpuinfo")).splitlines())
    known = {key.strip(): value.strip() for key, _, value in pairs}
    names = [known[key] for key in ("model name", "Hardware", "Model", "cpu model", "uarch") if known.get(key)]
    names.append(text(Path("/proc/device-tree/model")).strip("\0 \n") or platform.processor())
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return {"architecture": platform.machine(), "processor": names[0], "system": system}


def state(pinned: list[int]) -> dict[str, Any]:
    """Governor, clock and temperature, where the machine tells."""
    folder = Path(f"/sys/devices/system/cpu/cpu{pinned[-1] if pinned else 0}/cpufreq")
    clock = text(folder / "scaling_cur_freq").strip()
    zones = [text(zone).strip() for zone in sorted(Path("/sys/class/thermal").glob("thermal_zone*/temp"))]
    degrees = [int(one) / 1000 for one in zones if one.lstrip("-").isdigit()]
    return {
        "governor": text(folder / "scaling_governor").strip() or None,
        "mhz": int(clock) / 1000 if clock.isdigit() else None,
        "celsius": max(degrees) if degrees else None,
    }


def text(path: Path) -> str:
    """A file's content; nothing where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def write(path: Path, content: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.replace(path)


def lock() -> Any:
    """The machine's lock, held while it is open: a file of whoever came first, for all to read, whatever his umask."""
    try:
        with contextlib.suppress(FileExistsError):
            os.fchmod(os.open(LOCK, os.O_CREAT | os.O_EXCL), 0o644)
        number = os.open(LOCK, os.O_RDONLY)
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Trouble("busy", "another benchmark is running") from error
    except OSError as error:
        raise Trouble("lock", f"{LOCK} cannot be locked: {error.strerror}") from error
    return os.fdopen(number)


def work(folder: Path) -> None:
    """Measure, alone on this machine; the report, or what went wrong, is in the folder."""
    try:
        with lock():
            signal.signal(signal.SIGALRM, late)
            signal.alarm(int(read(folder / "plan.json")["limit"]))
            report = measure(folder)
    except Exception as error:
        traceback.print_exc()
        for file in folder.glob("*.npz"):  # of no more use; a full disk has room for the report then
            file.unlink()
        report = {"contract": CONTRACT, "error": told(error)}
    signal.alarm(0)
    write(folder / "report.json", report)


def detach(folder: Path) -> None:
    """Work on in the background, of no terminal."""
    parent = os.getpid()
    if os.fork():
        return
    os.setsid()
    while os.getppid() == parent:
        time.sleep(0.01)
    log = os.open(folder / "runner.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for number, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(file, number)
    write(folder / "process.json", {"pid": os.getpid()})
    work(folder)
    os._exit(0)


def status(folder: Path) -> dict[str, Any]:
    """Whether it is done; `gone` when its process has left without a report. The folder's time says who asked last."""
    os.utime(folder)
    process = folder / "process.json"
    gone = process.exists() and not Path(f"/proc/{read(process)['pid']}").exists()
    if (folder / "report.json").exists():
        return {"state": "done"}
    if gone:
        return {"state": "gone", "log": text(folder / "runner.log")[-500:]}
    progress = folder / "progress.json"
    return {"done": 0, "of": 0, **(read(progress) if progress.exists() else {}), "state": "running"}


def stop(folder: Path) -> dict[str, Any]:
    """End whatever still runs, and leave nothing behind."""
    with contextlib.suppress(OSError):
        os.killpg(read(folder / "process.json")["pid"], signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    return {"state": "removed"}


def main(arguments: list[str]) -> None:
    folder, how = Path(arguments[0]).resolve(), arguments[1] if len(arguments) > 1 else ""
    if how == "--child":
        child(folder, int(arguments[2]))
    elif said := {"--status": status, "--stop": stop, "--detach": detach, "": work}[how](folder):
        print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1:])
