"""A traceback in a log: where it was, not what the statement said."""

from __future__ import annotations

import io
import json
import logging
import re

from nodes.log_format import AsJson, WithoutValues


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


def test_a_line_for_machines_is_an_object_with_what_it_is_about() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(AsJson("n1"))
    log = logging.Logger("test")
    log.addHandler(handler)
    log.info("leads group %s\nnow", "shard-1", extra={"group": "shard-1", "term": 3, "other": 1})
    name = "Ann" + " Smith"
    try:
        raise KeyError(name)
    except KeyError:
        log.exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {
        "level": "INFO",
        "process": "n1",
        "message": "leads group shard-1\nnow",
        "group": "shard-1",
        "term": 3,
    }
    assert second["where"].endswith("builtins.KeyError")
    assert name not in stream.getvalue()
