"""Enumerations at random: their types, tables of them, and what compares, sorts and adds labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.suites.differential.chance import Labelled, Made
from tests.suites.differential.queries import Queries
from tests.suites.differential.trees import Parameter, Tree, leaf, listed, template
from tests.suites.differential.values import KEYS

__all__ = ["Labels"]

LABELS: Final = ("sad", "ok", "happy", "A b", "ä", "zzz", "")
LABELLED_MAX: Final = 2


class Labels(Queries):
    def labelled(self) -> Made:
        """Something of an enumeration."""
        known = self.world.labelled
        if not known or (len(known) < LABELLED_MAX and self.one_of(0.1)):
            return self._create()
        one = self.rng.choice(known)
        kind = self.rng.random()
        if kind < 0.35:
            return self._insert(one)
        if kind < 0.45:
            return self._update(one)
        if kind < 0.55:
            return self._change(one)
        return self._query(one)

    def _create(self) -> Made:
        """The type and its table by one message: neither is of use without the other."""
        name = self.new_name("e")
        labels = tuple(self.rng.sample(LABELS[:-1], self.rng.randint(1, 4)))
        written, table = self.named("l")
        key = self.rng.choice(["k int PRIMARY KEY, ", "k int, "])
        default = f" DEFAULT '{labels[0]}'" if self.one_of(0.3) else ""
        shown = ", ".join(f"'{label}'" for label in labels)
        text = (
            f"CREATE TYPE public.{name} AS ENUM ({shown}); "
            f"CREATE TABLE {written} ({key}m public.{name}{default}, l public.{name}[])"
        )
        made = Labelled(f"public.{name}", labels, table)
        world = replace(self.world, labelled=(*self.world.labelled, made))
        return Made(leaf(text, tag="CREATE TYPE AS ENUM"), world=world, is_simple_only=True)

    def _label(self, one: Labelled) -> Tree:
        """Mostly one of the type's, in one of the ways to write it."""
        if self.one_of(0.08):
            return leaf("NULL")
        label = self.rng.choice(one.labels if self.one_of(0.95) else LABELS)
        way = self.rng.random()
        if way < 0.2:
            return leaf(f"'{label}'::{one.type}")
        if way < 0.3:
            return leaf(f"CAST('{label}' AS {one.type})")
        if way < 0.4:
            return leaf(f"('{label}'::text)::{one.type}")
        return leaf(f"'{label}'", parameter=Parameter(label, 0) if way < 0.7 else None)

    def _list(self, one: Labelled) -> Tree:
        labels = [self.rng.choice(one.labels) for _ in range(self.rng.randint(0, 3))]
        if self.one_of(0.4) and labels:
            shown = ", ".join(f"'{label}'" for label in labels)
            return leaf(f"ARRAY[{shown}]::{one.type}[]")
        return leaf("'{" + ",".join(f'"{label}"' for label in labels) + f"}}'::{one.type}[]")

    def _insert(self, one: Labelled) -> Made:
        rows = [
            listed(
                [leaf(str(self.rng.randint(1, KEYS))), self._label(one), self._list(one)],
                before="(", behind=")", least=3,
            )
            for _ in range(self.rng.choice([1, 1, 3]))
        ]  # fmt: skip
        tail = self.rng.choice(["", " RETURNING m, l", " ON CONFLICT DO NOTHING"])
        values = listed(rows, before=f"INSERT INTO {one.table} (k, m, l) VALUES ", behind=tail)
        return Made(template("{}", values, tag="CREATE TYPE AS ENUM"))

    def _update(self, one: Labelled) -> Made:
        tree = template(
            f"UPDATE {one.table} SET m = {{}} WHERE {{}}", self._label(one), self._test(one)
        )
        if self.one_of(0.4):
            tree = template(f"DELETE FROM {one.table} WHERE {{}}", self._test(one))
        return Made(tree)

    def _test(self, one: Labelled) -> Tree:
        sign = self.rng.choice(["=", "<", ">=", "<>", "IS DISTINCT FROM"])
        forms = [
            template(f"m {sign} {{}}", self._label(one)),
            template("m IN ({}, {})", self._label(one), self._label(one)),
            template("m BETWEEN {} AND {}", self._label(one), self._label(one)),
            template("m = ANY ({})", self._list(one)),
            template("l @> {}", self._list(one)),
            template("{} = ANY (l)", self._label(one)),
            leaf("m = l[1]"),
            leaf("m::text < 'm'"),
            leaf("m IS NOT NULL"),
            leaf("l = l"),
        ]
        return self.rng.choice(forms)

    def _query(self, one: Labelled) -> Made:
        name = one.table
        forms = [
            template(f"SELECT k, m, l FROM {name} WHERE {{}} ORDER BY m, k, l", self._test(one)),
            template(f"SELECT m::text, l::text, m || 'x' FROM {name} WHERE {{}}", self._test(one)),
            leaf(f"SELECT min(m), max(m), count(m), count(DISTINCT m) FROM {name}"),
            leaf(f"SELECT m, count(*), array_agg(k ORDER BY k) FROM {name} GROUP BY m ORDER BY m"),
            leaf(f"SELECT DISTINCT m FROM {name} ORDER BY m DESC NULLS LAST"),
            template("SELECT {}, coalesce(m, {}) FROM " + name, self._label(one), self._label(one)),
            leaf(f"SELECT x.m FROM {name} x JOIN {name} y ON x.m = y.m ORDER BY x.m"),
            leaf(f"SELECT m FROM {name} UNION SELECT l[1] FROM {name} ORDER BY 1"),
            leaf(f"SELECT array_agg(m ORDER BY m, k), cardinality(min(l)) FROM {name}"),
            leaf(f"SELECT greatest(m, l[1]), nullif(m, l[1]), CASE WHEN m > l[1] THEN m END "
                 f"FROM {name}"),
            leaf(f"SELECT m = 1 FROM {name}"),
            leaf(f"SELECT m < 'a'::text FROM {name}"),
            leaf(f"SELECT to_json(m), concat(m, l), length(m::text) FROM {name}"),
            leaf(f"SELECT lag(m) OVER (ORDER BY k, m, l), first_value(m) OVER (ORDER BY m, k, l) "
                 f"FROM {name} WHERE k > 3"),
        ]  # fmt: skip
        at = self.rng.randrange(len(forms))
        return Made(template("{}", forms[at], tag="CREATE TYPE AS ENUM"), at == 0)

    def _change(self, one: Labelled) -> Made:
        rest = [label for label in LABELS if label not in one.labels]
        kind = self.rng.random()
        if kind < 0.5 and rest:
            label = self.rng.choice(rest)
            place, at = "", len(one.labels)
            if self.one_of(0.6):
                at = self.rng.randrange(len(one.labels))
                word = self.rng.choice(["BEFORE", "AFTER"])
                place = f" {word} '{one.labels[at]}'"
                at += word == "AFTER"
            exists = " IF NOT EXISTS" if self.one_of(0.2) else ""
            labels = (*one.labels[:at], label, *one.labels[at:])
            text = f"ALTER TYPE {one.type} ADD VALUE{exists} '{label}'{place}"
            return self._changed(one, replace(one, labels=labels), leaf(text))
        if kind < 0.7:
            exists = self.rng.choice(["", " IF NOT EXISTS"])
            text = f"ALTER TYPE {one.type} ADD VALUE{exists} '{one.labels[0]}'"
            return Made(leaf(text), is_simple_only=True)
        if kind < 0.8:
            return Made(leaf(f"DROP TYPE {one.type}"), is_simple_only=True)
        return self._changed(one, None, leaf(f"DROP TABLE {one.table}; DROP TYPE {one.type}"))

    def _changed(self, one: Labelled, after: Labelled | None, tree: Tree) -> Made:
        rest = tuple(other for other in self.world.labelled if other != one)
        world = replace(self.world, labelled=rest if after is None else (*rest, after))
        made = template("{}", tree, tag="ALTER TYPE ADD VALUE" if after else "DROP TYPE")
        return Made(made, world=world, is_simple_only=True)
