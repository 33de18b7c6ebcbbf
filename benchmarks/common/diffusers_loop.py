"""diffusers as in its example of unconditional training (examples/unconditional_image_generation).

UNet2DModel, DDPMScheduler, AdamW, gradient clipping, EMAModel, single precision; the loop of DDPMPipeline to sample.
"""

import torch
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch.nn import functional as F


class Loop:
    def __init__(self, unet: UNet2DModel, size: tuple[int, int, int]) -> None:
        self.unet, self.size = unet, size
        self.schedule = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
        self.optimiser = torch.optim.AdamW(unet.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
        self.rate = get_scheduler("cosine", self.optimiser, num_warmup_steps=500, num_training_steps=10000)
        self.ema = EMAModel(unet.parameters(), decay=0.9999, use_ema_warmup=True, model_cls=type(unet))

    def run(self, updates: int, batch: int = 16) -> None:
        self.unet.train()
        for _ in range(updates):
            clean, noise = torch.rand(batch, *self.size), torch.randn(batch, *self.size)
            time = torch.randint(0, 1000, (batch,))
            predicted = self.unet(self.schedule.add_noise(clean, noise, time), time, self.labels(batch)).sample
            F.mse_loss(predicted, noise).backward()
            torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
            self.optimiser.step()
            self.rate.step()
            self.optimiser.zero_grad()
            self.ema.step(self.unet.parameters())

    @torch.no_grad()
    def sample(self, count: int, steps: int = 1000) -> torch.Tensor:
        self.unet.eval()
        self.schedule.set_timesteps(steps)
        images = torch.randn(count, *self.size)
        for time in self.schedule.timesteps:
            predicted = self.unet(images, time, self.labels(count)).sample
            images = self.schedule.step(predicted, time, images).prev_sample
        return images

    def labels(self, count: int) -> torch.Tensor:
        return torch.zeros(count, 4 * self.unet.config.block_out_channels[0])
