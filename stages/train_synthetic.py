"""The arm of a generator: as `train`, on real and synthetic clips."""

import sys

from ser.core import fold_jobs
from ser.core.stage import stage
from ser.training.arms import TrainSyntheticArm

JOB = TrainSyntheticArm

if __name__ == "__main__":
    stage(fold_jobs.main, JOB, *sys.argv[1:])
