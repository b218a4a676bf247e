"""Histories: what clients saw, recorded, read, written and looked over. Standard library only.

    from jepsen_like.history import Recorder, read

`Recorder` records one in anybody's test suite; `read` takes any of the formats that
`docs/checking.md` lists; `lint` says what no sound recorder writes.
"""

from jepsen_like.history.columns import History
from jepsen_like.history.definite import contradicted, in_words
from jepsen_like.history.fault_window import FaultWindow
from jepsen_like.history.files import FORMATS, read
from jepsen_like.history.jepsen import write_edn
from jepsen_like.history.jsonl import FORMAT, VERSION, read_jsonl, write_jsonl
from jepsen_like.history.lint import LINT_FINDINGS_MAX, NEVER_COMMITTED, lint
from jepsen_like.history.operation import HistoryError, Operation, Outcome, Unserved
from jepsen_like.history.recorder import RecordedOp, Recorder

__all__ = [
    "Outcome",
    "Operation",
    "Unserved",
    "FaultWindow",
    "History",
    "HistoryError",
    "Recorder",
    "RecordedOp",
    "FORMAT",
    "FORMATS",
    "VERSION",
    "LINT_FINDINGS_MAX",
    "NEVER_COMMITTED",
    "read",
    "read_jsonl",
    "write_jsonl",
    "write_edn",
    "contradicted",
    "in_words",
    "lint",
]
