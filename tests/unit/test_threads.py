import threading
import time

import pytest

from ser.core import threads


def test_results_come_in_order_whichever_is_ready_first():
    def slow_first(number):
        time.sleep(0.001 * (number % 7 == 0))
        return -number

    assert list(threads.in_order(slow_first, range(500))) == [-number for number in range(500)]
    assert list(threads.in_order(slow_first, [])) == []


def test_little_is_computed_ahead_of_what_was_taken():
    done = []
    results = threads.in_order(done.append, range(100_000))
    next(results)
    time.sleep(0.1)
    assert len(done) < 1000
    results.close()


def test_an_exception_comes_up_and_the_rest_is_left():
    done = []

    def fail(number):
        done.append(number)
        if number == 100:
            raise ValueError("broken")
        return number

    before = threading.active_count()
    results = threads.in_order(fail, range(100_000))
    with pytest.raises(ValueError, match="broken"):
        list(results)
    assert len(done) < 1000
    assert threading.active_count() == before
