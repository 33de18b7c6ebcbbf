"""The model card of an exported model (Mitchell et al. 2019, arXiv 1810.03993): Markdown with Hugging Face's header."""

import yaml

from ser.reporting import tables

LANGUAGES = {"emodb": "de", "ravdess": "en", "demo": "en"}
LICENCES = {"emodb": "cc0-1.0", "ravdess": "cc-by-nc-sa-4.0", "demo": "cc0-1.0"}
LIMITS = {
    "emodb": "EmoDB is **acted**, by ten people in ten German sentences, in a studio.",
    "ravdess": "RAVDESS is **acted**, by 24 North Americans in two sentences, in a studio.",
    "demo": "The demo's voices are **synthetic**: this model knows nothing about people.",
    "folder": "Its own recordings are described nowhere but in their table.",
}


def text(
    facts,  # model.json of the export
    details,  # metrics/details.json
):
    arm, emotions = facts["arm"], facts["params"]["emotions"]
    figures = details["arms"][arm]
    only = {**details, "arms": {arm: {**figures, "against": {}}}}
    limits = "\n".join(f"- {LIMITS[corpus]}" for corpus in details["corpora"])
    header = {
        "license": licence(details["corpora"]),
        "language": sorted({LANGUAGES[corpus] for corpus in details["corpora"] if corpus in LANGUAGES}),
        "pipeline_tag": "audio-classification",
        "tags": ["speech-emotion-recognition", facts["params"]["classifier"]["arch"]],
        "metrics": ["recall", "accuracy", "f1"],
    }
    data = "\n".join(
        f"- {corpus}: {counts['clips']:,} clips of {counts['speakers']} speakers"
        for corpus, counts in details["corpora"].items()
    )
    recall = "\n".join(
        f"| {emotion} | {tables.percent(estimate)} |" for emotion, estimate in figures["overall"]["recall"].items()
    )
    synthetic = facts["trained_on"]["synthetic"]
    return f"""---
{yaml.safe_dump(header, sort_keys=False).strip()}
---

# Emotion in speech: {", ".join(emotions)}

A {facts["params"]["classifier"]["arch"]} on mel spectrograms, arm `{arm}` of the study, trained on all its clips:

{data}
{f"- {synthetic:,} synthetic clips" if synthetic else ""}

## What it can do

These weights have no clips left to be tested on. The figures are of models of the same recipe, each tested on clips
that it never met:

{tables.table(only)}

| emotion | recall |
| --- | --- |
{recall}

## Limits

{limits}
- It knows those {len(emotions)} emotions alone and names one of them whatever it hears, in any language.
- It errs often, and not equally often for all: see the recall of each emotion, and `metrics/details.json` for each
  corpus.
- Not for decisions about people. The EU's AI Act forbids emotion recognition at work and in education.

## Use

```python
from ser import Recogniser

recognise = Recogniser.load("models/export")
recognise("clip.wav")    # {{"anger": 0.93, ...}}
```

`model.safetensors` holds the weights and `model.json` how sound becomes mels and what built them; `model.onnx` is the
same network, crops `[batch, {facts["params"]["mels"]["n_mels"]}, {facts["params"]["classifier"]["frames"]}]` in dB \
below the clip's peak in, probabilities out. A clip is heard through the crops that cover it: their mean logits, which \
is the geometric mean of their probabilities, made to sum to one.
"""


def licence(corpora):
    """That of the only restricted corpus, CC0 where there is none; `other` where recordings have terms of their own."""
    found = {LICENCES.get(corpus, "other") for corpus in corpora}
    return next(name for name in ("other", "cc-by-nc-sa-4.0", "cc0-1.0") if name in found)
