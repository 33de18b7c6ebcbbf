"""The common way to train a classifier on spectrograms, as in tutorials and published code of this subject.

A Dataset loads one .npy per clip and resizes it to 3 x 224 x 224; a DataLoader with workers, single precision.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import resnet18
from torchvision.transforms.v2 import functional as transforms

BATCH = 32


class MelDataset(Dataset):
    def __init__(self, files: list[Path], labels: list[int]) -> None:
        self.files, self.labels = files, labels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        mel = torch.from_numpy(np.load(self.files[number], allow_pickle=False))
        mel = (mel - mel.mean()) / mel.std()
        image = transforms.resize(mel[None].repeat(3, 1, 1), [224, 224])
        return image, self.labels[number]


class Loop:
    """A training that can be continued: `run(updates)` takes that many batches of 32."""

    def __init__(self, files: list[Path], labels: list[int], n_classes: int, workers: int = 2) -> None:
        self.loader = DataLoader(
            MelDataset(files, labels), BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=True
        )
        self.model = resnet18(num_classes=n_classes)
        self.loss = nn.CrossEntropyLoss()
        self.optimiser = torch.optim.Adam(self.model.parameters(), 1e-3)
        self.batches = iter(self.loader)

    def run(self, updates: int) -> None:
        self.model.train()
        for _ in range(updates):
            try:
                images, labels = next(self.batches)
            except StopIteration:
                self.batches = iter(self.loader)
                images, labels = next(self.batches)
            self.optimiser.zero_grad()
            loss = self.loss(self.model(images), labels)
            loss.backward()
            self.optimiser.step()
