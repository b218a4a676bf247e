"""From the text of a statement to the values of `shardrouter.syntax`.

sqlglot's parser does the grammar; only this module and `shardrouter.parsing` import it. Its
tokenizer is not used: it reads some of PostgreSQL's texts as something else. Instead the parser
gets the tokens of `shardrouter.phrases` and `shardrouter.dialect`. What comes back is walked by
an allow-list of node classes and of their arguments (`shardrouter.parsing`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import ErrorLevel, ParseError
from sqlglot.tokenizer_core import Token as SqlglotToken
from sqlglot.tokenizer_core import TokenType

from shardrouter import syntax
from shardrouter.dialect import MARK, check_sequence, parser_tokens, unexpected
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Token, split, syntax_error, tokenize
from shardrouter.parsing.changes import Changes
from shardrouter.phrases import plain

__all__ = ["parse", "split"]


class _Dialect(Postgres):
    """PostgreSQL's, with subscripts as they were written."""

    INDEX_OFFSET = 0


# The parser logs when it gives up on a statement; the error that is raised says it better.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


def parse(sql: str) -> syntax.Statement:
    """One statement. Raises StatementError and NotSupported with positions."""
    return parse_tokens(tokenize(sql))


def parse_tokens(tokens: Sequence[Token]) -> syntax.Statement:
    """One SELECT, INSERT, UPDATE, DELETE, CREATE TABLE or DROP TABLE from its tokens."""
    tokens = plain(tokens)
    check_sequence(tokens)
    parser = _Dialect().parser(error_level=ErrorLevel.IMMEDIATE)
    try:
        trees = parser.parse(
            [
                # `col` is the ordinal of our token, for the parser's messages.
                SqlglotToken(TokenType[kind], text, 1, i, tokens[i].start, tokens[i].end - 1)
                for kind, text, i in parser_tokens(tokens)
            ],
            "",
        )
        if len(trees) != 1 or trees[0] is None:
            raise unexpected(tokens[0] if tokens else None)
        return _Walk(tokens).statement(trees[0])
    except ParseError as exc:
        raise _syntax_error_of(exc, tokens) from exc
    except RecursionError as exc:
        raise StatementError(
            "stack depth limit exceeded", sqlstate="54001", hint="Write a simpler expression."
        ) from exc


def _syntax_error_of(error: ParseError, tokens: Sequence[Token]) -> StatementError:
    first = error.errors[0] if error.errors else {}
    at = int(first.get("col") or 0)
    if str(first.get("description", "")).startswith("Required keyword"):
        at += 1  # the parser points at the last token it took, what is missing comes after
    if at >= len(tokens):
        end = tokens[-1].end if tokens else 0
        return syntax_error("", end)
    return syntax_error(tokens[at].source, tokens[at].start)


_FORMS: Final = {
    "create": "There is CREATE TABLE [IF NOT EXISTS] name (columns and keys).",
    "drop": "There is DROP TABLE [IF EXISTS] name, ...",
}


