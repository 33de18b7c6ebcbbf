#!/bin/bash
#SBATCH --job-name=ser --nodes=4 --ntasks-per-node=1 --gpus-per-node=8 --cpus-per-task=64 --time=04:00:00
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"  # a clone on the shared file system, after `make cluster`
source .venv/bin/activate
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
RAY_AUTH_TOKEN=$(openssl rand -hex 32)
export RAY_AUTH_TOKEN  # srun hands it to all nodes
srun ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_NNODES" -- ser cluster --cpus 8 --gpus 0.5
