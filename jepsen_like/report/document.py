"""What every page has in common: the template engine, the one style, and a policy.

The policy is the proof that a page stands alone: a browser that keeps to it fetches nothing from
anywhere, and applies no style and runs no script but the ones whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from jepsen_like.report import words

__all__ = ["Head", "render"]

STYLE: Final = "style.css.j2"


@dataclass(frozen=True)
class Head:
    style: Markup
    script: Markup
    policy: str


def render(template: str, *, script: str = "", **values: Any) -> str:
    """The page as text, with nothing in it that would move a cursor. `script`: a file."""
    text = _environment().get_template(template).render(head=_head(script), words=words, **values)
    return words.printable(text)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _head(script: str) -> Head:
    style = _environment().get_template(STYLE).render()
    code = (Path(__file__).parent / script).read_text(encoding="utf-8") if script else ""
    allowed = [f"style-src 'sha256-{_hash(style)}'"]
    if code:
        allowed.append(f"script-src 'sha256-{_hash(code)}'")
    policy = "; ".join(["default-src 'none'", *allowed])
    # both are files of this package, with no word of a history in them
    return Head(Markup(style), Markup(code), policy)  # noqa: S704


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
