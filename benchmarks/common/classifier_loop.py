"""The common way to train a classifier on spectrograms, as tutorials and published code of this subject have it: a
Dataset that loads one .npy a clip and resizes it to 3 x 224 x 224, a DataLoader with workers, single precision."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import resnet18
from torchvision.transforms.v2 import functional as transforms

BATCH = 32


class Mels(Dataset):
    def __init__(self, files, labels):
        self.files, self.labels = files, labels

    def __len__(self):
        return len(self.files)

    def __getitem__(self, number):
        mel = torch.from_numpy(np.load(self.files[number], allow_pickle=False))
        mel = (mel - mel.mean()) / mel.std()
        image = transforms.resize(mel[None].repeat(3, 1, 1), [224, 224])
        return image, self.labels[number]


class Loop:
    """A training that can be continued: `run(updates)` takes that many batches of 32."""

    def __init__(self, files, labels, emotions, workers=2):
        self.loader = DataLoader(
            Mels(files, labels), BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=True
        )
        self.model = resnet18(num_classes=emotions)
        self.loss = nn.CrossEntropyLoss()
        self.optimiser = torch.optim.Adam(self.model.parameters(), 1e-3)
        self.batches = iter(self.loader)

    def run(self, updates):
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
