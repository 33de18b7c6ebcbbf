"""denoising-diffusion-pytorch as in its README: Unet, GaussianDiffusion, Adam and EMA, single precision."""

import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from ema_pytorch import EMA


class Loop:
    """`size` is the shape of the images, (channels, height, width); their values are in [0, 1]."""

    def __init__(self, size: tuple[int, int, int], steps: int = 1000) -> None:
        channels, height, width = size
        self.size = size
        self.unet = Unet(dim=64, dim_mults=(1, 2, 4), channels=channels)
        self.diffusion = GaussianDiffusion(self.unet, image_size=(height, width), timesteps=steps)
        self.optimiser = torch.optim.Adam(self.diffusion.parameters(), 1e-4, betas=(0.9, 0.99))
        self.ema = EMA(self.diffusion, beta=0.995, update_every=10)

    def run(self, updates: int, batch: int = 16) -> None:
        for _ in range(updates):
            loss = self.diffusion(torch.rand(batch, *self.size))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.diffusion.parameters(), 1.0)
            self.optimiser.step()
            self.optimiser.zero_grad()
            self.ema.update()

    def sample(self, count: int) -> torch.Tensor:
        return self.diffusion.sample(batch_size=count)
