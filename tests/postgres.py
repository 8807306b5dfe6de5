"""A PostgreSQL of the tests' own: made in a directory that is thrown away, on a free port, ended with them."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from itertools import count
from pathlib import Path

from kafkaboot.testing import eventually

PACKAGED = Path("/usr/lib/postgresql")
"""Where Debian puts the programs of each version."""
UNPRIVILEGED = "nobody"
"""Who runs it where the tests run as root, whom it refuses."""
SETTINGS = {
    "fsync": "off",  # what the tests kill is the application, never the machine
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}


class NotThereError(Exception):
    """There is no PostgreSQL on this machine."""


def programs() -> Path:
    """The folder of the newest PostgreSQL's programs.

    Raises:
        NotThereError: There is none.
    """
    versions = [folder / "bin" for folder in PACKAGED.glob("*") if (folder / "bin" / "initdb").exists()]
    if versions:
        return max(versions, key=lambda folder: [int(n) for n in re.findall(r"\d+", folder.parent.name)])
    found = shutil.which("initdb")
    if found is None:
        raise NotThereError("no initdb: apt-get install postgresql")
    return Path(found).resolve().parent


class Postgres:
    """One server; `url()` names a fresh database in it."""

    def __init__(self) -> None:
        self._programs = programs()
        self._as = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._directory = Path(tempfile.mkdtemp(prefix="kafkaboot-postgres-"))
        self._numbers = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Make it, and wait until it answers."""
        if self._as:
            os.chown(self._directory, self._as["user"], self._as["group"])
        self._run("initdb", "-D", str(self._directory / "data"), "-U", "shop", "-A", "trust", "--no-sync", "-E", "UTF8")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.launch()

    def launch(self) -> None:
        """Start the server that was made, or was stopped."""
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._directory / "data", "-p", str(self.port), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **self._as,
            )  # fmt: skip
        eventually(self._answers, 30, lambda: f"PostgreSQL answers\n{(self._directory / 'log').read_text()[-2000:]}")

    def halt(self) -> None:
        """End it at once, connections and all; what was committed stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def stop(self) -> None:
        """End it, and throw its directory away."""
        self.halt()
        shutil.rmtree(self._directory, ignore_errors=True)

    def url(self) -> str:
        """A database that nobody has used."""
        name = f"test{next(self._numbers)}_{os.getpid()}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "shop", name)
        return f"postgresql://shop@127.0.0.1:{self.port}/{name}"

    def _answers(self) -> bool:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
        return self._quiet("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-U", "shop") == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments], capture_output=True, text=True, cwd="/", check=False, **self._as
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def _quiet(self, program: str, *arguments: str) -> int:
        return subprocess.run(
            [self._programs / program, *arguments], capture_output=True, cwd="/", check=False, **self._as
        ).returncode
