"""A long native call in a thread: its result, its error, and a signal meanwhile."""

import signal
import subprocess
import sys
import time

import pytest

from mftkit.base.native_calls import in_thread

STUCK = """
import sys, time
from mftkit.cli.entry import _signals_raised, SignalledError
from mftkit.base.native_calls import in_thread
try:
    with _signals_raised():
        print("ready", flush=True)
        in_thread(lambda: time.sleep(60))
except SignalledError as stop:
    sys.exit(128 + stop.signal)
"""


def test_the_result_and_the_error_are_those_of_the_call() -> None:
    assert in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: 1 // 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_during_the_call(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(number)
    assert process.wait(10) == 128 + number
    process.stdout.close()
