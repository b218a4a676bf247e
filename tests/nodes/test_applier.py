"""The loan of the data file: who waits for it may be cancelled in any turn of the loop."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from nodes.applier import Applier


class NothingApplied:
    """All that is asked of a state machine while no entry is due."""

    applied = 0


def applier(failures: list[Exception]) -> Applier:
    def nothing(*_: object) -> None:
        return None

    return Applier(
        "r1",
        cast("Any", NothingApplied()),
        cast("Any", None),
        applied=nothing,
        more=nothing,
        failed=failures.append,
    )


@pytest.mark.parametrize("freed", ["resume", "close"])
async def test_a_borrower_that_is_cancelled_as_the_file_comes_leaves_it_to_the_next(
    freed: str,
) -> None:
    """Its future is cancelled at once, and it takes back what it was given in its next turn."""
    failures: list[Exception] = []
    lender = applier(failures)
    await lender.rest()
    borrowing = asyncio.create_task(lender.lend(lambda: None))
    await asyncio.sleep(0)
    assert not borrowing.done()
    borrowing.cancel()
    if freed == "close":
        await lender.close()
    else:
        lender.resume()
        lender.step()
    await asyncio.wait({borrowing})
    assert borrowing.cancelled()
    assert lender.lend_now(lambda: None) is (freed != "close")
    assert not failures
