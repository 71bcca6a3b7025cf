"""Starting, pinning, measuring and ending the programs of a run."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import time

# Program -> Debian package.
PACKAGES = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "caddy": "caddy",
    "h2load": "nghttp2-client",
    "openssl": "openssl",
    "wrk": "wrk",
}


class BenchError(Exception):
    """Something that ends the run, in words for its reader."""


def find(program):
    # Debian puts the servers into /usr/sbin, which is not on everyone's PATH.
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def require(programs):
    """Installs the Debian packages of those programs that are not there."""
    missing = sorted({PACKAGES[program] for program in programs if not find(program)})
    if not missing:
        return
    print(f"installing from Debian, without starting any service: {' '.join(missing)}", flush=True)
    if os.geteuid() != 0 or not find("apt-get"):
        raise BenchError("this needs root on a Debian machine: install them yourself and run this again")
    with services_left_alone():
        for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *missing]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            if subprocess.run(["apt-get", *command], env=environment).returncode != 0:
                raise BenchError(f"apt-get {command[0]} failed")


@contextlib.contextmanager
def services_left_alone():
    """Debian starts a server as it installs it, on ports that the gateway may be serving on this machine."""
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def cores():
    """(cores for the proxies, cores for everything else); the same ones where there is only one."""
    available = sorted(os.sched_getaffinity(0))
    # The last core, as the first one usually serves the machine's interrupts.
    return {available[-1]}, set(available[:-1]) or {available[-1]}


def cpu_ns(pid):
    """User and system time of a process and its descendants, with threads that have ended.

    This is utime + stime of /proc/<pid>/stat, from the kernel's per-process CPU clock
    (clock_getcpuclockid(3)), which counts nanoseconds where the file counts ticks of 10 ms.
    """
    total = time.clock_gettime_ns((~pid << 3) | 2)
    for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        total += sum(cpu_ns(int(child)) for child in children.read_text().split())
    return total


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not after {seconds} s")
        time.sleep(0.02)


def is_listening(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A program that listens on a port, in the foreground, pinned to some cores."""

    def __init__(self, name, command, port, directory, on_cores, environment=None):
        self.name = name
        self.output = directory / "output.log"
        if is_listening(port):
            raise BenchError(f"{name}: port {port} is taken by another program")
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                preexec_fn=lambda: os.sched_setaffinity(0, on_cores),
            )
        try:
            wait_for(lambda: self.has_ended() or is_listening(port), 60, f"{name} listens on {port}")
            self.check()
        except BaseException:
            self.stop()
            raise

    def has_ended(self):
        return self.process.poll() is not None

    def check(self):
        if self.has_ended():
            tail = self.output.read_text(errors="replace")[-2000:]
            raise BenchError(f"{self.name} ended with {self.process.returncode}:\n{tail}")

    def cpu_ns(self):
        return cpu_ns(self.process.pid)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
