"""Tables of the study as Markdown, from what `scores.compare` found; UA in per cent, differences in points of UA."""

from statistics import mean, stdev

from ser.evaluation.statistics import REFERENCES, comparisons, holm
from ser.reporting import tables

# UA and WA in per cent: {(setting, name of our run of it): [(system, UA, WA), ...]}. ResNet-152: Mansouri, Ghaffary &
# Harimi, J AI & Data Mining 10(4), 2022, whose abstract gives an accuracy. EmoBox: Ma et al., arXiv 2406.07162.
# ResLSTM-SA: Krasnoproshin & Vashkevich, arXiv 2606.03359.
PUBLISHED = {
    ("EmoDB, seven emotions, one speaker left out at a time", "emodb_seven"): [
        ("ResNet-152 from ImageNet on spectrograms, Mansouri et al.", None, 88.97),
    ],
    ("RAVDESS, eight emotions, actors apart", "ravdess_eight"): [
        ("Whisper-large-v3, frozen, EmoBox", 75.3, None),
        ("WavLM-large, frozen, EmoBox", 72.0, None),
        ("HuBERT-large, frozen, EmoBox", 70.0, None),
        ("ResLSTM-SA, five folds, mean", 62.3, None),
        ("wav2vec2-base, frozen, EmoBox", 54.3, None),
    ],
    ("both corpora, six emotions, speakers apart", "default"): [],
    ("both corpora, six emotions, random split (leaks)", "random_split"): [],
}
# Aimed for before the study: UA of the best arm in per cent, by the name of our run; gain in UA of the best generator
# of the default run over another arm, in points.
AIMS = {"default": 80.0, "emodb_seven": 89.0, "ravdess_eight": 72.0, "random_split": 94.4}
GAINS = {"baseline": 5.0, "masked": 2.0}


def detectable(difference):
    """The smallest true difference that a two-sided test at 5 % finds with a power of 80 %: (1.96 + 0.84) standard
    errors, the standard error being the width of the 95 % interval / 3.92. In the unit of the interval; None without
    one. It takes the difference as normal and counts no correction for several arms.

    Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988.
    """
    if difference["low"] is None:
        return None
    return (1.96 + 0.84) * (difference["high"] - difference["low"]) / 3.92


def differences(details):
    """Every arm against baseline and against masked."""
    rows = [["arm", "against", "difference in UA", "p, corrected", "smallest detectable gain"]]
    for reference, others in comparisons(list(details["arms"])).items():
        for arm in others:
            found = details["arms"][arm]["against"][reference]
            smallest = detectable(found["ua"])
            rows.append(
                [
                    arm,
                    reference,
                    tables.percent(found["ua"], "+"),
                    tables.p_value(found["p_corrected"]),
                    "" if smallest is None else f"{100 * smallest:.1f}",
                ]
            )
    return tables.markdown(rows)


def corpora(details):
    """UA of each arm on each corpus, and its differences from baseline and from masked there."""
    references = list(comparisons(list(details["arms"])))
    titles = [f"vs {reference}" for reference in references]
    rows = [["arm", *(title for corpus in details["corpora"] for title in (f"{corpus} UA", *titles))]]
    for arm, figures in details["arms"].items():
        row = [arm]
        for corpus in details["corpora"]:
            row.append(tables.percent(figures["corpora"][corpus]["ua"]))
            for reference in references:
                against = figures["against"].get(reference)
                row.append(tables.percent(against["corpora"][corpus]["ua"], "+") if against else "")
        rows.append(row)
    return tables.markdown(rows)


def recalls(details):
    """Recall of each emotion by arm, in per cent."""
    rows = [
        [arm, *(tables.percent(figures["overall"]["recall"][emotion]) for emotion in details["emotions"])]
        for arm, figures in details["arms"].items()
    ]
    return tables.markdown([["arm", *details["emotions"]], *rows])


def run(details):
    """All of one experiment: its arms, each corpus where there are several, each emotion."""
    parts = [tables.table(details), corpora(details) if len(details["corpora"]) > 1 else "", recalls(details)]
    return "\n\n".join(filter(None, parts))


def enhanced(details):
    """Test clips under the source paper's enhancement, with what that means below."""
    return f"{tables.table(details['enhanced'])}\n\n{tables.ENHANCED_NOTE}"


def inflation(apart, random):
    """{arm: (UA with speakers apart, UA under a random split)} of the arms of both, estimates with intervals."""
    return {
        arm: (figures["overall"]["ua"], random["arms"][arm]["overall"]["ua"])
        for arm, figures in apart["arms"].items()
        if arm in random["arms"]
    }


def leakage(apart, random):
    """What a random split adds to the UA of each arm."""
    rows = [
        [arm, tables.percent(honest), tables.percent(leaking), f"{100 * (leaking['value'] - honest['value']):+.1f}"]
        for arm, (honest, leaking) in inflation(apart, random).items()
    ]
    return tables.markdown([["arm", "UA, speakers apart", "UA, random split (leaks)", "inflation"], *rows])


