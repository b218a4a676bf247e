"""The content of a directory tree, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Image"]


@dataclass(frozen=True)
class Image:
    """The content of a directory tree, by path relative to it."""

    files: dict[str, bytes] = field(default_factory=dict)
    directories: frozenset[str] = frozenset()

    @staticmethod
    def of(directory: Path) -> Image:
        found = sorted(directory.rglob("*"))
        return Image(
            {str(p.relative_to(directory)): p.read_bytes() for p in found if p.is_file()},
            frozenset(str(p.relative_to(directory)) for p in found if p.is_dir()),
        )

    def differences(self, other: Image) -> tuple[str, ...]:
        """Names that are in one of them only, and files whose content differs."""
        names = self.directories ^ other.directories
        files = self.files.keys() | other.files.keys()
        changed = {name for name in files if self.files.get(name) != other.files.get(name)}
        return tuple(sorted(names | changed))

    def write_to(self, directory: Path) -> None:
        """Make `directory` hold this and nothing else. What is there already keeps its mode."""
        directory.mkdir(parents=True, exist_ok=True)
        for path in sorted(directory.rglob("*"), reverse=True):  # what is inside goes first
            name = str(path.relative_to(directory))
            if path.is_dir() and name not in self.directories:
                path.rmdir()
            elif path.is_file() and name not in self.files:
                path.unlink()
        for name in sorted(self.directories):
            (directory / name).mkdir(exist_ok=True)
        for name, data in self.files.items():
            (directory / name).write_bytes(data)
