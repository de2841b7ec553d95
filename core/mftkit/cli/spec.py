"""``mft spec``: checks a spec, and prints what a spec may hold."""

import json

import typer

from mftkit.cli.arguments import Overrides, SpecFile
from mftkit.cli.console import result, tell

app = typer.Typer(help="Check specs.", no_args_is_help=True)


@app.command()
def check(spec: SpecFile, overrides: Overrides = None) -> None:
    """Check SPEC; nothing of it is run."""
    from mftkit.spec import load_spec

    read = load_spec(spec, overrides or ())
    tasks = ", ".join(task.name for task in read.tasks)
    result(f"{spec}: nothing wrong: run {read.name}, tasks {tasks}, output {read.output}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a spec, with the options of each installed component."""
    from mftkit.spec.schema import json_schema

    result(json.dumps(json_schema(lambda message: tell(f"warning: {message}")), indent=2, ensure_ascii=False))
