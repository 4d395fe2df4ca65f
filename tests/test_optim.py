"""The fused kernel called directly against torch's own classes."""

from __future__ import annotations

import pytest
import torch

from tsbench.errors import UsageError
from tsbench.optim import make_optimizer


@pytest.mark.parametrize(("name", "reference"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_same_numbers_as_torch(name: str, reference: type[torch.optim.Optimizer], weight_decay: float) -> None:
    torch.manual_seed(0)
    mine = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(3))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in mine]
    ours = make_optimizer(name, mine, 0.01, weight_decay)
    torchs = reference(theirs, lr=0.01, weight_decay=weight_decay, fused=True)  # type: ignore[call-arg]
    for step in range(20):
        for group in (mine, theirs):
            sum((p * p.sin()).sum() for p in group).backward()  # type: ignore[union-attr]
        ours.set_lr(0.01 / (step + 1))
        torchs.param_groups[0]["lr"] = 0.01 / (step + 1)
        ours.step()
        torchs.step()
        torchs.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_state_resumes_exactly() -> None:
    def run(
        steps: int, state: dict[str, object] | None, start: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], object]:
        parameters = [torch.nn.Parameter(p.clone()) for p in start]
        optimizer = make_optimizer("adam", parameters, 0.1, 0.0)
        if state is not None:
            optimizer.load_state_dict(state)
        for _ in range(steps):
            sum((p**4).sum() for p in parameters).backward()  # type: ignore[union-attr]
            optimizer.step()
        return [p.detach() for p in parameters], optimizer.state_dict()

    start = [torch.ones(4), torch.full((2, 2), 3.0)]
    whole, _ = run(10, None, start)
    half, state = run(4, None, start)
    rest, _ = run(6, state, half)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(whole, rest, strict=True))


def test_unknown_optimizer_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'adamw'"):
        make_optimizer("adamww", [], 0.1, 0.0)
