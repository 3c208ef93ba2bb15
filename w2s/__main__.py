"""The command line `w2s`, also `python -m w2s`: run here, or by the interpreter that a run keeps.

Imports little, as the second is over in a moment.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence

PLACE = "W2S_WARM"  # environment variable with the path of the interpreter's socket
HEADER = 8  # bytes of the length before a request
TAKEN = b"+"  # the answer before a job starts
ALIVE = 10_000  # objects between looks for garbage: imports make many, and none of it


def main() -> int:
    """Run the command line; the exit code."""
    code = ask(sys.argv[1:])
    if code is None:
        gc.set_threshold(ALIVE)
        from w2s import cli

        code = cli.main()
    return code


def ask(words: Sequence[str]) -> int | None:
    """Have a command run by the interpreter that a run keeps (`w2s.warm`).

    Args:
        words: Arguments of the command line.

    Returns:
        Its exit code, None where it must run here. A signal that ends the command also ends this
        process.
    """
    place = os.environ.get(PLACE)
    if not place or os.environ.get("OMP_NUM_THREADS") != "1":
        return None
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(place)
            here = os.getcwd()  # noqa: PTH109 - pathlib takes as long as all else here
            request = json.dumps([list(words), here, dict(os.environ)]).encode()
            socket.send_fds(asking, [len(request).to_bytes(HEADER, "big")], [0, 1, 2])
            asking.sendall(request)
            if asking.recv(1) != TAKEN:
                return None
        except OSError:  # the run is over, or on another machine
            return None
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the end of this process ends the job
        answer = asking.recv(HEADER)
    if not answer:
        sys.stderr.write("w2s: error: the interpreter of this run was ended, and the job with it\n")
        return 1
    code = int(answer)
    if code < 0:
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main())
