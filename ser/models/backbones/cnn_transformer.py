"""A ResNet for local patterns, then a Transformer (Vaswani et al. 2017, arXiv 1706.03762) over time.

The ResNet consists of the first three stages of ResNet-18, the third without its stride in time: a token stands for 8
frames (186 ms at the default hop). All four stages would leave only 4 tokens per crop of 3 s.
"""

import torch
from torch import Tensor, nn

from ser.models import imagenet

WIDTH = 256  # of ResNet-18's third stage


class CNNTransformer(nn.Module):
    def __init__(self, pretrained: bool) -> None:
        super().__init__()
        resnet, _ = imagenet.resnet("resnet18", pretrained)
        first_block = resnet.layer3[0]
        first_block.conv1.stride = first_block.downsample[0].stride = (2, 1)
        self.features = nn.Sequential(
            resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool, resnet.layer1, resnet.layer2, resnet.layer3
        )
        self.transformer = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, activation="gelu", batch_first=True, norm_first=True)
                for _ in range(2)
            ),
            nn.LayerNorm(WIDTH),
        )

    def forward(self, mels: Tensor) -> Tensor:
        """Mels [batch, 1, n_mels, frames] to [batch, WIDTH]."""
        tokens = self.features(mels).mean(2).transpose(1, 2)
        return self.transformer(tokens + positions(tokens.shape[1], tokens.device)).mean(1)


def positions(count: int, device: torch.device) -> Tensor:
    """Sines and cosines that encode the position of each token, `[count, WIDTH]`."""
    position = torch.arange(count, device=device)[:, None]
    angle = position * 10_000 ** -torch.linspace(0, 1, WIDTH // 2, device=device)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def build(n_mels: int, frames: int, pretrained: bool) -> tuple[nn.Module, int]:
    return CNNTransformer(pretrained), WIDTH
