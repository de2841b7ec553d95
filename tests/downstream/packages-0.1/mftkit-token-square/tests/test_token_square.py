import torch
from mft_tokensquare import TokenSquare

from mftkit import Tokens, Totals


def test_each_task_gets_the_mean_square_of_its_tokens():
    loss = TokenSquare(TokenSquare.Options(scale=2.0))
    task = torch.tensor([0, 0, 2])
    logprobs = torch.tensor([-1.0, -3.0, -2.0], requires_grad=True)
    tokens = Tokens(logprobs, task, torch.tensor([0, 0, 1]), torch.tensor([0, 2]), num_tasks=3, num_samples=2)
    counts = torch.tensor([2.0, 0.0, 1.0])
    totals = Totals(loss.statistics(tokens), counts, counts.clamp(max=1), counts > 0)
    losses = loss.task_losses(totals)
    assert losses.tolist() == [10.0, 0.0, 8.0]
    losses.sum().backward()
    assert logprobs.grad.tolist() == [-2.0, -6.0, -8.0]
