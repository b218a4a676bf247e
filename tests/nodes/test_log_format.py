"""A traceback in a log: where it was, not what the statement said."""

from __future__ import annotations

import io
import logging

from nodes.log_format import WithoutValues


def test_an_exception_is_shown_without_what_it_says() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(WithoutValues("%(levelname)s %(message)s"))
    log = logging.Logger("test")
    log.addHandler(handler)

    def look_up(key: str) -> int:
        return {"a": 1}[key]

    name = "Ann" + " Smith"
    try:
        try:
            look_up(name)
        except KeyError as exc:
            raise ExceptionGroup(name, [ValueError(name)]) from exc
    except ExceptionGroup:
        log.exception("a client's Query failed")
    said = stream.getvalue()
    assert said.startswith("ERROR a client's Query failed\n  File")
    assert "in look_up" in said
    assert "builtins.KeyError\nwhich led to\n" in said
    assert said.endswith("one of its exceptions:\nbuiltins.ValueError\n")
    assert name not in said
