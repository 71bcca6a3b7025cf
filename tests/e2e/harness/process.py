"""One child process: started with a log file, ended by its pid."""

import ctypes
import os
import signal
import subprocess
from pathlib import Path

from .waiting import wait_for

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    """Has the kernel end this process when the test runner is killed before it can clean up."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """A server that we started. `stop` ends exactly this process and nothing else."""

    def __init__(self, name: str, argv: list[str], log: Path, env: dict[str, str] | None = None):
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,  # Ctrl-C reaches the test runner only, which then stops us
                preexec_fn=_end_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_ready(self, probe, seconds: float) -> None:
        """Waits until `probe()` is true; fails at once, with the log, when the process ends first."""

        def ready() -> bool:
            if (code := self._child.poll()) is not None:
                raise RuntimeError(f"{self.name} ended with {code} at start:\n{self.output()[-4000:]}")
            return probe()

        try:
            wait_for(f"{self.name} to answer", ready, seconds)
        except BaseException:
            self.stop()
            raise

    def running(self) -> bool:
        return self._child.poll() is None

    def kill(self) -> None:
        """SIGKILL: it gets no time to end in order."""
        self._child.kill()
        self._child.wait()

    def terminate(self) -> None:
        """SIGTERM; `stop` waits for the end."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)

    def stop(self, seconds: float = 20.0) -> int:
        """SIGTERM, then SIGKILL after `seconds`; returns the exit code."""
        self.terminate()
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._child.returncode
