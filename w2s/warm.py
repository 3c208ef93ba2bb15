"""One interpreter with its libraries imported, of which the jobs of a local run are forks.

Most jobs of a run compute for a moment, and import for longer. So a run starts one interpreter, and
`w2s STAGE` asks it for a copy of itself that runs the stage: with the arguments, folder,
environment and open files of the asking process, which waits for it and ends as it does. What a job
imported the interpreter imports before the next. It computes nothing, as what has threads or a card
may not be forked; jobs with several threads run by themselves, and all jobs where nothing answers.
`W2S_WARM=` (empty) in the environment of snakemake switches it off. Linux only: elsewhere libraries
forbid forks.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from w2s import digest, tracks
from w2s.__main__ import ALIVE, HEADER, PLACE, TAKEN

# glibc keeps freed memory for the next matrix: half the page faults, 4 % of the time of probes
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**30)}
WITH_PARENT = 1  # of prctl: a signal for when the process that made the fork ends
THREADS = Path("/proc/self/task")
FORKED = "jemalloc_bg_thd"  # pyarrow's, which starts again in a fork
LIBRARIES = tuple(
    sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
OWN = str(Path(__file__).parent) + os.sep


def start() -> None:
    """Start the interpreter; it ends after this process, with the last of its jobs."""
    if PLACE in os.environ or sys.platform != "linux":
        return
    place = str(Path(tempfile.mkdtemp(prefix="w2s-")) / "socket")
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", f"from w2s.warm import serve; serve({place!r})"],
        stdin=subprocess.PIPE,
        env=ALLOCATOR | os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,  # Ctrl-C is for those who ask
    )
    os.environ[PLACE] = place
    atexit.register(process.communicate)


def serve(place: str) -> None:
    """Answer at a socket until the standard input ends, and the last job: this is the interpreter.

    Args:
        place: Path of the socket, in a folder of its own, which is removed at the end.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(place)
            listener.listen(4096)
            _prepare()
            _Jobs(listener).serve()
        finally:
            Path(place).unlink(missing_ok=True)
            Path(place).parent.rmdir()


def _prepare() -> None:
    """Import and compute what every job needs, its code digest included."""
    import numpy as np

    gc.set_threshold(ALIVE)
    # as Python's own: else code of a user's that has no seed would draw the same in every job
    os.register_at_fork(after_in_child=np.random.seed)
    importlib.import_module("w2s.run")
    for stage in tracks.STAGES:
        digest.code_digest(stage)


class _Jobs:
    """The jobs that run, by process id: who asked for it, and where it leaves what it imported."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.running: dict[int, tuple[socket.socket, int]] = {}
        self.imports: list[str] = []  # before the next job
        self.ended, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.events = select.poll()
        for place, what in ((self.ended, select.POLLIN), (listener, select.POLLIN), (0, 0)):
            self.events.register(place, what)  # nothing: only an end is told

    def serve(self) -> None:
        """Fork when asked, end a job with who asked for it, and tell how it ended."""
        over = False
        while not over or self.running:
            ready = {place for place, _ in self.events.poll()}
            if self.ended in ready:
                os.read(self.ended, 4096)
                self._answer()
            for process, (asking, _) in self.running.items():
                if asking.fileno() in ready:
                    self.events.unregister(asking)
                    os.kill(process, signal.SIGINT)
            if self.listener.fileno() in ready:
                self._fork(self.listener.accept()[0])
            if 0 in ready:
                over = True
                self.events.unregister(0)

    def _fork(self, asking: socket.socket) -> None:
        self._import()
        if not _forkable():  # let those who ask run
            self.events.unregister(self.listener)
            self.listener.close()
            asking.close()
            return
        learned = os.memfd_create("imports")
        process = os.fork()
        if process == 0:
            _run(asking, learned)
        self.running[process] = asking, learned
        self.events.register(asking, 0)

    def _answer(self) -> None:
        """Tell how each ended job ended; what good ones imported is for the next."""
        for process in [*self.running]:
            found, status = os.waitpid(process, os.WNOHANG)
            if not found:
                continue
            asking, learned = self.running.pop(process)
            with suppress(KeyError):  # it has hung up
                self.events.unregister(asking)
            with asking, suppress(OSError):
                asking.send(str(os.waitstatus_to_exitcode(status)).encode())
            self.imports += os.pread(learned, 2**20, 0).decode().split()
            os.close(learned)

    def _import(self) -> None:
        """Import what jobs did."""
        names, self.imports = self.imports, []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in names:
                with suppress(Exception):  # the job that needs it tells why
                    importlib.import_module(name)
        gc.freeze()  # what is there stays shared with the forks


def _forkable() -> bool:
    """Whether no import has started threads or taken a card."""
    threads = [(path / "comm").read_text().strip() for path in THREADS.iterdir()]
    torch = sys.modules.get("torch")
    return len(threads) - threads.count(FORKED) == 1 and not (
        torch is not None and torch.cuda.is_initialized()
    )


def _run(asking: socket.socket, learned: int) -> NoReturn:
    """Run one request in this process, a fork, and end it."""
    from w2s import cli

    signal.signal(signal.SIGINT, signal.default_int_handler)  # runs in the background ignore it
    ctypes.CDLL(None).prctl(WITH_PARENT, signal.SIGINT)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = set(sys.modules)
    code: Any = 1
    try:
        asking.send(TAKEN)
        words, folder, environment = _read(asking)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["w2s", *words]
        code = cli.main(words)
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:  # who asked is gone
        code = 1
    except Exception:  # noqa: BLE001 - as at the end of any interpreter
        traceback.print_exc()
    finally:
        os.write(learned, b"" if code else " ".join(_libraries(before)).encode())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


def _libraries(before: set[str]) -> Iterator[str]:
    """Names of what was imported since; not of a user's own files, which no other job may want."""
    for name, module in [*sys.modules.items()]:
        place = getattr(module, "__file__", None) or ""
        if name not in before and place.startswith((*LIBRARIES, OWN)):
            yield name


def _read(asking: socket.socket) -> Any:
    """A request: arguments, folder and environment; its open files become this process' own."""
    header, places, _, _ = socket.recv_fds(asking, HEADER, 3)
    for number, place in enumerate(places):
        os.dup2(place, number)
        os.close(place)
    with asking.makefile("rb") as stream:
        return json.loads(stream.read(int.from_bytes(header, "big")))
