"""Machines on which an operator's commands are run: folders, a home and free ports.

A machine's files stand below a folder, its ports and the hosts it knows are others than
the page says; what the commands print is put back into the page's words. Servers are
started as the page starts them, or as `systemctl` would, and end with its sections.
"""

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support.edges import Pair
from support.leaks import OUTPUT, WATCH
from support.nginx import free_port
from support.pages import make_variables

SERVE: Final = "provlog-server serve"
SYSTEMCTL: Final = {
    "systemctl start provlog": "start",
    "systemctl stop provlog": "stop",
    "systemctl kill --signal SIGUSR1 provlog": "accept the clock",
}
_PORTS: Final = (8470, 8471, 8480, 8481)
_FOLDERS: Final = r"(?<![\w./])/(?=(?:etc|srv|var)/)"
_SECONDS = 60.0
# Functions of the shell that stand for programs which would leave the machine.
_SHELL = """
scp() { cp "$@"; }
if [ -e "$HOME/.exported" ]; then source "$HOME/.exported"; fi
trap 'declare -px > "$HOME/.exported"' EXIT
"""


@dataclass
class Serving:
    """A server that runs, and the files of what it prints."""

    process: "subprocess.Popen[bytes]"
    output: Path
    errors: Path

    def wait_for(self, what: str, path: Path) -> None:
        """Return once something was printed to one of the files."""
        deadline = time.monotonic() + _SECONDS
        while what not in path.read_text():
            said = path.read_text() + self.errors.read_text()
            assert self.process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it in order; it has to end well."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(_SECONDS)
        finally:
            self.process.kill()
        said = self.errors.read_text()
        WATCH.saw(OUTPUT, "serve", self.output.read_text() + said)
        assert code == 0, said


@dataclass
class Machine:
    """A machine below a folder.

    `commands` is the folder of the commands it has besides the system's, `hosts` are
    names of others, and what they stand for.
    """

    folder: Path
    commands: Path
    hosts: Mapping[str, str] = field(default_factory=dict)
    serving: list[Serving] = field(default_factory=list)
    _status: int = 0

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.ports = {port: free_port() for port in (*_PORTS, 443)}
        self.variables = make_variables(self.home)
        path = f"{self.commands}:{self.variables['PATH']}"
        self.variables |= {"PATH": path, "CURL_HOME": str(self.home)}
        for place in ("home", "srv/backup", "srv/move", "var/lib", "etc/provlog"):
            (self.folder / place).mkdir(parents=True)
        self._trust_itself()

    def _trust_itself(self) -> None:
        """Give it a certificate of log.example.com, which its curl trusts."""
        place = self.folder / "etc" / "provlog"
        pair = Pair.make(place, host="log.example.com")
        self.pair = Pair(place / "fullchain.pem", place / "key.pem")
        self.pair.replace_with(pair)
        lines = [f'cacert = "{self.pair.chain}"']
        for port in (443, 8470):
            here = f"127.0.0.1:{self.ports[port]}"
            lines.append(f'connect-to = "log.example.com:{port}:{here}"')
        (self.home / ".curlrc").write_text("\n".join(lines))

    def moved(self, text: str) -> str:
        """Return a text of the page with this machine's places in it."""
        places = {f"127.0.0.1:{port}": self._address(port) for port in _PORTS}
        places["0.0.0.0:8470"] = self._address(8470)
        places |= {**self.hosts, "/": f"{self.folder}/"}
        longest_first = sorted(places, key=len, reverse=True)[:-1]
        # In one go: a new place may hold an old one's name.
        pattern = "|".join([*map(re.escape, longest_first), _FOLDERS])
        return re.sub(pattern, lambda old: places[old[0]], text)

    def put_back(self, text: str) -> str:
        """Return what was printed in the page's words."""
        text = text.replace(str(self.folder), "")
        places = {new: old for old, new in self.hosts.items()}
        for new in sorted(places, key=len, reverse=True):
            text = text.replace(new, places[new])
        return text

    def _address(self, port: int) -> str:
        return f"127.0.0.1:{self.ports[port]}"

    def run(self, code: str) -> str:
        """Run the commands of a block one after the other; each has to succeed.

        Returns what they print, and a server that the last of them starts.
        """
        printed = ""
        for part in _parts(code):
            if part.startswith(SERVE):
                printed += self.serve(part)
            elif part.strip() in SYSTEMCTL:
                self._control(SYSTEMCTL[part.strip()])
            else:
                status, text = self._shell(f"set -euo pipefail\n{self.moved(part)}")
                assert status == 0, f"{part}{text}"
                printed += text
        return self.put_back(printed)

    def type(self, command: str) -> str:
        """Run one command as in a terminal, whatever comes of it."""
        before = f"(exit {self._status})"
        # One that is to be refused takes no port that is another's if it is not.
        moved = self._listening(command) if command.startswith(SERVE) else command
        self._status, text = self._shell(f"{before}\n{self.moved(moved)}")
        return self.put_back(text)

    def _shell(self, script: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", f"exec 2>&1\n{_SHELL}\n{script}"],
            cwd=self.home,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        WATCH.note_tokens(done.stdout)  # which shows those it makes, once
        for path in self.home.glob("*.env"):
            path.write_text(self.moved(path.read_text()))
            WATCH.note_tokens(path.read_text())
        return done.returncode, done.stdout

    def serve(self, command: str) -> str:
        """Start a server, and return what it prints once it serves."""
        command = self.moved(self._listening(command))
        number = len(list(self.folder.glob("*.out")))
        output, errors = (self.folder / f"{number}.{name}" for name in ("out", "err"))
        with output.open("w") as out, errors.open("w") as err:
            process = subprocess.Popen(
                ["bash", "-c", f"{_SHELL}\ntrap - EXIT\nexec {command}"],
                cwd=self.home,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.serving.append(Serving(process, output, errors))
        self.serving[-1].wait_for("serving on", output)
        return output.read_text()

    def _listening(self, command: str) -> str:
        """Return a command that serves, with the ports that it has by default."""
        command = command.strip()
        if "--listen" not in command:
            command += " --listen 127.0.0.1:8470"
        if "--metrics" not in command:
            # The further workers take the ports after the first one's.
            port = 0 if "--workers" in command else 8471
            command += f" --metrics 127.0.0.1:{port}"
        return command

    def _control(self, what: str) -> None:
        if what == "stop":
            self.stop()
        elif what == "start":
            self.serve("provlog-server serve --dir /var/lib/provlog")
        else:
            for each in self.serving:
                each.process.send_signal(signal.SIGUSR1)
                each.wait_for("clock accepted", each.errors)

    def stop(self) -> None:
        """Stop all its servers."""
        while self.serving:
            self.serving.pop().stop()

    def end(self) -> None:
        """Kill what still runs: after a test, however that went."""
        for each in self.serving:
            each.process.kill()
            each.process.wait()


def _parts(code: str) -> Iterator[str]:
    """Cut a block where a server is started or stopped."""
    commands = ""
    lines = iter(code.splitlines(keepends=True))
    for line in lines:
        if not line.startswith((SERVE, *SYSTEMCTL)):
            commands += line
            continue
        if commands:
            yield commands
        commands = ""
        while line.endswith("\\\n"):
            line += next(lines)
        yield line
    if commands:
        yield commands
