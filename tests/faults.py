"""Processes that die at a chosen point of their writing, and damaged copies of files.

As a program: reads one task a line from standard input and runs each in a fork of its own, which
needs no second import of the libraries. `Victims` starts it.
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# what Python tells its audit hooks before it does it; the first argument is a path
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"}
CHANGES |= {"os.link", "os.symlink"}


@dataclass(frozen=True)
class End:
    """How a process ended."""

    code: int  # minus the signal if it was killed
    points: int  # of writing that it came to; 0 if it was killed
    said: str  # its standard error


class Victims:
    """Runs `w2s` commands that die where they are told to; a context manager."""

    def __init__(self, folder, modules):
        """Start, with a folder for standard error, and what is to be imported once."""
        self._said = folder / "said"
        command = [sys.executable, __file__, str(self._said), *modules]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._server = subprocess.Popen(command, text=True, **pipes)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for stream in (self._server.stdin, self._server.stdout):
            stream.close()
        self._server.wait()

    def run(self, line, watched, *, kill_at=0, most_bytes=0):
        """Run one command.

        Args:
            line: Arguments of `w2s`.
            watched: Only changes below this folder are points.
            kill_at: Die like `kill -9` at the point of this number, from 1; 0: at none.
            most_bytes: Die as soon as a file would become longer; 0: of no length.
        """
        task = {"line": [str(word) for word in line], "watched": str(watched)}
        task |= {"kill_at": kill_at, "most_bytes": most_bytes}
        self._server.stdin.write(json.dumps(task) + "\n")
        self._server.stdin.flush()
        code, points = json.loads(self._server.stdout.readline())
        return End(code, points, self._said.read_text(encoding="utf-8"))


def flipped(content, place):
    """The content with one bit changed, in the byte at that place."""
    changed = bytearray(content)
    changed[place] ^= 1 << (place % 8)
    return bytes(changed)


@contextmanager
def mounted(folder, *options):
    """Something mounted on the folder while the block runs.

    Args:
        folder: Made if it is not there.
        options: Of `mount`, without the folder.

    Raises:
        PermissionError: this user may not mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False)
    if done.returncode:
        raise PermissionError(done.stderr.decode().strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _serve(said):
    for text in sys.stdin:
        task = json.loads(text)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            with said.open("w", encoding="utf-8") as stream:
                _die_or_end(task, writer, stream)
        os.close(writer)
        _, status = os.waitpid(child, 0)
        with os.fdopen(reader) as pipe:
            points = int(pipe.read() or 0)
        sys.stdout.write(json.dumps([os.waitstatus_to_exitcode(status), points]) + "\n")
        sys.stdout.flush()


def _die_or_end(task, writer, said):
    """The life of a command; never returns."""
    from w2s.cli import main

    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if task["most_bytes"]:
        # the kernel's signal for a file that is too long ends the process in the middle of a write
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (task["most_bytes"], task["most_bytes"]))
    count = _count_points(task["watched"], task["kill_at"])
    code = 70  # of a traceback
    with suppress(Exception):
        code = main(task["line"])
    os.write(writer, str(count()).encode())
    os._exit(code)


def _count_points(watched, kill_at):
    """Watch this process: a point before each change of a file, and around each sync and row."""
    seen = 0

    def point():
        nonlocal seen
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event, arguments):
        if event not in CHANGES or not isinstance(arguments[0], str | os.PathLike):
            return
        path, parent = os.fspath(arguments[0]), arguments[-1]
        if event in ("os.remove", "os.rmdir") and parent >= 0:  # as shutil.rmtree does it
            path = f"{Path(f'/proc/self/fd/{parent}').readlink()}/{path}"
        reads = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not reads and path.startswith(watched):
            point()

    def fsync(handle):
        point()
        real_fsync(handle)
        point()

    def pwrite(handle, content, place):
        half = len(content) // 2
        real_pwrite(handle, content[:half], place)
        point()
        return half + real_pwrite(handle, content[half:], place + half)

    real_fsync, real_pwrite = os.fsync, os.pwrite
    os.fsync, os.pwrite = fsync, pwrite
    sys.addaudithook(audit)
    return lambda: seen


if __name__ == "__main__":
    for name in sys.argv[2:]:
        importlib.import_module(name)
    _serve(Path(sys.argv[1]))
