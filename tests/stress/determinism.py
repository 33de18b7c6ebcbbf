"""What the same seed gives under other circumstances.

The baseline of the smallest experiment is trained again in another process, with more threads, and without AVX-512.

`python -m tests.stress.determinism --out FILE`
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from benchmarks import measured
from tests.helpers import project

OUTPUTS = "metrics/predictions/baseline.csv", "models/arms/baseline.safetensors"
CIRCUMSTANCES = {
    "another process": {},
    "2 threads": {"OMP_NUM_THREADS": "2"},
    "4 threads": {"OMP_NUM_THREADS": "4"},
    "a processor without AVX-512": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}


def trained(folder, **environment):
    """The predictions and the weights, as bytes, of the baseline trained in `folder`."""
    project.call(sys.executable, "-m", "stages.train", "baseline", cwd=folder, **environment)
    return [(folder / path).read_bytes() for path in OUTPUTS]


def difference(predictions, reference):
    """How far two files of predictions of the same clips are apart."""
    one, other = (pd.read_csv(io.BytesIO(content)) for content in (predictions, reference))
    class_names = list(one.columns[5:])
    recalls = [balanced_accuracy_score(table["emotion"], table["predicted"]) for table in (one, other)]
    return {
        "clips": len(one),
        "probability": round(float((one[class_names] - other[class_names]).abs().to_numpy().max()), 6),
        "other emotion": int((one["predicted"] != other["predicted"]).sum()),
        "ua": round(recalls[0] - recalls[1], 6),
    }


def main():
    parser = argparse.ArgumentParser("python -m tests.stress.determinism", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = project.copy_of_the_repository(Path(place, "project"))
        project.repro(folder, "train@baseline")
        reference = trained(folder)
        results = {}
        for name, environment in CIRCUMSTANCES.items():
            outputs = trained(folder, **environment)
            results[name] = {"same bytes": outputs == reference, **difference(outputs[0], reference[0])}
            print(name, results[name], flush=True)
    measured.write(arguments.out, results)


if __name__ == "__main__":
    main()
