"""What the benchmarks share."""

import json

from benchmarks import bench


def test_functions_are_timed_in_turn_after_an_untimed_round():
    calls = []
    seconds = bench.alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert {name: len(rounds) for name, rounds in seconds.items()} == {"a": 2, "b": 2}
    assert all(duration >= 0 for rounds in seconds.values() for duration in rounds)


def test_a_result_is_written_and_shown(tmp_path, capsys):
    result = {"what": "x", "machine": bench.machine(), "versions": bench.versions("numpy"), "rows": []}
    bench.save(tmp_path / "new" / "x.json", result)
    assert json.loads((tmp_path / "new" / "x.json").read_text()) == result == json.loads(capsys.readouterr().out)
    assert result["machine"]["cores"] >= 1 and result["machine"]["memory_gib"] > 0
