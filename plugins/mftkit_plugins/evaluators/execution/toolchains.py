"""Programs of several languages, compiled and run in the sandbox."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit_plugins.evaluators.execution.sandbox import Sandbox

_DRIVER = Path(__file__).with_name("driver.py")
_GIB = 1 << 30
_SHOWN = 300
_ERROR = re.compile(r"Error\b|Exception\b|panicked|Assertion")
COMPILE_SECONDS = 30.0


@dataclass(frozen=True)
class Toolchain:
    """How programs of a language are compiled and run."""

    file: str
    run: tuple[str, ...]
    hello: str
    """A program that prints "hello": with it the toolchain is tried."""
    compile: tuple[str, ...] | None = None
    memory: int = 0
    """Bytes of address space that its runtime reserves, used or not: the limit on memory is at least this."""
    processes: int = 0


TOOLCHAINS = {
    "python": Toolchain("main.py", ("python", "main.py"), "print('hello')"),
    "cpp": Toolchain(
        "main.cpp",
        ("./main",),
        '#include <iostream>\nint main() { std::cout << "hello\\n"; }\n',
        ("g++", "-std=c++17", "main.cpp", "-o", "main"),
    ),
    "c": Toolchain(
        "main.c",
        ("./main",),
        '#include <stdio.h>\nint main(void) { puts("hello"); }\n',
        ("gcc", "main.c", "-o", "main", "-lm"),
    ),
    "java": Toolchain(
        "Main.java",
        ("java", "-XX:+UseSerialGC", "-Xmx512m", "-Xss64m", "-cp", ".", "Main"),
        'public class Main { public static void main(String[] a) { System.out.println("hello"); } }\n',
        ("javac", "-J-XX:+UseSerialGC", "-J-Xmx512m", "-encoding", "UTF-8", "Main.java"),
        memory=5 * _GIB,
        processes=128,
    ),
    "javascript": Toolchain(
        "main.js", ("node", "main.js"), "console.log('hello')\n", memory=2 * _GIB, processes=64
    ),
    "go": Toolchain(
        "main.go",
        ("./main",),
        'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("hello")\n}\n',
        ("go", "build", "-o", "main", "main.go"),
        memory=4 * _GIB,
        processes=128,
    ),
    "rust": Toolchain(
        "main.rs",
        ("./main",),
        'fn main() { println!("hello"); }\n',
        ("rustc", "-O", "main.rs", "-o", "main"),
        memory=2 * _GIB,
        processes=64,
    ),
}


@dataclass(frozen=True)
class Run:
    """What a program did with one input."""

    how: str
    """"exited", or the limit that ended it: "time", "output", "memory"; "compiler": it does not compile."""
    code: int
    out: str = ""
    err: str = ""

    @property
    def trouble(self) -> str:
        """Why it did not end well, in one line; empty if it ended with exit code 0."""
        if self.how == "exited" and self.code == 0:
            return ""
        ends = {
            "time": "it takes too long",
            "memory": "it takes too much memory",
            "output": "it prints too much",
        }
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        if self.how == "compiler":
            shown = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "")
            return f"it does not compile: {shown[:_SHOWN]}"
        named = [line for line in lines if _ERROR.search(line)] or lines
        return ends.get(self.how) or (named[-1][:_SHOWN] if named else f"it ends with exit code {self.code}")


def run_program(
    language: str, source: str, inputs: Sequence[str], sandbox: Sandbox, compile_with: Sequence[str] = ()
) -> list[Run]:
    """Compile a program once, and run it on each input in the same sandbox; the limits hold for each run."""
    tools, limits = TOOLCHAINS[language], sandbox.limits
    asked = {
        "compile": None if tools.compile is None else [*tools.compile, *compile_with],
        "compile_seconds": COMPILE_SECONDS,
        "run": tools.run,
        "source": tools.file if tools.compile is not None else None,
        "inputs": list(inputs),
        "seconds": limits.seconds,
        "output": limits.output,
    }
    files = {"driver.py": _DRIVER.read_text(encoding="utf-8"), tools.file: source}
    program = mftkit.Program(files, (mftkit.PYTHON, "driver.py"), json.dumps(asked) + "\n")
    seconds = limits.seconds * (len(inputs) + 1) + (COMPILE_SECONDS if tools.compile is not None else 0)
    wide = replace(
        limits,
        seconds=seconds,
        cpu_seconds=max(limits.cpu_seconds, int(COMPILE_SECONDS) if tools.compile is not None else 0),
        # JSON takes up to six bytes for one, and there are two outputs.
        output=12 * limits.output * (len(inputs) + 1),
        memory=max(limits.memory, tools.memory),
        processes=max(limits.processes, tools.processes),
    )
    done = sandbox.executor.run(program, wide)
    try:
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        if said["compiled"] is not None:
            return [Run("compiler", 1, err=str(said["compiled"]))] * len(inputs)
        runs = [Run(str(r["how"]), int(r["code"]), str(r["out"]), str(r["err"])) for r in said["runs"]]
    except (ValueError, LookupError, TypeError):
        how = done.how if done.how != "exited" else "ended"
        return [Run(how, done.code or 1, err=done.stderr)] * len(inputs)
    return runs if len(runs) == len(inputs) else [Run("ended", 1)] * len(inputs)


def require_toolchain(language: str, sandbox: Sandbox, name: str) -> None:
    """Raise MftError if programs of a language cannot be compiled and run in the executor; ``name``: who needs it."""
    tools = TOOLCHAINS[language]
    [done] = run_program(language, tools.hello, [""], sandbox)
    if done.out.strip() != "hello":
        needed = " and ".join(dict.fromkeys([*(tools.compile or ())[:1], tools.run[0].replace("./main", "")]))
        raise mftkit.MftError(
            f"{name}: programs in {language} cannot be run in the executor: {done.trouble or 'no output'}; install "
            f"{needed.removesuffix(' and ')} where its programs find it (in /usr), or evaluate other rows"
        )
