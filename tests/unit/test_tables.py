"""The comparison of arms, and the quality of synthetic clips, as Markdown tables."""

from ser.evaluation.statistics import compare_arms
from ser.reporting import tables
from tests.helpers.fabricated_study import EMOTIONS, fabricate


def test_table_of_a_leaking_protocol_says_so():
    catalogue, predictions = fabricate()
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "random", resamples=200)
    assert details["leaks"] is True
    assert "(leaks: test speakers are in training)" in tables.table(details)
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    assert details["leaks"] is False
    assert "leaks" not in tables.table(details)


def test_table_shows_metrics_in_per_cent():
    catalogue, predictions = fabricate()
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    lines = tables.table(details).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == ["baseline", "augmented", "diffusion"]
    ua = details["arms"]["diffusion"]["overall"]["ua"]
    assert f"{100 * ua['value']:.1f} [{100 * ua['low']:.1f}, {100 * ua['high']:.1f}]" in lines[4]
    assert len({len(line) for line in lines[:5]}) == 1
    assert "168 clips of 14 speakers (emodb 6, ravdess 8); speakers apart." in lines[-1]


def test_ensembles_have_a_table_of_their_own():
    catalogue, predictions = fabricate(runs=3)
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    single, ensembles, notes, caption = tables.table(details, arms=["baseline", "masked", "augmented"]).split("\n\n")
    metrics = details["arms"]["diffusion"]
    assert (
        tables.percent(metrics["overall"]["ua"]) in single and tables.percent(metrics["overall"]["ua"]) not in ensembles
    )
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ensembles.splitlines()]
    assert header[0] == "ensemble of 3 runs" and [row[0] for row in rows] == ["baseline", "augmented", "diffusion"]
    assert rows[2][1] == tables.percent(metrics["ensemble"]["overall"]["ua"])
    assert rows[2][4].startswith(tables.percent(metrics["ensemble"]["against"]["baseline"]["ua"], "+"))
    assert "[95 % interval over speakers and runs], means over 3 runs" in notes
    assert "t test over speakers and runs" in notes and "Ensemble of 3 runs" in notes
    assert "14 speakers (emodb 6, ravdess 8), 3 runs; speakers apart." in caption


def test_one_run_is_not_called_several():
    catalogue, predictions = fabricate()
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    text = tables.table(details)
    assert "[95 % interval over speakers]." in text and "runs" not in text and "nsemble" not in text
    del details["runs"]  # as in results that were kept before there were runs, with another test
    assert tables.table(details) == text.replace("a t test", "a permutation test")


def test_table_without_arms_to_compare_with():
    catalogue, predictions = fabricate(arms=("baseline",), speakers=(("demo", 4),))
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    text = tables.table(details)
    assert "vs" not in text and "Holm" not in text
    assert "4 speakers (demo)" in text and "says nothing about people" in text


def test_an_arm_without_results_has_a_row_that_says_so():
    catalogue, predictions = fabricate()
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    lines = tables.table(details, arms=["baseline", "masked", "augmented", "diffusion"]).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:6]]
    assert [row[0] for row in cells] == ["baseline", "masked", "augmented", "diffusion"]
    assert cells[1] == ["masked", "not run yet", "", "", "", ""]
    assert len({len(line) for line in lines[:6]}) == 1
    assert lines[6] == ""
    assert "not run yet" not in tables.table(details, arms=["baseline", "augmented", "diffusion"])


def test_quality_table_has_the_reference_and_one_row_per_generator(quality):
    lines = tables.quality_table(quality).splitlines()
    header, _, real, diffusion, vae, *_ = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert header[:2] == ["clips", "Fréchet"] and len({len(line) for line in lines[:5]}) == 1
    column = header.index("recognised %")
    for row, (name, side) in zip(
        (real, diffusion, vae),
        (
            ("real", quality["diffusion"]["reference"]),
            ("diffusion", quality["diffusion"]["synthetic"]),
            ("vae", quality["vae"]["synthetic"]),
        ),
    ):
        assert row[0] == name and row[column] == f"{100 * side['recognised']:.1f}"
    assert vae[header.index("kernel")] == ""
    assert lines[5:] == ["", *(f"- {note}" for note in tables.QUALITY_NOTES)]
