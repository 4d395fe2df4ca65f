"""Linear layer: one linear map of what a sample holds, in every family."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from optuna.distributions import FloatDistribution, IntDistribution
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.errors import UsageError
from tsbench.frame import FrameConfig
from tsbench.general import RECIPES, GeneralModel
from tsbench.position import Positions


@dataclass(frozen=True)
class LinearLayerConfig(FrameConfig):
    """Settings of the linear layer."""

    reach: int = 64  # tokens that a state sees to each side

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        super().__post_init__()
        if self.reach < 0:
            raise UsageError(f"linear_layer: reach={self.reach} must be at least 0")


class LinearLayer(GeneralModel):
    """Stem, body and head are linear, and so is their product; where objects, items or pairs are scored, bilinear.

    The body is one filter for each channel: a state = a weighted sum of the tokens around it, or before it where the
    frame is causal. It is factorised: the map has as many terms as `width`.
    """

    Config = LinearLayerConfig
    linear = True
    source = "the harness's own; for forecasts cf. Zeng et al., Are Transformers Effective for Forecasting?, AAAI 2023"
    recipes = RECIPES
    search_space = {
        **GeneralModel.search_space,
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "reach": IntDistribution(0, 128),
    }

    def build_body(self) -> nn.Module:
        """The filters."""
        return Filters(self.config)


class Filters(nn.Module):
    """One filter for each channel, at first almost the identity."""

    def __init__(self, config: LinearLayerConfig) -> None:
        super().__init__()
        self.reach = config.reach
        weight = torch.randn(config.width, 2 * config.reach + 1) / (2 * config.reach + 1) ** 0.5
        weight[:, config.reach] += 1
        self.weight = nn.Parameter(weight)  # of tokens from `reach` before to `reach` behind

    def forward(self, x: Tensor, positions: Positions) -> Tensor:
        """`(batch, token, width)` to the same."""
        if positions.valid is not None:
            x = x * positions.valid[..., None]
        before = min(self.reach, x.shape[1] - 1)
        behind = 0 if positions.causal else before
        weight = self.weight[:, None, self.reach - before : self.reach + behind + 1]
        padded = F.pad(x.transpose(1, 2), (before, behind))
        return F.conv1d(padded, weight, groups=len(weight)).transpose(1, 2)
