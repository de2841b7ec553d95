"""Checks the components that a spec names: options, packages, keys of services, executors, validation rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.optional_packages import missing_packages, missing_packages_text
from mftkit.data.made.generated import GeneratedRows
from mftkit.data.task_formats import tasks_before_data
from mftkit.interfaces import AUTO
from mftkit.interfaces.balancer import Balancer
from mftkit.interfaces.mixer import Mixer
from mftkit.plugins import installed, kinds
from mftkit.plugins.executors import choose_executor
from mftkit.plugins.option_files import MISSING, file_digests, option_components
from mftkit.plugins.ownership import plugin_suffix
from mftkit.reporting.reporter import Reporter
from mftkit.spec.references import located_components
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.data.made.generated import Role
    from mftkit.interfaces.component import Component
    from mftkit.interfaces.references import ComponentRef
    from mftkit.spec import Spec
    from mftkit.spec.positions import Location
    from mftkit.tools.spec_check.findings import Findings
    from mftkit_registry import Kind


def check_components(spec: Spec, findings: Findings) -> None:
    """Check every component that the spec names, and those that their options name."""
    for at, kind, ref in located_components(spec):
        if ref.name == AUTO and AUTO in kind.reserved:
            continue
        component = _built(spec, at, kind, ref, findings)
        if component is None or _is_made(spec, at, kind):
            continue
        _check(at, ref, component, findings)
        for place, inner_kind, inner in option_components(component.options):
            inner_at = (*at, "options", *place)
            if inner_kind.name == kinds.EXECUTOR.name:
                _check_executor(inner_at, inner, findings)
            elif (model := _built(spec, inner_at, inner_kind, inner, findings)) is not None:
                _check(inner_at, inner, model, findings)


def _built(
    spec: Spec, at: Location, kind: Kind[Component], ref: ComponentRef, findings: Findings
) -> Component | None:
    """The component as a run makes it before it has read any data; None if it cannot be made then."""
    try:
        return installed.build(kind, ref.name, ref.options, tasks_before_data(spec.tasks))
    except MftError as error:
        findings.error(at, str(error))
    except Exception as error:  # of a component that expects tasks with samples
        findings.unchecked(at, f"{ref.name} cannot be made without data: {type(error).__name__}: {error}")
    return None


def _is_made(spec: Spec, at: Location, kind: Kind[Component]) -> bool:
    """Whether a generator's rows are all in the cache, so that it is not used."""
    if kind.name != kinds.DATA_GENERATOR.name or at[-1] != "generator":
        return False
    role: Role = "validation" if "valid" in at else "training"
    return GeneratedRows(spec, spec.tasks[int(at[1])], Reporter(), role).is_complete()


def _check(at: Location, ref: ComponentRef, component: Component, findings: Findings) -> None:
    """Report missing packages, and what the component itself finds out."""
    missing = missing_packages(component.packages)
    if missing:
        findings.error(at, f"{ref.name} cannot be used: {missing_packages_text(missing)}")
        return
    try:
        problems = list(component.preflight())
    except Exception as error:  # of a plugin; a run does not call it
        findings.warn(
            at, f"{ref.name}: preflight failed: {type(error).__name__}: {error}{plugin_suffix(component)}"
        )
        problems = []
    for problem in problems:
        findings.error(at, problem)
    texts = " ".join(problems)
    for place, path in _missing_files(component):
        if path not in texts:
            findings.warn((*at, "options", *place), f"{path} does not exist")


def _missing_files(component: Component) -> Iterator[tuple[tuple[str, ...], str]]:
    """Files and directories that options name as input and that do not exist."""
    for place, digest in file_digests(component.options).items():
        if digest == MISSING:
            value: object = component.options
            for key in place.split("."):
                value = value[int(key)] if isinstance(value, list | tuple) else getattr(value, key, None)
            if value is not None:
                yield tuple(place.split(".")), str(value)


def _check_executor(at: Location, ref: ComponentRef, findings: Findings) -> None:
    try:
        choose_executor(ref, lambda _line: None)
    except MftError as error:
        if "--allow-weak-isolation" in str(error):  # the user may give it to the run
            findings.warn(at, str(error))
        else:
            findings.error(at, str(error))


def check_validation(spec: Spec, findings: Findings) -> None:
    """Report a balancer or a mixer that needs validation rows where a task has none."""
    without = [task.name for task in spec.tasks if not task.validates]
    if not without:
        return
    _check_validation_of_mixer(spec, without, findings)
    name = spec.balancer.name
    try:
        balancer = installed.build(kinds.BALANCER, name, spec.balancer.options, tasks_before_data(spec.tasks))
    except Exception:  # reported by ``check_components``
        return
    if isinstance(balancer, Balancer) and balancer.needs_validation:
        findings.error(
            ("balancer",),
            f"{name} needs validation samples, and these tasks have none: {', '.join(without)}. "
            "Set tasks[].valid.",
        )


def _check_validation_of_mixer(spec: Spec, without: list[str], findings: Findings) -> None:
    if spec.mixing is None or spec.mixing.mixer is None:
        return
    ref = spec.mixing.mixer
    try:
        mixer = installed.build(kinds.MIXER, ref.name, ref.options, tasks_before_data(spec.tasks))
    except Exception:  # reported by ``check_components``
        return
    if isinstance(mixer, Mixer) and mixer.changes and mixer.validation_samples:
        findings.error(
            ("mixing", "mixer"),
            f"{ref.name} needs validation samples, and these tasks have none: {', '.join(without)}. "
            "Set tasks[].valid.",
        )
