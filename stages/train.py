"""An arm on real clips: its classifiers, predictions and curves (models/arms, metrics/predictions, metrics/curves)."""

import sys

from ser.core import fold_jobs
from ser.core.stage import stage
from ser.training.arms import TrainRealArm

JOB = TrainRealArm

if __name__ == "__main__":
    stage(fold_jobs.main, JOB, *sys.argv[1:])
