"""The autoencoder of mels as images, which the GAN uses: its prior."""

import torch

from ser.core.rng import make_rng
from ser.generators import image_autoencoder


def test_the_prior_has_the_mean_and_the_covariance_of_an_emotion():
    rng = make_rng(0)
    latents = torch.randn(300, 3, generator=rng) @ torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 0, 0.5]]) + 3
    labels = torch.arange(300) % 3
    wanted = torch.tensor([2]).expand(20_000)
    drawn = image_autoencoder.sample_prior(latents, labels, wanted, rng)
    own = latents[labels == 2]
    torch.testing.assert_close(drawn.mean(0), own.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), own.T.cov(correction=0), atol=0.2, rtol=0)
