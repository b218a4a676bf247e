"""What a process counts, and the text in which Prometheus reads it.

What is counted is a plain integer of the object that it happens to, or a `Latencies`; nothing here
is told of it. When somebody asks, the objects' numbers are gathered as *families*, one for each
name, and written in the text exposition format 0.0.4. Families of several processes can be shown
as one, with a label that tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

__all__ = [
    "CONTENT_TYPE",
    "Family",
    "Latencies",
    "Sample",
    "Samples",
    "exposition",
    "family",
    "in_words",
    "labelled",
    "read_exposition",
]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

FIRST_BUCKET: Final = 7
"""2 ** 7 microseconds: what is quicker than 128 us is counted there ..."""

LAST_BUCKET: Final = 26
"""... and what is slower than 67 s only in the last one, +Inf."""

_BUCKETS: Final = 64  # every int64 has a place, so that nobody has to compare

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Labels: TypeAlias = tuple[tuple[str, str], ...]


class Sample(NamedTuple):
    """One number. `suffix` is what a histogram's parts are called behind its name."""

    labels: Labels
    value: float
    suffix: str = ""


class Family(msgspec.Struct, frozen=True):
    """The samples of one name."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]


class Latencies:
    """How long something took, in buckets whose limits are powers of two microseconds.

    Who is in a hurry counts by itself:

        latencies.counts[int(seconds * 1e6).bit_length()] += 1
        latencies.seconds += seconds
    """

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        self.counts[int(seconds * 1e6).bit_length()] += 1
        self.seconds += seconds

    @property
    def count(self) -> int:
        return sum(self.counts)

    def samples(self, labels: Labels = ()) -> list[Sample]:
        """Those of a histogram, in seconds."""
        below = sum(self.counts[:FIRST_BUCKET])
        samples = []
        for place in range(FIRST_BUCKET, LAST_BUCKET + 1):
            below += self.counts[place]
            limit = ("le", f"{2**place / 1e6:g}")
            samples.append(Sample((*labels, limit), below, "_bucket"))
        count = self.count
        samples.append(Sample((*labels, ("le", "+Inf")), count, "_bucket"))
        samples.append(Sample(labels, self.seconds, "_sum"))
        samples.append(Sample(labels, count, "_count"))
        return samples


Value: TypeAlias = float | Latencies


def family(
    name: str,
    kind: Kind,
    help_: str,
    samples: Mapping[str, Value] | Mapping[tuple[str, str], Value] | Value,
    *labels: str,
) -> Family:
    """Of one number, or of some by the values of `labels`, one or two."""
    if not isinstance(samples, Mapping):
        return Family(name, kind, help_, tuple(_samples((), samples)))
    listed: list[Sample] = []
    for values, value in samples.items():
        texts = (values,) if isinstance(values, str) else values
        listed += _samples(tuple(zip(labels, texts, strict=True)), value)
    return Family(name, kind, help_, tuple(listed))


def _samples(labels: Labels, value: Value) -> list[Sample]:
    return value.samples(labels) if isinstance(value, Latencies) else [Sample(labels, value)]


def in_words(message: type) -> str:
    """What a kind of requests or answers is called in a label: as in the protocol, in words."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in message.__name__).lstrip("_")


def labelled(processes: Mapping[str, Sequence[Family]], label: str) -> list[Family]:
    """The families of several processes as one list; `label` has the name of the process."""
    merged: dict[str, Family] = {}
    for process, families in processes.items():
        for each in families:
            own = tuple(
                Sample(((label, process), *sample.labels), sample.value, sample.suffix)
                for sample in each.samples
            )
            known = merged.get(each.name)
            before = () if known is None else known.samples
            merged[each.name] = Family(each.name, each.kind, each.help, (*before, *own))
    return list(merged.values())


def exposition(families: Iterable[Family]) -> str:
    """The text that Prometheus reads."""
    lines: list[str] = []
    for each in families:
        lines.append(f"# HELP {each.name} {_escaped(each.help)}")
        lines.append(f"# TYPE {each.name} {each.kind}")
        for labels, value, suffix in each.samples:
            shown = ",".join(f'{name}="{_quoted(text)}"' for name, text in labels)
            braces = f"{{{shown}}}" if shown else ""
            lines.append(f"{each.name}{suffix}{braces} {_number(value)}")
    return "\n".join(lines) + "\n"


Samples: TypeAlias = dict[tuple[str, Labels], float]

_LINE: Final = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)\Z", re.ASCII)
_ESCAPE: Final = re.compile(r"\\(.)")
_LABEL: Final = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|\Z)', re.ASCII)


def read_exposition(text: str) -> Samples:
    """The numbers of such a text, by name and labels in order. Raises ValueError."""
    samples: Samples = {}
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"no sample: {line[:100]}")
        labels = [(name, _plain(value)) for name, value in _LABEL.findall(match[2] or "")]
        samples[match[1], tuple(sorted(labels))] = float(match[3])
    return samples


def _number(value: float) -> str:
    return repr(value) if isinstance(value, float) else str(int(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], text)
