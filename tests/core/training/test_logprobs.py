import itertools
from typing import Any, cast

import pytest
import torch

from mftkit.interfaces.model import Head
from mftkit.training import logprobs
from mftkit.training.chunk_softmax import InPlaceSoftmax
from mftkit.training.compiling import lacking_compiler
from mftkit.training.logprobs import draw_tokens, token_logprobs

TOKENS, HIDDEN, VOCABULARY = 11, 6, 13
HEADS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bias": {"bias": True},
    "scale": {"scale": 0.7},
    "soft cap": {"soft_cap": 1.5},
    "normalized": {"normalized": True},
    "everything": {"bias": True, "scale": 1.3, "soft_cap": 2.0, "normalized": True},
}


def full(hidden: torch.Tensor, targets: torch.Tensor, head: Head) -> torch.Tensor:
    weight = head.weight
    if head.normalized:
        weight = weight / weight.square().sum(1, keepdim=True).sqrt()
    logits = hidden @ weight.T
    if head.bias is not None:
        logits = logits + head.bias
    logits = head.scale * logits
    if head.soft_cap is not None:
        logits = head.soft_cap * torch.tanh(logits / head.soft_cap)
    return torch.log_softmax(logits, -1)[torch.arange(len(targets)), targets]


def problem(
    kind: str,
    dtype: torch.dtype = torch.float64,
    tokens: int = TOKENS,
    trained: tuple[str, ...] = ("hidden", "weight", "bias"),
) -> tuple[torch.Tensor, torch.Tensor, Head]:
    generator = torch.Generator().manual_seed(5)

    def normal(*shape: int, name: str) -> torch.Tensor:
        values = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        return values.requires_grad_(name in trained)

    options = dict(HEADS[kind])
    hidden = normal(tokens, HIDDEN, name="hidden")
    weight = normal(VOCABULARY, HIDDEN, name="weight")
    bias = normal(VOCABULARY, name="bias") if options.pop("bias", False) else None
    targets = torch.randint(VOCABULARY, (tokens,), generator=generator)
    return hidden, targets, Head(weight, bias, **options)


