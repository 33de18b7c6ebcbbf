"""A ResNet for what is local, then a Transformer (Vaswani et al. 2017, arXiv 1706.03762) for its course over time.

The ResNet is the first three stages of ResNet-18, the third without its stride in time: a token stands for 8 frames
(186 ms at the default hop). All four stages would leave 4 tokens to a crop of 3 s.
"""

import torch
from torch import nn

from ser.models import imagenet

WIDTH = 256  # of ResNet-18's third stage


class Body(nn.Module):
    def __init__(self, pretrained):
        super().__init__()
        net, _ = imagenet.resnet("resnet18", pretrained)
        first = net.layer3[0]
        first.conv1.stride = first.downsample[0].stride = (2, 1)
        self.features = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3)
        self.transformer = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, activation="gelu", batch_first=True, norm_first=True)
                for _ in range(2)
            ),
            nn.LayerNorm(WIDTH),
        )

    def forward(self, mels):
        tokens = self.features(mels).mean(2).transpose(1, 2)
        return self.transformer(tokens + positions(tokens.shape[1], tokens.device)).mean(1)


def positions(count, device):
    """Sines and cosines that tell the tokens' places, `[count, WIDTH]`."""
    place = torch.arange(count, device=device)[:, None]
    angle = place * 10_000 ** -torch.linspace(0, 1, WIDTH // 2, device=device)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def build(n_mels, frames, pretrained):
    return Body(pretrained), WIDTH
