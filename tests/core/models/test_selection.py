from collections.abc import Callable
from typing import Any

import pytest

from fixture_types import Install
from mftkit import MftError, ModelAdapter
from mftkit.models import select_adapter
from mftkit.plugins import installed
from mftkit_registry.kinds import Kind
from recorder import Recorder


class Registered:
    """A registry of the adapters given."""

    def __init__(self, **adapters: Any) -> None:
        self.adapters = adapters

    def names(self, kind: str) -> tuple[str, ...]:
        return tuple(self.adapters)

    def get(self, kind: Kind[Any] | str, name: str) -> Any:
        if name not in self.adapters:
            raise MftError(f"no {name}")
        return self

    distribution = "some-package"

    def build(
        self,
        kind: Kind[Any],
        name: str,
        options: dict[str, Any] | None = None,
        tasks: tuple[Any, ...] = (),
        directory: Any = None,
    ) -> "Ranking | None":
        self.get(kind, name)
        adapter = self.adapters[name]
        if isinstance(adapter, Exception):
            raise adapter
        assert isinstance(adapter, Ranking)
        return adapter


class Ranking(ModelAdapter):
    def __init__(self, rank: Callable[..., Any] | int) -> None:
        super().__init__(self.Options())
        self.rank = rank

    def matches(self, config: dict[str, Any]) -> Any:
        return self.rank(config) if callable(self.rank) else self.rank


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(**adapters: Any) -> None:
        registered = Registered(**adapters)
        monkeypatch.setattr(installed, "registry", lambda: registered)
        monkeypatch.setattr(installed, "build", registered.build)

    return install


def test_the_best_match_is_chosen(install: Install) -> None:
    install(fallback=Ranking(1), exact=Ranking(3), family=Ranking(2), other=Ranking(0))
    name, adapter = select_adapter({"model_type": "x"})
    assert isinstance(adapter, Ranking)
    assert (name, adapter.rank) == ("exact", 3)


def test_a_tie_of_the_best_names_both(install: Install) -> None:
    install(one=Ranking(2), fallback=Ranking(1), two=Ranking(2))
    with pytest.raises(
        MftError, match=r"one \(some-package\) and two \(some-package\) match model type 'x' equally"
    ):
        select_adapter({"model_type": "x"})


def test_no_match_is_reported(install: Install) -> None:
    install(one=Ranking(0))
    with pytest.raises(MftError, match="no installed adapter supports model type 'x' \\(XForCausalLM\\)"):
        select_adapter({"model_type": "x", "architectures": ["XForCausalLM"]})
    with pytest.raises(MftError, match="comes with its own code"):
        select_adapter({"model_type": "x", "auto_map": {"AutoModel": "modeling.X"}})


def test_a_named_adapter_is_used_where_it_matches(install: Install) -> None:
    install(one=Ranking(1), two=Ranking(3))
    assert select_adapter({}, "one")[0] == "one"
    with pytest.raises(MftError, match="no three"):
        select_adapter({}, "three")


def test_a_named_adapter_that_does_not_match_is_refused_with_those_that_do(install: Install) -> None:
    install(one=Ranking(0), low=Ranking(1), high=Ranking(2))
    with pytest.raises(MftError, match="one does not support model type None; these do: high, low"):
        select_adapter({}, "one")


def test_a_broken_adapter_hurts_only_who_names_it(install: Install) -> None:
    def fails(config: dict[str, Any]) -> None:
        raise KeyError("hidden_size")

    install(broken=ImportError("no module named x"), raising=Ranking(fails), good=Ranking(1))
    recorder = Recorder()
    assert select_adapter({}, reporter=recorder)[0] == "good"
    assert len(recorder.warnings) == 2
    assert "broken (some-package) was skipped: ImportError: no module named x" in recorder.warnings[0]
    with pytest.raises(ImportError):
        select_adapter({}, "broken")
