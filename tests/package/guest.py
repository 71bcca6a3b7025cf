"""A Debian that systemd runs, in namespaces of its own; its network is the one that the tests are in."""

import os
import signal
import subprocess
from pathlib import Path

from harness.waiting import wait_for

#: What the guest's own programs find in their environment.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
#: The exit code of a guest that asks to be booted again.
REBOOT = 133


class Guest:
    """Changes to the root are kept in `folder`, beside a log of the console."""

    def __init__(self, root: Path, folder: Path):
        self.folder = folder
        self.root = folder / "root"
        upper, work = folder / "changes", folder / "work"
        for part in (self.root, upper, work):
            part.mkdir(parents=True)
        layers = f"lowerdir={root},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], check=True)
        self._machine: subprocess.Popen | None = None
        self._init = 0

    def boot(self) -> None:
        command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe"]
        command += [f"--directory={self.root}", "--machine=guest", "--resolv-conf=off", "--timezone=off"]
        command += [f"--network-namespace-path=/proc/{os.getpid()}/ns/net"]
        with (self.folder / "console.log").open("ab") as console:
            self._machine = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )
        self._init = wait_for("systemd in the guest to start", self._find_init)
        wait_for("systemd in the guest", lambda: self.state() in ("running", "degraded"), 60)

    def _find_init(self) -> int | None:
        """The process that is number 1 in the guest; nspawn has another child before."""
        assert self._machine
        children = Path(f"/proc/{self._machine.pid}/task/{self._machine.pid}/children").read_text().split()
        for child in children:
            inside = Path(f"/proc/{child}/status").read_text().partition("NSpid:")[2].splitlines()[0].split()
            if inside[-1] == "1" and Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return None

    def state(self) -> str:
        return self.run("systemctl is-system-running", check=False).stdout.strip()

    def run(self, command: str, check: bool = True, seconds: float = 90) -> subprocess.CompletedProcess:
        """Runs a line of shell in the guest, as root."""
        enter = ["nsenter", f"--target={self._init}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        done = subprocess.run(
            [*enter, "sh", "-c", command],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"`{command}` exits with {done.returncode}:\n{done.stdout}")
        return done

    def read(self, command: str) -> str:
        return self.run(command).stdout.strip()

    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(mode)

    def property(self, unit: str, name: str) -> str:
        return self.read(f"systemctl show --property={name} --value {unit}")

    def files(self) -> set[str]:
        """All files but those that change by themselves."""
        pruned = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/cache"]
        pruned += ["/var/lib/apt", "/var/lib/dpkg", "/var/lib/systemd"]
        tests = " -o ".join(f"-path {path}" for path in pruned)
        # Users stay, and the files that hold them are written anew with a copy of the former one.
        return set(self.read(rf"find / \( {tests} \) -prune -o -print | grep -v '^/etc/[a-z]*-$'").splitlines())

    def reboot(self) -> None:
        assert self._machine
        self.run("systemctl reboot", check=False)
        assert self._machine.wait(60) == REBOOT, "the guest did not ask for a reboot"
        self.boot()

    def power_off(self) -> None:
        if self._machine and self._machine.poll() is None:
            with (self.folder / "journal.log").open("a") as journal:
                journal.write(self.run("journalctl --quiet --no-pager", check=False).stdout)
            # SIGRTMIN+4 to the guest's systemd is an orderly end.
            os.kill(self._init, signal.SIGRTMIN + 4)
            try:
                self._machine.wait(30)
            except subprocess.TimeoutExpired:
                self._machine.kill()
                self._machine.wait()
        subprocess.run(["umount", self.root], check=True)
