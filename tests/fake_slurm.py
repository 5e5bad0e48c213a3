"""Slurm's commands as far as submitit needs them, for a PATH: jobs run at once, on this machine.

Like Slurm, `sbatch` opens a job's output file before the job starts, and makes no folder for it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ARRAY = "7000"


def install(folder: Path) -> str:
    """Put the commands into a folder; returns a PATH that finds them first."""
    folder.mkdir()
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(__file__)} {name} "$@"\n')
        command.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def sbatch(script: str) -> None:
    """Start every task of an array in the background, and say the array's number."""
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", Path(script).read_text(), re.MULTILINE))
    last = int(options["array"].partition("%")[0].removeprefix("0-"))
    for task in range(last + 1):
        own = {"ARRAY_JOB_ID": ARRAY, "ARRAY_TASK_ID": task, "JOB_ID": 7001 + task, "NTASKS": 1, "JOB_NUM_NODES": 1}
        own |= {"NODEID": 0, "PROCID": 0, "LOCALID": 0}
        (output,) = shlex.split(options["output"])
        with open(output.replace("%A", ARRAY).replace("%a", str(task)), "a") as said:
            environment = os.environ | {f"SLURM_{key}": str(value) for key, value in own.items()}
            subprocess.Popen(["bash", script], env=environment, stdout=said, stderr=said, start_new_session=True)
    print(f"Submitted batch job {ARRAY}")


def srun(*words: str) -> None:
    """Run a command in place of this process, its output where `--output` and `--error` say."""
    given = list(words)
    while given[0].startswith("--"):
        option = given.pop(0)
        if option in ("--output", "--error"):
            name = given.pop(0).replace("%A", ARRAY).replace("%a", os.environ["SLURM_ARRAY_TASK_ID"]).replace("%t", "0")
            to = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(to, {"--output": 1, "--error": 2}[option])
    os.execvp(given[0], given)


def sacct(*words: str) -> None:
    """Nothing is known of any job yet: what it left tells when it is done."""
    print("JobID|State|NodeList")


if __name__ == "__main__":
    {"sbatch": sbatch, "srun": srun, "sacct": sacct}[sys.argv[1]](*sys.argv[2:])
