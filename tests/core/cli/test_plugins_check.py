"""``mft plugins check``, as a person runs it."""

import subprocess

from fixture_types import Install, Mft

LOSSES = """
import mftkit


@mftkit.hookimpl
def register_losses(register):
    register("means", Means, summary="adds means of micro-batches")
    register("square", Square, summary="promises what is not so")
    register("raises", Raises, summary="raises")
    register("equal", Square, summary="has the name of a balancer")


class Means(mftkit.Loss):
    class Options(mftkit.Options):
        scale: float = 1.0

    def statistics(self, tokens):
        s = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        s = s.index_add(0, tokens.task, -tokens.logprobs.unsqueeze(1))
        return self.options.scale * s / len(tokens.logprobs)

    def task_losses(self, totals):
        return totals.statistics[:, 0]


class Square(Means):
    linear = True

    def task_losses(self, totals):
        return totals.statistics[:, 0] ** 2


class Raises(Means):
    def statistics(self, tokens):
        raise KeyError("what")
"""


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Of the table, by check."""
    lines = [line for line in done.stdout.splitlines() if "  " in line]
    return {line.split("  ")[0]: line for line in lines[1:]}


def test_what_is_broken_is_reported_and_exits_with_one(install: Install, mft: Mft) -> None:
    site = install("mft-broken", {"broken": "mft_broken"}, {"mft_broken": LOSSES})
    done = mft("plugins", "check", "means", "--set", "scale=2", sites=(site,))
    assert done.returncode == 1, done.stderr
    rows = outcomes(done)
    assert "failed   statistics do not add over micro-batches" in rows["statistics add over splits"]
    assert "  ok  " in rows["order does not matter"]
    assert "warning  task_losses are linear in the statistics" in rows["promise linear"]
    assert "warning  no description: scale" in rows["every option is described"]
    assert done.stdout.endswith("1 failed\n")

    done = mft("plugins", "check", "square", "--kind", "losses", sites=(site,))
    assert done.returncode == 1
    assert "failed   linear is True, but" in outcomes(done)["promise linear"]

    done = mft("plugins", "check", "raises", sites=(site,))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "KeyError: 'what' (" in outcomes(done)["shapes"]
    assert "mft_broken.py:" in outcomes(done)["shapes"]


def test_names_and_options_that_are_wrong_exit_with_two(install: Install, mft: Mft) -> None:
    site = install("mft-broken", {"broken": "mft_broken"}, {"mft_broken": LOSSES})
    for arguments, message in (
        (("mean",), 'unknown component "mean"; allowed: '),
        (("means", "--kind", "balancer"), 'unknown balancer "means"'),
        (("equal",), '"equal" is the name of a loss and of a balancer: choose one with --kind'),
        (("means", "--set", "scal=1"), 'options: scal: unknown key (given: 1); allowed: "scale"'),
        (("means", "--config", "none.json"), "--config none.json: cannot be read"),
    ):
        done = mft("plugins", "check", *arguments, sites=(site,))
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert message in done.stderr


def test_what_is_well_exits_with_zero(mft: Mft) -> None:
    done = mft("plugins", "check", "equal")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("passed, 0 of them with a warning; 0 failed\n")