def published(runs, functionals):
    """Published figures beside ours, setting by setting, from `{name: details}` of those of our runs that there are and
    `{name: details}` of what functionals reach on their folds."""
    rows = [["setting", "system", "UA", "WA"]]
    for (setting, name), systems in PUBLISHED.items():
        rows += [
            [setting, system, *("" if figure is None else str(figure) for figure in figures)]
            for system, *figures in systems
        ]
        ours = {f"**ours, {arm}**": figures for arm, figures in _ours(runs[name]).items()} if name in runs else {}
        if name in functionals:
            machine = functionals[name]["arms"]["functionals"]["overall"]
            ours = {"openSMILE's ComParE 2016 and an SVM, on our folds": machine} | ours
        for system, figures in ours.items():
            rows.append([setting, system, tables.percent(figures["ua"]), tables.percent(figures["wa"])])
    return tables.markdown(rows)


def _ours(details):
    """Overall figures of the baseline and of the other arm with the highest UA."""
    others = [arm for arm in details["arms"] if arm != "baseline"]
    found = {"baseline": details["arms"]["baseline"]["overall"]}
    if others:
        best = _highest(details, others)
        found[f"{best} (highest of {len(others)} other arms)"] = details["arms"][best]["overall"]
    return found


def _highest(details, arms):
    return max(arms, key=lambda arm: details["arms"][arm]["overall"]["ua"]["value"])


def goals(runs):
    """What was aimed for and what was reached, from `{name: details}` of those of our runs that there are."""
    rows = [["goal", "aimed for", "reached", "arm", "distance"]]
    settings = {name: setting for setting, name in PUBLISHED}
    for name, aim in AIMS.items():
        if name not in runs:
            rows.append([f"UA: {settings[name]}", f"{aim:.1f}", "not run yet", "", ""])
            continue
        best = _highest(runs[name], runs[name]["arms"])
        ua = runs[name]["arms"][best]["overall"]["ua"]
        distance = f"{100 * ua['value'] - aim:+.1f}"
        rows.append([f"UA: {settings[name]}", f"{aim:.1f}", tables.percent(ua), best, distance])
    default = runs["default"]
    generators = [arm for arm in default["arms"] if arm not in REFERENCES]
    for reference, aim in GAINS.items():
        if not generators or reference not in default["arms"]:
            continue
        best = _highest(default, generators)
        gain = default["arms"][best]["against"][reference]["ua"]
        rows.append(
            [
                f"gain in UA of a generator over {reference}",
                f"{aim:+.1f}",
                tables.percent(gain, "+"),
                best,
                f"{100 * gain['value'] - aim:+.1f}",
            ]
        )
    return tables.markdown(rows)


def series(members):
    """Amount against gain, from `{amount in per cent: details}`: each generator that every member has, beside masked,
    which has the same augmentation. p values are corrected over the rows."""
    generators = [arm for arm in next(iter(members.values()))["arms"] if arm not in REFERENCES]
    shared = [arm for arm in generators if all(arm in details["arms"] for details in members.values())]
    pairs = [(amount, details["arms"], arm) for amount, details in members.items() for arm in shared]
    corrected = holm([arms[arm]["against"]["masked"]["p"] for _, arms, arm in pairs])
    rows = [["amount", "UA baseline", "UA masked", "generator", "its UA", "UA vs masked", "p, corrected"]]
    for (amount, arms, arm), p in zip(pairs, corrected, strict=True):
        uas = {name: tables.percent(arms[name]["overall"]["ua"]) for name in (*REFERENCES, arm)}
        rows.append(
            [
                f"{amount} %",
                uas["baseline"],
                uas["masked"],
                arm,
                uas[arm],
                tables.percent(arms[arm]["against"]["masked"]["ua"], "+"),
                tables.p_value(p),
            ]
        )
    return tables.markdown(rows)


def choice(made):
    """What validation speakers said about each candidate: mean UA, and the difference from the first candidate with
    its standard error over pairs of a (repeat, fold)."""
    candidates = list(made["candidates"].items())
    first = candidates[0][1]["ua"]
    rows = [["candidate", "validation UA", "difference ± standard error", "epoch"]]
    for label, found in candidates:
        rows.append(
            [
                label,
                f"{100 * mean(found['ua']):.1f}",
                "" if found["ua"] is first else paired(found["ua"], first),
                f"{mean(found['epoch']):.0f}",
            ]
        )
    return (
        f"**{made['question']}** {made['protocol']}\n\n{tables.markdown(rows)}\n\n"
        f"Means over {len(first)} trainings (repeats: {made['repeats']}) each; `{made['command']}`."
    )


def paired(ours, theirs):
    """The mean difference in points, with its standard error where there are several pairs."""
    gains = [100 * (one - other) for one, other in zip(ours, theirs, strict=True)]
    error = f" ± {stdev(gains) / len(gains) ** 0.5:.1f}" if len(gains) > 1 else ""
    return f"{mean(gains):+z.1f}{error}"


def other_settings(runs):
    """What was run with other settings than it would have now, from `{run: {key: (value then, value now)}}`."""
    rows = [[run, f"`{key}`", str(then), str(now)] for run, keys in runs.items() for key, (then, now) in keys.items()]
    if not rows:
        return "All was run with the settings that `params.yaml` and `experiments/` have now."
    return tables.markdown([["experiment", "setting", "when it was run", "now"], *rows])


def missing(parts):
    """What was not run, from `{name: (what, hours on 2 cores, command)}`."""
    if not parts:
        return "Everything was run."
    rows = [[name, what, f"`{command}`", f"{hours:g}"] for name, (what, hours, command) in parts.items()]
    rows.append(["**all**", "", "", f"{sum(hours for _, hours, _ in parts.values()):.1f}"])
    return tables.markdown([["part", "what", "command", "hours on 2 cores"], *rows])
