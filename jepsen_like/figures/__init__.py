"""Figures: pure functions from history, fault ledger and samples to numbers with intervals.

Each module is one family and says its definitions and where they come from. Times are
nanoseconds of the history's clock; chance comes from a `random.Random` that is passed in, so a
figure can be computed again. Standard library only.
"""

import jepsen_like.checks  # noqa: F401 - figures and checks need each other; checks come first
