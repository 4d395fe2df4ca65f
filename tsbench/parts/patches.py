"""Patches: what an object looks like, from its picture, by a small CNN (OAT, Fang et al. 2024)."""

from __future__ import annotations

from torch import Tensor, nn

HEIGHT, WIDTH = 150, 93  # px of a patch, as in OAT
VALUES = 3 * HEIGHT * WIDTH


class PatchEmbedding(nn.Module):
    """Red, green and blue from 0 to 1, `(..., VALUES)`, to `(..., width)`: two convolutions and a linear map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Unflatten(1, (3, HEIGHT, WIDTH)),
            nn.Conv2d(3, 16, 5),  # (patch, 16, 146, 89)
            nn.ReLU(),
            nn.MaxPool2d(5),  # (patch, 16, 29, 17)
            nn.Conv2d(16, 32, 3),  # (patch, 32, 27, 15)
            nn.ReLU(),
            nn.MaxPool2d(3),  # (patch, 32, 9, 5)
            nn.Flatten(),
            nn.Linear(1440, width),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Each patch alone."""
        embedded: Tensor = self.layers(patches.flatten(0, -2)).unflatten(0, patches.shape[:-1])
        return embedded
