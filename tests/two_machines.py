"""Two machines of a training run, each with its launcher: here both are this one."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
from cli_house import free_port

ROOT = Path(__file__).parents[1]


def torchrun(port, is_host, restarts, *program):
    """Return a machine's command: a process among those that meet at `port`."""
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}"]
    # as a machine tells from its own name, which both have here
    meeting += ["--rdzv-conf", f"is_host={is_host}"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", *meeting]
    return [*launcher, "--nproc-per-node", "1", "--max-restarts", restarts, *program]


def run_machines(commands, folder):
    """Run the machines' commands side by side to their ends.

    Returns:
        What each has said on stdout, what on stderr, and the exit codes.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    said = [[folder / f"{number}.{kind}" for kind in ("out", "err")] for number in (0, 1)]
    machines = []
    try:
        for command, (out, err) in zip(commands, said, strict=True):
            with out.open("w") as stdout, err.open("w") as stderr:
                machines.append(
                    psutil.Popen(
                        list(map(str, command)),
                        cwd=folder,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=stdout,
                        stderr=stderr,
                    )
                )
        codes = [machine.wait() for machine in machines]
    finally:
        for machine in machines:
            if machine.is_running():
                for process in [*machine.children(recursive=True), machine]:
                    process.kill()
                machine.wait()
    stdouts, stderrs = ([path.read_text() for path in paths] for paths in zip(*said, strict=True))
    return stdouts, stderrs, codes


def train_on_two(folder, *programs, restarts=0):
    """Run a program on each machine under torchrun; `programs` are their arguments."""
    port = free_port()
    commands = [torchrun(port, n == 0, restarts, *program) for n, program in enumerate(programs)]
    return run_machines(commands, folder)
