"""Wrong programs that cheat fail, whatever they reach for; so do they under an executor that isolates weakly."""

from __future__ import annotations

import pytest

import mftkit
from mftkit_plugins.executors.bubblewrap import Bubblewrap
from mftkit_plugins.executors.rlimits import Rlimits
from mftkit_plugins.program_tests import TestedProgram, run_tests

LIMITS = mftkit.Limits(seconds=4.0)
TESTS = "assert double(3) == 6\n\ndef test_more():\n    assert double(5) == 10\n    assert double(0) == 0\n"
WRONG = "def double(x):\n    return x\n"
EQUAL = "    __hash__ = {0}.__hash__\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"

FORGERIES = {
    "rewrites the tests": f"import glob\nfor path in glob.glob('**/*.py', recursive=True):\n    open(path, 'w').write('')\n{WRONG}",
    "unlinks the tests": f"import glob, os\nfor path in glob.glob('*'):\n    os.unlink(path)\n{WRONG}",
    "replaces exec": f"import builtins\nbuiltins.exec = lambda *a, **k: None\n{WRONG}",
    "replaces compile": f"import builtins\nreal = compile\nbuiltins.compile = lambda s, *a, **k: real('', *a, **k)\n{WRONG}",
    "reads frames": f"import sys\nf = sys._getframe()\nwhile f:\n    for k, v in list(f.f_locals.items()):\n        if isinstance(v, str): print(v, file=sys.__stderr__)\n    f = f.f_back\n{WRONG}sys.exit(0)\n",
    "rewinds its input": f"import os\ntry:\n    os.lseek(0, 0, 0)\n    word = os.read(0, 10 ** 6)\n    os.write(1, word)\n    os.write(2, word)\nexcept OSError: pass\n{WRONG}",
    "asks the garbage collector": f"import gc\nfor o in gc.get_objects():\n    if isinstance(o, dict) and 'account' in o: o['account'] = None\n{WRONG}",
    "traces": f"import sys\ndef trace(frame, event, arg):\n    frame.f_trace_lines = False\n    return trace\nsys.settrace(trace)\n{WRONG}",
    "ends well at exit": f"import atexit, os\natexit.register(lambda: os._exit(0))\n{WRONG}",
    "hooks exceptions": f"import os, sys\nsys.excepthook = lambda *a: os._exit(0)\n{WRONG}",
    "raises SkipTest": "import unittest\ndef double(x):\n    raise unittest.SkipTest('no')\n",
    "is SkipTest": "class SkipTest(Exception): pass\ndef double(x):\n    raise SkipTest('no')\n",
    "raises pytest's skip": "import pytest\ndef double(x):\n    pytest.skip('no')\n",
    "looks into the tests": "import re, sys\ndef double(x):\n    text = open('tests.py').read() if 0 else getattr(sys.modules.get('tests'), '__source__', '')\n    m = re.search(rf'double.{x}. == (\\d+)', text)\n    return int(m[1])\n",
    "equals everything": f"class Any:\n{EQUAL}def double(x):\n    return Any()\n",
    "an int that equals everything": f"class Any(int):\n{EQUAL}def double(x):\n    return Any(1)\n",
    "a text that equals everything": f"class Any(str):\n{EQUAL}def double(x):\n    return Any('a')\n",
    "a list that equals everything": f"class Any(list):\n{EQUAL}def double(x):\n    return Any()\n",
    "a tuple with a false iterator": "class Any(tuple):\n    def __iter__(self): return iter((6,))\n    def __eq__(self, o): return True\n    __hash__ = tuple.__hash__\ndef double(x):\n    return Any((1,))\n",
    "a false class": "class Any:\n    __class__ = int\n    def __eq__(self, o): return True\ndef double(x):\n    return Any()\n",
    "sys.exit": "import sys\ndef double(x):\n    sys.exit(0)\n",
    "KeyboardInterrupt": "def double(x):\n    raise KeyboardInterrupt\n",
    "StopIteration": "def double(x):\n    raise StopIteration\n",
    "os._exit": "import os\ndef double(x):\n    os._exit(0)\n",
    "forks": f"import os\nif os.fork():\n    os._exit(0)\n{WRONG}",
    "writes a verdict": f"import json, os\nV = 'V' + json.dumps({{'cannot': '', 'dead': '', 'loaded': True, 'errors': [], 'failed': 0, 'passed': 9, 'assertions': 3, 'assertions_failed': 0, 'not_run': [], 'objects': False}}) + '\\n'\nfor fd in range(1, 20):\n    try: os.write(fd, V.encode())\n    except OSError: pass\n{WRONG}",
    "answers early": "import os, threading\nA = b'{\"v\": true, \"m\": {}}\\n' * 50\nfor fd in range(3, 20):\n    try: os.write(fd, A)\n    except OSError: pass\ndef double(x): return x\n",
    "replaces json": f"import json\njson.dumps = lambda *a, **k: '{{\"v\": true}}'\n{WRONG}",
    "patches int.__eq__": f"import ctypes, builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.bool = lambda *a: True\n{WRONG}",
    "replaces AssertionError": f"import builtins\nclass Never(Exception):\n    def __new__(cls, *a): return KeyError()\nbuiltins.AssertionError = Never\n{WRONG}",
    "kills": f"import os, signal\nfor pid in range(2, 60):\n    try:\n        if pid != os.getpid(): os.kill(pid, 9)\n    except OSError: pass\n{WRONG}",
    "reads memory": "import glob, re\ndef double(x):\n    for path in glob.glob('/proc/[0-9]*/mem') + glob.glob('/proc/[0-9]*/cmdline'):\n        try: text = open(path, 'rb').read(10 ** 6).decode(errors='ignore')\n        except OSError: continue\n        m = re.search(rf'double.{x}. == (\\d+)', text)\n        if m: return int(m[1])\n    return x\n",
    "a time bomb": "import time\ndef double(x):\n    time.sleep(60)\n",
    "asks for what it may not": "import sys\ndef double(x):\n    f = sys._getframe()\n    while f:\n        peer = f.f_locals.get('peer')\n        if peer is not None:\n            for number in range(20):\n                try: peer.request('load', 'x = 1')\n                except Exception: pass\n        f = f.f_back\n    return x\n",
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_fails(name: str) -> None:
    executor = Bubblewrap(Bubblewrap.Options())
    if executor.unavailable():
        pytest.skip("no bubblewrap")
    result = run_tests(TestedProgram(FORGERIES[name], TESTS), executor, LIMITS)
    assert not result.passed
    assert result.reason


@pytest.mark.parametrize("name", ["unlinks the tests", "writes a verdict", "kills", "reads memory"])
def test_a_forgery_fails_under_weak_isolation(name: str) -> None:
    result = run_tests(TestedProgram(FORGERIES[name], TESTS), Rlimits(mftkit.Options()), LIMITS)
    assert not result.passed


def test_a_callback_shows_nothing_of_the_tests() -> None:
    program = (
        "def apply(f, x):\n"
        "    for name in ('__globals__', '__code__', '__closure__', '_peer', 'f_back'):\n"
        "        try:\n"
        "            found = getattr(object.__getattribute__(f, '_mft_peer'), name)\n"
        "        except Exception:\n"
        "            pass\n"
        "    from mftkit_plugins.program_tests.sandbox import proxies\n"
        "    try:\n"
        "        return proxies.PEER[0].request('getattr', f, '__globals__')['EXPECTED']\n"
        "    except PermissionError:\n"
        "        return None\n"
    )
    tests = "EXPECTED = 6\nassert apply(lambda x: 2 * x, 3) == EXPECTED\n"
    result = run_tests(TestedProgram(program, tests), Rlimits(mftkit.Options()), LIMITS)
    assert not result.passed
    honest = "def apply(f, x):\n    return f(x)\n"
    assert run_tests(TestedProgram(honest, tests), Rlimits(mftkit.Options()), LIMITS).passed
