"""From nothing to the first handled record, in three commands: `python -m benchmarks.desk.newcomer`.

`kafkaboot new shop`, `cd shop`, `kafkaboot dev` with nothing edited: until it says that its handler has handled the
event that it sent.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.desk.report import report

KAFKABOOT = [sys.executable, "-m", "kafkaboot"]
HANDLED = "has handled its first record"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kafkaboot-bench-") as folder:
        began = time.monotonic()
        subprocess.run([*KAFKABOOT, "new", "shop"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        created = time.monotonic()
        dev = subprocess.Popen(
            [*KAFKABOOT, "dev"],
            cwd=Path(folder) / "shop",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        patience = threading.Timer(60, dev.kill)
        patience.start()
        said = []
        for line in dev.stdout:
            said.append(line)
            if HANDLED in line:
                report(new=created - began, start=time.monotonic() - began)
                dev.send_signal(signal.SIGINT)
        patience.cancel()
        if dev.wait(30) or not any(HANDLED in line for line in said):
            raise SystemExit(f"`kafkaboot dev` ended with {dev.returncode}:\n{''.join(said)}")


if __name__ == "__main__":
    main()