class _Walk(Changes):
    """Turns one tree into values."""

    # ---- statements

    def statement(self, node: exp.Expr) -> syntax.Statement:
        walk: dict[type[exp.Expr], Callable[[Any], syntax.Statement]] = {
            exp.Select: self.query,
            exp.Values: self.query,
            exp.Union: self.query,
            exp.Intersect: self.query,
            exp.Except: self.query,
            exp.Subquery: self.query,
            exp.Insert: self._insert,
            exp.Update: self._update,
            exp.Delete: self._delete,
            exp.Create: self._create,
            exp.Drop: self._drop,
        }
        found = walk.get(type(node))
        if found is None:
            first = self._tokens[0]
            raise NotSupported(
                f"this form of {first.text.upper()} is not supported",
                position=first.start + 1,
                hint=_FORMS.get(first.text, ""),
            )
        return found(node)

    def _create(self, node: exp.Create) -> syntax.Statement:
        if node.args.get("kind") != "TABLE" or not isinstance(node.this, exp.Schema):
            raise NotSupported("this form of CREATE is not supported", hint=_FORMS["create"])
        self._only(node, "this", "kind", "exists", "properties")
        columns: list[syntax.ColumnDefinition] = []
        keys: list[syntax.KeyConstraint] = []
        for part in node.this.expressions:
            if isinstance(part, exp.ColumnDef):
                columns.append(self._column_definition(part))
            else:
                keys.append(self._table_constraint(part))
        return syntax.CreateTableStatement(
            self._table(node.this.this),
            tuple(columns),
            tuple(keys),
            self._options(node.args.get("properties")),
            bool(node.args.get("exists")),
        )

    def _column_definition(self, node: exp.ColumnDef) -> syntax.ColumnDefinition:
        self._only(node, "this", "kind", "constraints")
        name = self._name(node.this)
        kind = node.args.get("kind")
        if kind is None:
            raise unexpected(self._token_after(name.position))
        not_null = primary = unique = False
        nullable: bool | None = None
        default: syntax.Expression | None = None
        for constraint in node.args.get("constraints") or []:
            if not isinstance(constraint, exp.ColumnConstraint):
                raise self._unsupported(constraint)
            self._only(constraint, "this", "kind")
            what = constraint.args["kind"]
            if isinstance(what, exp.NotNullColumnConstraint):
                self._only(what, "allow_null")
                wanted = not what.args.get("allow_null")
                if nullable is not None and nullable is wanted:
                    raise StatementError(
                        f'conflicting NULL/NOT NULL declarations for column "{name.text}"',
                        sqlstate="42601",
                        position=name.position,
                    )
                nullable, not_null = not wanted, wanted
            elif isinstance(what, exp.PrimaryKeyColumnConstraint):
                self._key_details(what)
                if primary:
                    raise StatementError(
                        "multiple primary keys for a table are not allowed",
                        sqlstate="42P16",
                        position=name.position,
                    )
                primary = True
            elif isinstance(what, exp.UniqueColumnConstraint):
                self._key_details(what)
                unique = True
            elif isinstance(what, exp.DefaultColumnConstraint):
                self._only(what, "this")
                default = self.expression(what.this)
            else:
                raise self._unsupported(constraint, "this column constraint")
        return syntax.ColumnDefinition(name, self._type(kind), not_null, primary, unique, default)

    def _key_details(self, node: exp.Expr, *known: str) -> None:
        self._only(node, "include", *known)
        include = node.args.get("include")
        if include is not None:
            self._only(include)

    def _table_constraint(self, node: exp.Expr) -> syntax.KeyConstraint:
        if isinstance(node, exp.Constraint):
            self._only(node, "this", "expressions")
            if len(node.expressions) != 1:
                raise self._unsupported(node, "this table constraint")
            node = node.expressions[0]
        if isinstance(node, exp.PrimaryKey):
            self._key_details(node, "expressions")
            return syntax.KeyConstraint(True, self._names(node.expressions))
        if isinstance(node, exp.UniqueColumnConstraint) and isinstance(node.this, exp.Schema):
            self._key_details(node, "this")
            self._only(node.this, "expressions")
            return syntax.KeyConstraint(False, self._names(node.this.expressions))
        raise self._unsupported(node, "this table constraint")

    def _options(self, node: exp.Expr | None) -> tuple[tuple[str, str], ...]:
        if node is None:
            return ()
        self._only(node, "expressions")
        options = []
        for option in node.expressions:
            if type(option) is not exp.Property:
                raise self._unsupported(option, "this table option")
            self._only(option, "this", "value")
            value = option.args.get("value")
            if isinstance(value, exp.Boolean):
                text = "true" if value.this else "false"
            else:
                text = value.name if isinstance(value, exp.Expr) else str(value)
            options.append((option.this.name.removeprefix(MARK), text.removeprefix(MARK)))
        return tuple(options)

    def _drop(self, node: exp.Drop) -> syntax.DropTableStatement:
        if node.args.get("kind") != "TABLE":
            raise NotSupported("this form of DROP is not supported", hint=_FORMS["drop"])
        # RESTRICT is what DROP does anyway; CASCADE has nothing to drop, as no object of this
        # database depends on a table.
        self._only(node, "kind", "exists", "tables", "this", "cascade", "restrict")
        tables = node.args.get("tables") or [node.this]
        return syntax.DropTableStatement(
            tuple(self._table(table) for table in tables), bool(node.args.get("exists"))
        )
