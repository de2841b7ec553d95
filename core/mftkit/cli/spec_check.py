"""``mft spec check``: every error of a spec, and of what it names, at once."""

from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.arguments import Overrides, SpecFile
from mftkit.cli.console import json_result, result, show_message
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.tools.spec_check.check import CheckedSpec


def check(
    spec: SpecFile,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as a JSON object.")] = False,
) -> None:
    """Check SPEC and what it names: model directory, tokenizer, data, components, output directory.

    No weights are read, and nothing is trained, generated or written.

    The exit code is 2 if there are errors.
    """
    from mftkit.tools.spec_check.check import check_spec

    checked = check_spec(spec, overrides or ())
    if as_json:
        json_result(checked.dump())
        if checked.errors:
            raise typer.Exit(MftError.exit_code)
        return
    _show(checked)


def _show(checked: "CheckedSpec") -> None:
    positions = checked.positions
    for finding in checked.warnings:
        show_message(f"warning: {finding.line(positions)}")
    for finding in checked.not_checked:
        show_message(f"not checked: {finding.key}: {finding.text}")
    if not checked.errors:
        spec = checked.spec
        assert spec is not None, "a spec that is not valid has errors"
        tasks = ", ".join(task.name for task in spec.tasks)
        result(f"{positions.source}: no errors found: run {spec.name}, tasks {tasks}, output {spec.output}")
        return
    lines = [finding.line(positions) for finding in checked.errors]
    if len(lines) > 1:
        lines = [f"{positions.source}: {len(lines)} errors:", *lines]
    raise MftError("\n  ".join(lines))
