"""The first program of both processes: takes the other sources from the line, never from a file, and runs one."""

import contextlib
import ctypes
import json
import os
import sys
import types

with contextlib.suppress(OSError, AttributeError):
    # PR_SET_DUMPABLE: no process of the same user may read this one's memory.
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)  # here, not in a module that the program outside imports, too
line_in, line_out = os.fdopen(os.dup(0), "r", encoding="ascii"), os.fdopen(os.dup(1), "w", encoding="utf-8")
nothing = os.open(os.devnull, os.O_RDONLY)
os.dup2(nothing, 0)
os.dup2(2, 1)


def write(line: str) -> None:
    """Write a line at once."""
    line_out.write(line + "\n")
    line_out.flush()


given = json.loads(line_in.readline())
PACKAGE = "mftkit_plugins.program_tests.sandbox"
package = sys.modules[PACKAGE] = types.ModuleType(PACKAGE)
for name, source in given["sources"].items():
    module = sys.modules[f"{PACKAGE}.{name}"] = types.ModuleType(f"{PACKAGE}.{name}")
    setattr(package, name, module)
    exec(compile(source, name + ".py", "exec"), module.__dict__)
getattr(package, given["main"]).main(line_in.readline, write)
