"""The quadratic model of training: a reference in float64 with whole gradients, and the exact Hessian."""

import numpy as np
import torch
from torch.nn import functional

from mftkit.tools.affinity.influences import Predictor
from mftkit.tools.affinity.linear_model import quadratic_losses, update_of
from mftkit.tools.affinity.sample_gradients import SampleGradients

WORDS, INPUTS = 5, 3


class Softmax:
    """A softmax regression: its logits are linear in its weights, so its Hessian is the Fisher matrix."""

    def __init__(self, samples: int, tasks: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.task = np.arange(samples) % tasks
        self.inputs = [
            torch.tensor(random.normal(size=(int(n), INPUTS))) for n in random.integers(1, 7, samples)
        ]
        self.targets = [torch.tensor(random.integers(0, WORDS, len(x))) for x in self.inputs]
        self.weights = torch.tensor(np.random.default_rng(9).normal(0, 0.3, INPUTS * WORDS))

    def loss(self, weights: torch.Tensor, sample: int, targets: torch.Tensor) -> torch.Tensor:
        """A sample's mean loss over its tokens."""
        return functional.cross_entropy(self.inputs[sample] @ weights.view(INPUTS, WORDS), targets)

    def task_loss(self, weights: torch.Tensor, task: int) -> torch.Tensor:
        """The mean over the task's tokens."""
        own = np.flatnonzero(self.task == task).tolist()
        tokens = sum(len(self.targets[i]) for i in own)
        return (
            sum(
                (self.loss(weights, i, self.targets[i]) * len(self.targets[i]) for i in own),
                torch.tensor(0.0),
            )
            / tokens
        )

    def gradient(self, sample: int, targets: torch.Tensor) -> np.ndarray:
        """Of a sample's mean loss."""
        weights = self.weights.clone().requires_grad_()
        (found,) = torch.autograd.grad(self.loss(weights, sample, targets), weights)
        return found.numpy()

    def gradients(self, seed: int) -> SampleGradients:
        """Whole gradients, not projected; tokens are drawn from the softmax."""
        random = torch.Generator().manual_seed(seed)
        drawn = [
            torch.multinomial((x @ self.weights.view(INPUTS, WORDS)).softmax(-1), 1, generator=random)[:, 0]
            for x in self.inputs
        ]
        every = range(len(self.inputs))
        return SampleGradients(
            self.task,
            np.array([len(targets) for targets in self.targets], float),
            np.array([float(self.loss(self.weights, i, self.targets[i])) for i in every]),
            np.array([self.gradient(i, self.targets[i]) for i in every]),
            np.array([self.gradient(i, drawn[i]) for i in every]),
        )


def test_losses_slopes_and_curvatures_are_those_of_the_task() -> None:
    """Loss and slope are exact; the curvature is the Hessian, on average over drawn tokens."""
    model = Softmax(12, 2, 0)
    draws = [quadratic_losses(model.gradients(seed), 2) for seed in range(300)]
    for task in range(2):
        weights = model.weights.clone().requires_grad_()
        loss = model.task_loss(weights, task)
        (slope,) = torch.autograd.grad(loss, weights)
        hessian = torch.autograd.functional.hessian(lambda w: model.task_loss(w, task), model.weights).numpy()  # noqa: B023
        assert abs(draws[0][task].loss - float(loss.detach())) < 1e-12
        assert np.allclose(draws[0][task].slope, slope.numpy(), atol=1e-12)
        mean = np.mean([each[task].curvature for each in draws], 0)
        assert np.linalg.norm(mean - hessian) < 0.1 * np.linalg.norm(hessian)


def test_predictions_are_those_of_a_reference_with_whole_gradients() -> None:
    """By least squares over stacked rows instead of sums of matrices and their equations."""
    train, valid = Softmax(30, 3, 1).gradients(0), Softmax(21, 3, 2).gradients(1)
    subsets, ridge = [(0,), (0, 2), (0, 1, 2)], 0.05
    found = np.array([Predictor(train, valid, 3)(subset, ridge).values for subset in subsets])
    for row, subset in enumerate(subsets):
        rows, slope = [np.sqrt(ridge) * np.eye(INPUTS * WORDS)], np.zeros(INPUTS * WORDS)
        for task in subset:
            own = train.task == task
            tokens = train.tokens[own, None]
            rows.append(train.drawn[own] * tokens / np.sqrt(tokens.sum()))
            slope += (train.gradients[own] * tokens).sum(0) / tokens.sum()
        triangle = np.asarray(np.linalg.qr(np.concatenate(rows), mode="reduced").R)
        update = -np.asarray(np.linalg.solve(triangle, np.linalg.solve(triangle.T, slope)))
        assert np.allclose(update_of(quadratic_losses(train, 3), subset, ridge), update, atol=1e-10)
        for task in range(3):
            own = valid.task == task
            tokens = valid.tokens[own]
            linear = valid.losses[own] + valid.gradients[own] @ update
            curved = tokens * (valid.drawn[own] @ update) ** 2 / 2
            expected = ((linear + curved) * tokens).sum() / tokens.sum()
            assert abs(found[row, task] - expected) < 1e-10


def test_the_update_is_a_newton_step_towards_the_trained_weights() -> None:
    """For a model whose logits are linear, the predicted loss after an update is close to the real one there."""
    model = Softmax(120, 2, 3)
    losses = quadratic_losses(model.gradients(0), 2)
    for subset in ((0,), (0, 1)):
        update = update_of(losses, subset, 0.1)
        before = sum(float(model.task_loss(model.weights, task)) for task in subset)
        after = sum(float(model.task_loss(model.weights + torch.tensor(update), task)) for task in subset)
        predicted = sum(losses[task](update) for task in subset)
        assert after < before
        assert abs(predicted - after) < 0.25 * (before - after)


def test_influences_are_those_of_weights_and_errors_those_of_a_bootstrap() -> None:
    """A sample's influence is how much a loss moves as its weight does; their squares add up to a bootstrap's."""
    train, valid = Softmax(60, 2, 4).gradients(0), Softmax(80, 2, 5).gradients(1)
    found = Predictor(train, valid, 2)((0, 1), 0.3)
    for sample, change in ((3, 1e-6), (8, 1e-6)):
        tokens = train.tokens.copy()
        own = train.task == train.task[sample]
        weight = tokens / tokens[own].sum()
        # A token more in the weights of means alone: in the curvature a sample's own tokens stay as they are.
        heavier = weight.copy()
        heavier[sample] += change
        heavier[own] /= heavier[own].sum()
        drawn = train.drawn * np.sqrt(heavier * tokens / (weight * tokens))[:, None]
        gradients = train.gradients * (heavier / weight)[:, None]
        changed = SampleGradients(train.task, tokens, train.losses, gradients, drawn)
        moved = (Predictor(changed, valid, 2)((0, 1), 0.3).values - found.values) / change
        scale = weight[sample] * np.sqrt(own.sum() / (own.sum() - 1))
        assert np.allclose(found.influences[:, sample], scale * moved, rtol=2e-3, atol=1e-9)
    random = np.random.default_rng(0)

    def drawn_again(samples: SampleGradients) -> SampleGradients:
        each = [np.flatnonzero(samples.task == task) for task in range(2)]
        return samples.of(np.concatenate([random.choice(own, len(own)) for own in each]))

    resampled = [Predictor(drawn_again(train), drawn_again(valid), 2)((0, 1), 0.3).values for _ in range(400)]
    assert np.allclose(found.errors, np.std(resampled, 0), rtol=0.2)
