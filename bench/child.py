"""Parts of a benchmark in new processes: for their peak memory, and for what a library changes in a whole process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_CALL = """
import importlib, json, os, sys
output = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)   # what libraries print is no result
module, function, arguments = sys.argv[1:4]
import torch
torch.set_num_threads(1)
found = getattr(importlib.import_module(module), function)(*json.loads(arguments))
output.write(json.dumps(found))
output.close()
"""


def in_child(module: str, function: str, *arguments: Any) -> Any:
    """What ``module.function(*arguments)`` returns in a new process with one thread. All of it must be JSON.

    Raises RuntimeError with the last line of its messages if the process fails.
    """
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _CALL, module, function, json.dumps(arguments)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **quiet, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{function}: exit code {done.returncode}: {last}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)
