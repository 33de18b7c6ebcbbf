"""The model card of an exported model (Mitchell et al. 2019, arXiv 1810.03993): Markdown with Hugging Face's header."""

from collections.abc import Collection
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ser.reporting import tables

LANGUAGES = {"emodb": "de", "ravdess": "en", "demo": "en"}
LICENCES = {"emodb": "cc0-1.0", "ravdess": "cc-by-nc-sa-4.0", "demo": "cc0-1.0"}
HUB_METRICS = {"ua": "recall", "wa": "accuracy", "f1": "f1"}  # their names there
LIMITS = {
    "emodb": "EmoDB is **acted**, by ten people in ten German sentences, in a studio.",
    "ravdess": "RAVDESS is **acted**, by 24 North Americans in two sentences, in a studio.",
    "demo": "The voices of the demo are **synthetic**: this model says nothing about people.",
    "folder": "The corpus `folder` consists of private recordings, which are not described here.",
}


def text(
    facts: dict[str, Any],  # model.json of the export
    details: dict[str, Any],  # metrics/details.json
) -> str:
    """The card as Markdown."""
    arm, class_names = facts["arm"], facts["params"]["emotions"]
    metrics = details["arms"][arm]
    details_of_arm = {**details, "arms": {arm: {**metrics, "against": {}}}}
    limits = "\n".join(f"- {LIMITS[corpus]}" for corpus in details["corpora"])
    header = ModelCardData(
        model_name=f"Emotion in speech, {arm}",
        license=licence(details["corpora"]),
        language=sorted({LANGUAGES[corpus] for corpus in details["corpora"] if corpus in LANGUAGES}),
        pipeline_tag="audio-classification",
        tags=["speech-emotion-recognition", facts["params"]["classifier"]["arch"]],
        metrics=list(HUB_METRICS.values()),
        eval_results=[
            EvalResult(
                task_type="audio-classification",
                dataset_type="-".join(details["corpora"]),
                dataset_name=f"{', '.join(details['corpora'])}: {tables.PROTOCOLS[details['protocol']]}",
                metric_type=hub_metric,
                metric_name=metric.upper(),
                metric_value=metrics["overall"][metric]["value"],
            )
            for metric, hub_metric in HUB_METRICS.items()
        ],
    )
    data = "\n".join(
        f"- {corpus}: {counts['clips']:,} clips of {counts['speakers']} speakers"
        for corpus, counts in details["corpora"].items()
    )
    recall = "\n".join(
        f"| {emotion} | {tables.percent(estimate)} |" for emotion, estimate in metrics["overall"]["recall"].items()
    )
    synthetic = facts["trained_on"]["synthetic"]
    return f"""---
{header.to_yaml()}
---

# Emotion in speech: {", ".join(class_names)}

A {facts["params"]["classifier"]["arch"]} on mel spectrograms, arm `{arm}` of the study, trained on all its clips:

{data}
{f"- {synthetic:,} synthetic clips" if synthetic else ""}

## Performance

This model was trained on all clips, so that none are left to test it on. The metrics below are those of models that
were trained in the same way on a part of the clips, each tested on clips that it was not trained on:

{tables.table(details_of_arm)}

| emotion | recall |
| --- | --- |
{recall}

Who speaks matters:

{tables.groups_table({arm: metrics})}

Its probabilities are calibrated by the predictions of those models. Below {facts["unsure_below"]:.0%} it calls itself
unsure; of their answers above that, {facts["accuracy"]:.0%} are right.

## Limits

{limits}
- The model distinguishes only these {len(class_names)} emotions. It outputs one of them for any sound, in any language.
- It is often wrong, and not equally often for all emotions: see the recall of each emotion, and `metrics/details.json`
  for each corpus.
- Not for decisions about people. The EU's AI Act prohibits emotion recognition at work and in education.
- Licence: {licence(details["corpora"])}, that of the recordings that it was trained on.

## Use

```python
from ser import Recogniser

recognise = Recogniser.load("models/export")
recognise("clip.wav")    # {{"anger": 0.93, ...}}
```

- `model.safetensors`: the weights, in half precision where that changes no probability by a thousandth.
- `model.json`: how sound becomes mels, and what the model was made from.
- `model.onnx`: the same network. Input: crops `[batch, {facts["params"]["mels"]["n_mels"]}, \
{facts["params"]["classifier"]["frames"]}]` in dB below the peak of the clip. Output: probabilities.

A clip is recognised from the crops that cover it, by their mean logits: the geometric mean of their probabilities,
normalised to a sum of one.
"""


def licence(corpora: Collection[str]) -> str:
    """The licence of the only restricted corpus, CC0 without one; `other` for recordings with terms of their own."""
    licences = {LICENCES.get(corpus, "other") for corpus in corpora}
    return next(name for name in ("other", "cc-by-nc-sa-4.0", "cc0-1.0") if name in licences)
