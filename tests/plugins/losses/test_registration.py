import pytest

import mftkit_plugins.losses
from mftkit.plugins import installed, kinds


def test_the_losses_and_the_default() -> None:
    registered = []
    mftkit_plugins.losses.register_losses(
        lambda name, target, **about: registered.append((name, target, about))
    )
    assert {name for name, _, _ in registered} == {
        "token-balanced",
        "sample-balanced",
        "sample-focal",
        "task-focal",
        "mixed",
    }
    assert [name for name, _, about in registered if about.get("default")] == ["token-balanced"]
    assert all(about["summary"] for _, _, about in registered)
    assert all(isinstance(target, str) for _, target, _ in registered)


@pytest.mark.parametrize("name", ["token-balanced", "sample-balanced", "mixed"])
def test_losses_without_options_refuse_any(name: str) -> None:
    with pytest.raises(ValueError, match="gamma"):
        installed.build(kinds.LOSS, name, {"gamma": 1.0})
