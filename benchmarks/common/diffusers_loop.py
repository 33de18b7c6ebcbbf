"""diffusers as its unconditional training example has it (examples/unconditional_image_generation): UNet2DModel,
DDPMScheduler, AdamW, gradient clipping, EMAModel, single precision; DDPMPipeline's loop to sample."""

import torch
from diffusers import DDPMScheduler
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch.nn import functional as F


class Loop:
    def __init__(self, unet, size):
        self.unet, self.size = unet, size
        self.schedule = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
        self.optimiser = torch.optim.AdamW(unet.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
        self.rate = get_scheduler("cosine", self.optimiser, num_warmup_steps=500, num_training_steps=10000)
        self.ema = EMAModel(unet.parameters(), decay=0.9999, use_ema_warmup=True, model_cls=type(unet))

    def run(self, updates, batch=16):
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
    def sample(self, count, steps=1000):
        self.unet.eval()
        self.schedule.set_timesteps(steps)
        images = torch.randn(count, *self.size)
        for time in self.schedule.timesteps:
            predicted = self.unet(images, time, self.labels(count)).sample
            images = self.schedule.step(predicted, time, images).prev_sample
        return images

    def labels(self, count):
        return torch.zeros(count, 4 * self.unet.config.block_out_channels[0])
