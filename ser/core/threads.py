"""Work on many clips at once, with few of them in memory."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

BATCH = 16  # items a task: threads that meet less often wait less for each other


def in_order(function, items):
    """Yield `function(item)` of every item, in the order of the items, computed by a thread a core.

    Only a few batches are ahead of what was taken. An exception of `function` comes up at its item.
    """
    items, pending = iter(items), deque()
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        while batch := list(islice(items, BATCH)):
            pending.append(pool.submit(_all, function, batch))
            if len(pending) > 2 * os.cpu_count():
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _all(function, batch):
    return [function(item) for item in batch]