def gradients(values: torch.Tensor, tensors: list[Any] | tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
    factors = torch.linspace(-1, 2, len(values), dtype=values.dtype)
    trained = [tensor for tensor in tensors if tensor is not None and tensor.requires_grad]
    return torch.autograd.grad((factors * values).sum(), trained)


@pytest.mark.parametrize("chunk", [1, 4, TOKENS, None])
@pytest.mark.parametrize("kind", HEADS)
def test_values_and_gradients_are_those_of_full_logits(kind: str, chunk: int | None) -> None:
    hidden, targets, head = problem(kind)
    expected = full(hidden, targets, head)
    found = token_logprobs(hidden, targets, head, chunk)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    inputs = (hidden, head.weight, head.bias)
    torch.testing.assert_close(gradients(found, inputs), gradients(expected, inputs), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", HEADS)
def test_gradcheck(kind: str) -> None:
    hidden, targets, head = problem(kind, tokens=5)
    inputs = [hidden, head.weight] + ([] if head.bias is None else [head.bias])

    def function(
        hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        return token_logprobs(
            hidden, targets, Head(weight, bias, head.scale, head.soft_cap, head.normalized), chunk=2
        )

    assert torch.autograd.gradcheck(function, inputs)
    head.weight.requires_grad_(False)
    assert torch.autograd.gradcheck(lambda hidden: function(hidden, *inputs[1:]), [hidden])


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize(
    "trained", [t for n in (1, 2) for t in itertools.combinations(("hidden", "weight", "bias"), n)]
)
def test_only_what_is_trained_gets_a_gradient(kind: str, trained: tuple[str, ...]) -> None:
    hidden, targets, head = problem(kind, trained=trained)
    inputs = [hidden, head.weight, head.bias]
    if not any(tensor is not None and tensor.requires_grad for tensor in inputs):
        assert not token_logprobs(hidden, targets, head).requires_grad
        return
    expected = gradients(full(hidden, targets, head), inputs)
    found = gradients(token_logprobs(hidden, targets, head, 3), inputs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_float32_is_near_float64() -> None:
    hidden, targets, head = problem("everything", torch.float32, tokens=50)
    found = token_logprobs(hidden, targets, head, 7)
    assert found.dtype == torch.float32
    assert head.bias is not None
    wide = [tensor.detach().double().requires_grad_() for tensor in (hidden, head.weight, head.bias)]
    expected = full(wide[0], targets, Head(wide[1], wide[2], head.scale, head.soft_cap, head.normalized))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    for mine, reference in zip(
        gradients(found, (hidden, head.weight, head.bias)), gradients(expected, wide), strict=True
    ):
        torch.testing.assert_close(mine.double(), reference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("trained", [("hidden", "weight"), ("hidden",)])
@pytest.mark.parametrize("narrow", ["both", "hidden", "weight", "autocast"])
def test_narrow_matrix_products_and_wide_sums(
    dtype: torch.dtype, trained: tuple[str, ...], narrow: str
) -> None:
    hidden, targets, head = problem("plain", torch.float32, tokens=64, trained=())
    if narrow in ("both", "hidden"):
        hidden = hidden.to(dtype)
    if narrow in ("both", "weight"):
        head = Head(head.weight.to(dtype))
    hidden.requires_grad_()
    head.weight.requires_grad_("weight" in trained)
    with torch.autocast("cpu", dtype=dtype, enabled=narrow == "autocast"):
        found = token_logprobs(hidden, targets, head, 8)
    assert found.dtype == torch.float32
    wide = [tensor.detach().double() for tensor in (hidden, head.weight)]
    wide = [
        tensor.requires_grad_(mine.requires_grad)
        for tensor, mine in zip(wide, (hidden, head.weight), strict=True)
    ]
    logits = (hidden.to(dtype) @ head.weight.to(dtype).T).double()
    same_logits = torch.log_softmax(logits, -1)[torch.arange(64), targets]
    torch.testing.assert_close(found.double(), same_logits, rtol=1e-5, atol=1e-6)  # softmax in float32
    coarse = 2 * torch.finfo(dtype).eps
    mine, reference = (
        gradients(found, (hidden, head.weight)),
        gradients(full(wide[0], targets, Head(wide[1])), wide),
    )
    for tensor, narrow_gradient, wide_gradient in zip((hidden, head.weight), mine, reference, strict=False):
        assert narrow_gradient.dtype == tensor.dtype
        error = (narrow_gradient.double() - wide_gradient).norm() / wide_gradient.norm()
        assert error < coarse


def test_autocast_around_the_backward_pass_changes_nothing() -> None:
    results = []
    for enabled in (False, True):
        hidden, targets, head = problem("everything", torch.float32)
        found = token_logprobs(hidden, targets, head, 4)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            found.sum().backward()
        assert head.bias is not None
        results.append([hidden.grad, head.weight.grad, head.bias.grad])
    for plain, narrow in zip(*results, strict=True):
        assert torch.equal(plain, narrow)


def test_autocast_leaves_float64_alone() -> None:
    hidden, targets, head = problem("bias")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = token_logprobs(hidden, targets, head)
    torch.testing.assert_close(found, full(hidden, targets, head), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("trained", [("hidden", "weight", "bias"), ("hidden",)])
def test_no_tokens_give_zero_gradients(trained: tuple[str, ...]) -> None:
    hidden, _, head = problem("everything", torch.float32, tokens=0, trained=trained)
    found = token_logprobs(hidden, torch.empty(0, dtype=torch.int64), head)
    assert found.shape == (0,)
    found.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.shape == hidden.shape
    for tensor in (head.weight, head.bias):
        if tensor is not None and tensor.requires_grad:
            assert tensor.grad is not None
            assert torch.equal(tensor.grad, torch.zeros_like(tensor))


def test_certain_and_hopeless_tokens_keep_their_digits() -> None:
    weight = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    hidden = torch.tensor([[7.0], [30.0], [-500.0]], requires_grad=True)
    found = token_logprobs(hidden, torch.tensor([0, 0, 0]), Head(weight, torch.tensor([128.0, 128.0])))
    expected = -torch.log1p(torch.exp(torch.tensor([-14.0, -60.0], dtype=torch.float64)))
    # The logits are near 128, where float32 has steps of 1.5e-5: the largest must be taken off first.
    torch.testing.assert_close(found[:2].double(), expected, rtol=0, atol=1e-7)
    assert float(found[2].detach()) == -1000.0
    assert (found <= 0).all()
    found.sum().backward()
    assert hidden.grad is not None
    assert torch.isfinite(hidden.grad).all()


@pytest.mark.parametrize("trained", [("hidden", "weight"), ("hidden",)])
def test_no_tensor_of_tokens_by_vocabulary(monkeypatch: pytest.MonkeyPatch, trained: tuple[str, ...]) -> None:
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(
            self,
            function: Any,
            types: tuple[type[Any], ...],
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> Any:
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, (tuple, list)) else [result]:
                if isinstance(tensor, torch.Tensor):
                    largest = max(largest, tensor.numel())
            return result

    monkeypatch.setattr(logprobs, "LOGITS_IN_CHUNK", 1)
    monkeypatch.setattr(logprobs, "FEWEST_TOKENS", 4)
    hidden, targets, head = problem("everything", torch.float32, tokens=400, trained=trained)
    with Watch():
        token_logprobs(hidden, targets, head).sum().backward()
    assert largest <= max(2 * 4 * VOCABULARY, hidden.numel())
    assert largest < 400 * VOCABULARY


def test_tokens_are_drawn_from_the_softmax() -> None:
    """By the head's scale and cap, in chunks, and the same by the same seed."""
    hidden = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).repeat_interleave(4000, 0)
    bias = torch.tensor([0.5, 0.0, -1.0])
    head = Head(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), bias, 2.0, 3.0)
    drawn = draw_tokens(hidden, head, torch.Generator().manual_seed(0), chunk=700)
    for part, row in ((drawn[:4000], hidden[0]), (drawn[4000:], hidden[-1])):
        logits = 3.0 * torch.tanh((head.weight @ row + bias) * 2.0 / 3.0)
        assert torch.allclose(part.bincount(minlength=3) / 4000, logits.softmax(-1), atol=0.03)
    assert torch.equal(drawn, draw_tokens(hidden, head, torch.Generator().manual_seed(0), chunk=700))


def known(values: torch.Tensor) -> torch.Tensor:
    """The gradient that will come back."""
    return torch.linspace(-1, 2, len(values), dtype=values.dtype)


def gradients_by(values: torch.Tensor, factors: torch.Tensor, tensors: tuple[Any, ...]) -> Any:
    trained = [tensor for tensor in tensors if tensor is not None and tensor.requires_grad]
    return torch.autograd.grad((factors * values).sum(), trained)


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("trained", [("hidden", "weight", "bias"), ("weight", "bias"), ("hidden",)])
@pytest.mark.parametrize("kind", HEADS)
def test_gradients_are_those_of_full_logits(kind: str, trained: tuple[str, ...], scale: float) -> None:
    """Also if the objective is multiplied on its way back, as data parallelism does; and a frozen head ignores it."""
    hidden, targets, head = problem(kind, trained=trained)
    expected = full(hidden, targets, head)
    factors = known(hidden[:, 0].detach())
    found = token_logprobs(hidden, targets, head, 4, factors)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    inputs = (hidden, head.weight, head.bias)
    torch.testing.assert_close(
        gradients_by(found, scale * factors, inputs),
        gradients_by(expected, scale * factors, inputs),
        rtol=1e-12,
        atol=1e-13,
    )


def test_a_tied_head_gets_both_gradients() -> None:
    """The embedding of the inputs is the head's weight, so its gradient has two parts."""
    found = []
    for factors in (None, torch.linspace(-1, 2, 11, dtype=torch.float64)):
        hidden, targets, head = problem("plain", trained=("weight",))
        states = torch.tanh(head.weight[targets.flip(0)]) + hidden
        values = token_logprobs(states, targets, head, 4, factors)
        found.append(torch.autograd.grad((known(values) * values).sum(), head.weight)[0])
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_products_are_as_near_as_without(dtype: torch.dtype) -> None:
    errors = []
    for is_known in (False, True):
        hidden, targets, head = problem("everything", torch.float32, tokens=64)
        factors = known(hidden[:, 0].detach())
        with torch.autocast("cpu", dtype=dtype):
            values = token_logprobs(hidden, targets, head, 8, factors if is_known else None)
        assert head.bias is not None
        inputs = (hidden, head.weight, head.bias)
        mine = gradients_by(values, factors, inputs)
        wide = [tensor.detach().double().requires_grad_() for tensor in inputs]
        right = full(wide[0], targets, Head(wide[1], wide[2], head.scale, head.soft_cap, normalized=True))
        reference = gradients_by(right, factors.double(), tuple(wide))
        errors.append(
            [float((a.double() - b).norm() / b.norm()) for a, b in zip(mine, reference, strict=True)]
        )
    assert errors[1] == pytest.approx(errors[0], rel=0.2)
    assert max(errors[1]) < 4 * torch.finfo(dtype).eps


def test_no_logits_in_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, targets, head = problem("plain")
    values = token_logprobs(hidden, targets, head, 4, known(hidden[:, 0].detach()))
    monkeypatch.setattr(InPlaceSoftmax, "logits", None)
    (known(values) * values).sum().backward()


def test_the_weights_gradient_is_not_copied() -> None:
    hidden, targets, head = problem("plain")
    values = token_logprobs(hidden, targets, head, 4, known(hidden[:, 0].detach()))
    formed = values.grad_fn.formed[1].data_ptr()  # type: ignore[union-attr]
    (known(values) * values).sum().backward()
    assert head.weight.grad is not None
    assert head.weight.grad.data_ptr() == formed


def test_another_gradient_than_the_known_one_is_refused() -> None:
    """By numbers that are not finite: the step is then left out, and no host waits for a device."""
    hidden, targets, head = problem("plain")
    values = token_logprobs(hidden, targets, head, 4, known(hidden[:, 0].detach()))
    values.square().sum().backward()
    for tensor in (hidden, head.weight):
        assert tensor.grad is not None
        assert tensor.grad.isnan().all()


@pytest.mark.parametrize("tokens", [0, 7])
def test_nothing_that_weighs_gives_zeros(tokens: int) -> None:
    hidden, targets, head = problem("bias", torch.float32, tokens=tokens)
    values = token_logprobs(hidden, targets, head, 4, torch.zeros(tokens))
    (0 * values).sum().backward()
    for tensor in (hidden, head.weight, head.bias):
        assert tensor is not None
        assert torch.equal(cast(Any, tensor.grad), torch.zeros_like(tensor))


# Of torch's own import of its compiler.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize(("kind", "dtype"), [("everything", torch.float64), ("plain", torch.bfloat16)])
def test_compiled_kernels_give_the_same(kind: str, dtype: torch.dtype) -> None:
    """With a smaller last chunk, with the gradient known before and not, and with a frozen head."""
    if lacking := lacking_compiler(torch.device("cpu")):
        pytest.skip(lacking)
    atol = 1e-12 if dtype == torch.float64 else 2e-2
    for trained in (("hidden", "weight", "bias"), ("hidden",)):
        for is_known in (False, True):
            found = []
            for compiled in (True, False):
                hidden, targets, head = problem(kind, dtype, trained=trained)
                factors = known(hidden[:, 0].detach())
                values = token_logprobs(
                    hidden, targets, head, 4, factors if is_known else None, compiled=compiled
                )
                tensors = (hidden, head.weight, head.bias)
                found.append([values.detach(), *gradients_by(values, factors, tensors)])
            for one, other in zip(*found, strict=True):
                assert one.dtype == other.dtype
                torch.testing.assert_close(one, other, rtol=atol, atol=atol)
