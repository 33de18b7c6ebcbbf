import pytest
import torch

from ser.core.device import autocast, setup_torch, threads
from ser.core.errors import InputError


def test_setting_up_torch_makes_it_deterministic():
    device = setup_torch()
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.parametrize(("given", "expected"), [(None, 1), ("", 1), ("3", 3), ("2,1", 2)])
def test_the_threads_of_a_process_are_those_of_openmp_or_one(monkeypatch, given, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert threads() == expected


@pytest.mark.parametrize("given", ["0", "-1", "all"])
def test_what_is_no_number_of_threads_is_refused(monkeypatch, given):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    with pytest.raises(InputError, match=f"^OMP_NUM_THREADS is '{given}'"):
        threads()


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast_computes_in_the_precision(precision, dtype):
    with autocast(torch.device("cpu"), precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
