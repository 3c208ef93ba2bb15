"""Jobs as forks of one interpreter: they end like any process, and end with who asked for them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from w2s.__main__ import PLACE

TRACK = '''
import os, sys, time
from pathlib import Path
from w2s.declare import Plain, Stage, Strict

class NapSettings(Strict):
    do: str = "sleep"

def nap(manifest, *, settings):
    """Tell the process, then do as told."""
    try:
        print(os.getpid(), os.getppid(), "colorsys" in sys.modules, flush=True)
        if settings.do == "import":
            import colorsys
        elif settings.do == "draw":
            import numpy, random
            print(numpy.random.random(), random.random())
        elif settings.do == "threads":
            import threaded
        elif settings.do == "raise":
            raise RuntimeError("broken")
        elif settings.do == "sleep":
            time.sleep(600)
    finally:
        Path("unwound").touch()
    return {"manifest": {}}

STAGES = {"nap": Stage("nap", "once", "napping:nap", NapSettings, {}, {"manifest": Plain.MANIFEST})}
FILES = {}
jobs = print
'''
THREADED = """
import threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
"""
NAP = ["--track", "napping.py", "nap", "--manifest", "made/manifest.json", "--settings"]


class Server:
    """An interpreter, and commands that ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "napping.py").write_text(TRACK)
        self.place = folder / "warm" / "socket"
        self.place.parent.mkdir()
        libraries = folder / "libraries"
        libraries.mkdir()
        (libraries / "threaded.py").write_text(THREADED)
        code = f"from w2s import warm; warm.LIBRARIES += ({str(libraries)!r},)"
        line = [sys.executable, "-P", "-c", f"{code}; warm.serve({str(self.place)!r})"]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, env=self.environment())
        wait_for(self.place.exists)

    def environment(self, threads: str = "1") -> dict[str, str]:
        path = os.pathsep.join([str(self.folder / "libraries"), os.environ.get("PYTHONPATH", "")])
        given = {PLACE: str(self.place), "OMP_NUM_THREADS": threads, "PYTHONPATH": path}
        return os.environ | given

    def start(self, *words: str, **changes: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        line = [sys.executable, "-m", "w2s", *words]
        return subprocess.Popen(
            line, text=True, cwd=self.folder, env=self.environment(**changes), **pipes
        )

    def run(self, *words: str, **changes: str) -> tuple[int, str, str]:
        done = self.start(*words, **changes)
        out, err = done.communicate()
        return done.returncode, out, err

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)


def wait_for(reached) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def server(tmp_path):
    found = Server(tmp_path)
    yield found
    found.end()
    assert not found.place.parent.exists()


def told(line: str) -> tuple[int, int, bool]:
    own, above, known = line.split()
    return int(own), int(above), known == "True"


def test_a_command_ends_as_it_would_by_itself(server, subtests):
    for words in (["tasks"], ["inspect", "no such file"], ["split", "--seed"], ["--help"], []):
        with subtests.test(words=words):
            here = subprocess.run(
                [sys.executable, "-m", "w2s", *words],
                text=True, capture_output=True, check=False, cwd=server.folder,
            )  # fmt: skip
            assert server.run(*words) == (here.returncode, here.stdout, here.stderr)
    code, _, said = server.run(*NAP, '{"do": "raise"}')
    assert code == 1
    assert said.startswith("Traceback")
    assert said.endswith("RuntimeError: broken\n")


def test_jobs_are_forks_that_know_what_others_imported(server):
    code, out, said = server.run(*NAP, '{"do": "import"}')
    assert (code, said) == (0, "")
    assert told(out)[1:] == (server.process.pid, False)
    _, out, _ = server.run(*NAP, '{"do": "import"}')
    assert told(out)[1:] == (server.process.pid, True)


def test_forks_draw_numbers_of_their_own_where_code_of_a_user_has_no_seed(server):
    drawn = [server.run(*NAP, '{"do": "draw"}')[1].splitlines()[1].split() for _ in range(3)]
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 3


def test_jobs_with_several_threads_run_by_themselves(server):
    running = server.start(*NAP, '{"do": "import"}', threads="2")
    assert told(running.communicate()[0])[0] == running.pid


def test_an_interpreter_with_threads_is_not_forked(server):
    for above in (server.process.pid, None):  # a library of the first starts one when imported
        running = server.start(*NAP, '{"do": "threads"}')
        out, said = running.communicate()
        assert said == ""
        own, parent, _ = told(out)
        assert running.returncode == 0
        assert (parent == above) if above else (own == running.pid)


def test_a_job_ends_with_who_asked_for_it(server):
    for ending in (signal.SIGINT, signal.SIGKILL):
        asking = server.start(*NAP, '{"do": "sleep"}')
        job = told(asking.stdout.readline())[0]
        asking.send_signal(ending)
        assert asking.wait() == -ending
        wait_for(lambda job=job: gone(job))
        (server.folder / "unwound").unlink()
        assert not (server.folder / "made").exists()


def test_a_job_ends_with_who_asked_for_it_in_a_run_that_ignores_interrupts(tmp_path):
    """As those that a script starts in the background do."""
    known = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server = Server(tmp_path)
        asking = server.start(*NAP, '{"do": "sleep"}')
    finally:
        signal.signal(signal.SIGINT, known)
    job = told(asking.stdout.readline())[0]
    asking.kill()
    wait_for(lambda: gone(job))
    assert (tmp_path / "unwound").exists()
    server.end()


def test_who_asked_for_a_killed_job_ends_as_it_did(server):
    asking = server.start(*NAP, '{"do": "sleep"}')
    os.kill(told(asking.stdout.readline())[0], signal.SIGKILL)
    assert asking.wait() == -signal.SIGKILL


def test_a_job_ends_with_a_killed_interpreter_and_the_next_run_by_themselves(server):
    asking = server.start(*NAP, '{"do": "sleep"}')
    job = told(asking.stdout.readline())[0]
    server.process.kill()
    assert asking.communicate()[1].startswith("w2s: error: the interpreter of this run was ended")
    assert asking.returncode == 1
    wait_for(lambda: gone(job))
    assert (server.folder / "unwound").exists()
    running = server.start(*NAP, '{"do": "import"}')
    assert told(running.communicate()[0])[0] == running.pid
    shutil.rmtree(server.place.parent)


def test_without_an_answer_a_command_runs_here(server):
    server.end()
    running = server.start(*NAP, '{"do": "import"}')
    out, _ = running.communicate()
    assert running.returncode == 0
    assert told(out)[0] == running.pid


def test_the_last_job_ends_before_the_interpreter(server):
    asking = server.start(*NAP, '{"do": "sleep"}')
    job = told(asking.stdout.readline())[0]
    server.process.stdin.close()
    assert not gone(job)
    asking.kill()
    server.process.wait(timeout=60)
    assert gone(job)
