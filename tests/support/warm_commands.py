"""`provlog-server` and `provlog` as commands that have their modules loaded already.

Loading them takes most of the time of a short command, and a page has dozens. So one
process loads them once and forks a process for each command, which has the caller's
arguments, environment, folder, files and signals. What still runs in the end is killed.
"""

import contextlib
import json
import os
import runpy
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_MODULES: Final = {"provlog-server": "provlog.server.cli", "provlog": "provlog.client"}
_LONGEST: Final = 1 << 20
# Asks for a command, passes signals on to it, and has its exit code. It loads no site
# packages, so it begins at once.
_ASK = """\
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect(sys.argv[1])
    said = [sys.argv[2:], os.getcwd(), dict(os.environ)]
    socket.send_fds(asking, [b"-"], [0, 1, 2])
    asking.sendall(json.dumps(said).encode())
    asking.shutdown(socket.SHUT_WR)
    process = int(asking.recv(8))
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, _: os.kill(process, number))
    sys.exit(int(asking.recv(8) or b"70"))
"""


@contextmanager
def warm_commands(folder: Path) -> Iterator[Path]:
    """Yield a folder for PATH with the two commands; they work within the context."""
    folder.mkdir(parents=True)
    (folder / "ask.py").write_text(_ASK)
    for name in _MODULES:
        ask = shlex.join([sys.executable, "-I", "-S", str(folder / "ask.py")])
        (folder / name).write_text(f'#!/bin/sh\nexec {ask} {folder}/s {name} "$@"\n')
        (folder / name).chmod(0o700)
    with subprocess.Popen(
        [sys.executable, __file__, "s"],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield folder
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _serve(path: str) -> None:
    """Fork a process for each command that is asked for, for ever."""
    for module in _MODULES.values():
        __import__(module)
    # A thread would not be there in the processes that are forked.
    assert len(list(Path("/proc/self/task").iterdir())) == 1
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        print("ready", flush=True)
        while True:
            asking, _ = listening.accept()
            with asking:
                if os.fork() == 0:
                    listening.close()
                    os._exit(_answer(asking))
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(asking: socket.socket) -> int:
    """Run one command, in the process that was forked for it."""
    _, files, _, _ = socket.recv_fds(asking, 1, 3)
    with asking.makefile("rb") as said:
        (name, *arguments), folder, variables = json.loads(said.read(_LONGEST))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    # Padded: the next thing that is sent is the exit code.
    asking.sendall(str(os.getpid()).encode().ljust(8))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = [name, *arguments]
    code = 0
    try:
        # The command as it is: `python -m` of its module, which is loaded.
        runpy.run_module(_MODULES[name], run_name="__main__", alter_sys=False)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    asking.sendall(str(code).encode())
    return code


if __name__ == "__main__":
    _serve(sys.argv[1])
