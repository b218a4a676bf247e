"""COPY at random: out of tables and queries, and rows into tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.suites.differential.chance import Column, Made, Table
from tests.suites.differential.constructs import TAME, WILD
from tests.suites.differential.queries import Queries
from tests.suites.differential.trees import leaf, listed, template, without_parameters
from tests.suites.differential.values import KEYS, Room

__all__ = ["Copies", "csv_line", "text_line"]

FORMATS: Final = (
    "", "", " WITH (FORMAT csv)", " (FORMAT csv, HEADER)", " CSV HEADER", " (DELIMITER '|')",
    " WITH (NULL 'nil')", " (FORMAT text, HEADER)", " WITH CSV NULL 'nil' DELIMITER ';'",
)  # fmt: skip
"""Options of both directions."""

OF_OUTPUT: Final = (" (FORMAT csv, FORCE_QUOTE *)", " (FORMAT csv, QUOTE '''', ESCAPE '!')")

FAULTS: Final = ("too few", "too many", "no value of the type", "no key")


class Copies(Queries):
    def copy(self) -> Made:
        return self._out() if self.one_of(0.5) else self._into()

    # ------------------------------------------------------------------ TO STDOUT

    def _out(self) -> Made:
        table = self.table()
        key = table.columns[0].name
        if self.one_of(0.4):
            room = Room(table.columns, 1, is_lazy=True)
            items = [self.expression(self.type(), room) for _ in range(self.rng.randint(1, 3))]
            where = without_parameters(self.where(table.columns))  # it has none of its own
            form = self.rng.choice([*FORMATS, *OF_OUTPUT, " (FORMAT binary)"])
            tree = template(
                f"COPY (SELECT {key}, {{}} FROM {table.name}{{}} ORDER BY {key}) TO STDOUT{form}",
                *(without_parameters(listed(items)), where),
                tag="COPY TO STDOUT",
            )
            # A view's key is none: rows that are equal in it come in any order.
            return Made(tree, is_ordered=not table.is_view)
        columns = ""
        if self.one_of(0.4):
            some = self.rng.sample(table.columns, self.rng.randint(1, len(table.columns)))
            columns = f" ({', '.join(column.name for column in some)})"
        form = self.rng.choice([*FORMATS, *OF_OUTPUT])
        return Made(leaf(f"COPY {table.name}{columns} TO STDOUT{form}", tag="COPY TO STDOUT"))

    # ------------------------------------------------------------------ FROM STDIN

    def _into(self) -> Made:
        table = self.written_table()
        columns: Sequence[Column] = table.columns
        names = ""
        if self.one_of(0.4):
            rest = list(columns[1:])
            columns = [columns[0], *self.rng.sample(rest, self.rng.randint(0, len(rest)))]
            names = f" ({', '.join(column.name for column in columns)})"
        form = self.rng.choice(FORMATS)
        rows = self._rows(table, columns)
        is_csv, null = "csv" in form.lower(), "nil" if "nil" in form else None
        mark = next((mark for mark in "|;" if mark in form), "," if is_csv else "\t")
        line = csv_line if is_csv else text_line
        shown = [line(row, mark, null) for row in rows]
        if "HEADER" in form:
            shown.insert(0, line([column.name for column in columns], mark, null))
        if self.one_of(0.1):
            shown.append("\\.\n")
        text = f"COPY {table.name}{names} FROM STDIN{form}"
        copied = None if self.one_of(0.05) else "".join(shown).encode()
        return Made(leaf(text, tag="COPY FROM STDIN"), copied=copied)

    def _rows(self, table: Table, columns: Sequence[Column]) -> list[list[str | None]]:
        """Of which the first one may be wrong, and only one may meet a rule: which of several
        errors is told depends on how many rows a server reads before it writes them."""
        count = 1 if table.has_rules else self.rng.choice([0, 1, 2, 4])
        rows = [self._row_of_texts(columns) for _ in range(count)]
        if not rows or not self.one_of(0.15):
            return rows
        fault, first = self.rng.choice(FAULTS), rows[0]
        numbers = [at for at, column in enumerate(columns) if column.type.startswith("int")]
        if fault == "too few" and len(first) > 1:
            first.pop()
        elif fault == "too many":
            first.append("x")
        elif fault == "no value of the type" and numbers:
            first[self.rng.choice(numbers)] = self.rng.choice(
                ["x", "1.5", "", "99999999999999999999"]
            )
        elif fault == "no key":
            first[0] = None
        return rows

    def _row_of_texts(self, columns: Sequence[Column]) -> list[str | None]:
        number = self.rng.randint(1, 2 * KEYS)
        row: list[str | None] = [f"k{number}" if columns[0].type == "text" else str(number)]
        for column in columns[1:]:
            values = WILD[column.type] if column.is_wild and self.one_of(0.4) else TAME[column.type]
            row.append(None if self.one_of(0.15) else self.rng.choice(values))
        return row


def text_line(row: Sequence[str | None], mark: str = "\t", null: str | None = None) -> str:
    """A line of the text format."""
    cells = []
    for cell in row:
        if cell is None:
            cells.append("\\N" if null is None else null)
            continue
        for sign, written in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
            cell = cell.replace(sign, written)
        cells.append(cell if mark == "\t" else cell.replace(mark, f"\\{mark}"))
    return mark.join(cells) + "\n"


def csv_line(row: Sequence[str | None], mark: str = ",", null: str | None = None) -> str:
    """A line of the csv format."""
    cells = []
    for cell in row:
        if cell is None:
            cells.append(null or "")
        elif cell in ("", null, "\\.") or any(sign in cell for sign in (mark, '"', "\n", "\r")):
            cells.append('"' + cell.replace('"', '""') + '"')
        else:
            cells.append(cell)
    return mark.join(cells) + "\n"
