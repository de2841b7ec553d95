"""The evaluator ``sql``: queries by their results."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field

import mftkit
from mftkit_plugins.evaluators.execution.sandbox import SandboxOptions, place
from mftkit_plugins.evaluators.sql.execution import Database, Queries
from mftkit_plugins.evaluators.sql.queries import is_ordered, normalised, query_of
from mftkit_plugins.evaluators.sql.results import same_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit_plugins.evaluators.sql.execution import Result


class Sql(mftkit.Evaluator):
    """Runs the query of each answer and that of its row on the row's SQLite database, and compares the results."""

    class Options(SandboxOptions):
        """Where the databases are, and what makes results equal."""

        databases: mftkit.SpecPath | None = None
        """A directory with DB/*.sqlite for each database DB, as Spider has it, or DB.sqlite. With several files a query
        must be right on all of them."""
        database_key: str = Field(default="db_id", min_length=1)
        """Key of a row's database, by its name in ``databases``."""
        schema_key: str = Field(default="schema", min_length=1)
        """Key of statements that make the row's database (CREATE, INSERT), for rows without ``databases``."""
        query: str | None = None
        """Key of the right query. Null: "query" or "sql" or "SQL", else the row's last answer."""
        columns: Literal["position", "any"] = "position"
        """"any": the columns of a result may stand in another order, as in Spider's test-suite evaluation."""
        output_kib: int = Field(default=1024, ge=1)
        """Limit on the result of one query, in KiB."""

    options: Options

    @cached_property
    def _queries(self) -> Queries:
        return Queries()

    def metrics(self) -> tuple[mftkit.Metric, ...]:
        """The shares of queries with the right result, and with the very text."""
        return (mftkit.Metric("execution"), mftkit.Metric("exact"))

    def check(self, rows: Sequence[mftkit.EvaluationRow], context: mftkit.EvaluationContext) -> None:
        """Raise MftError for a row without query or database, or whose query fails."""
        sandbox = self.options.sandbox(context)
        asked = [(row, database) for row in rows for database in self._databases(row)]
        pairs = [(database, self._right(row)) for row, database in asked]
        results = self._queries.results(pairs, sandbox)
        for (row, database), pair in zip(asked, pairs, strict=True):
            error = results[pair].error
            if error is not None:
                where = f" on {database.file}" if database.file is not None else ""
                raise mftkit.MftError(
                    f"sql: the query of {place(row)} fails{where}: {error}; correct the row or its database, or raise "
                    'the options "seconds" and "output_kib"'
                )

    def _right(self, row: mftkit.EvaluationRow) -> str:
        keys = ("query", "sql", "SQL") if self.options.query is None else (self.options.query,)
        given = [row.row[key] for key in keys if isinstance(row.row.get(key), str)]
        text = given[0] if given else row.reference if self.options.query is None else None
        if not text or not query_of(text):
            raise mftkit.MftError(
                f'sql: {place(row)} has no query to compare with, under "{keys[0]}" or as its answer; add it'
            )
        return query_of(text)

    def _databases(self, row: mftkit.EvaluationRow) -> list[Database]:
        options = self.options
        if options.databases is None:
            schema = row.row.get(options.schema_key)
            if not isinstance(schema, str) or not schema.strip():
                raise mftkit.MftError(
                    f'sql: {place(row)} has no database: neither statements under "{options.schema_key}", nor is the '
                    "option databases set, the directory of SQLite files"
                )
            return [Database(schema=schema)]
        name = row.row.get(options.database_key)
        if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
            raise mftkit.MftError(
                f'sql: {place(row)} has no name of a database under "{options.database_key}"; add it, or name another '
                "key with the option database_key"
            )
        single = options.databases / f"{name}.sqlite"
        files = sorted((options.databases / name).glob("*.sqlite")) or [single]
        if not files[0].is_file():
            raise mftkit.MftError(
                f"sql: the database {name} of {place(row)} is missing: neither {options.databases / name}/*.sqlite nor "
                f"{single} is there; add it, or correct the option databases"
            )
        return [Database(file) for file in files]

    def score(
        self, answered: Sequence[mftkit.Answered], context: mftkit.EvaluationContext
    ) -> list[list[mftkit.Verdict]]:
        """Run the queries of all answers, and compare."""
        sandbox = self.options.sandbox(context)
        databases = [self._databases(each.row) for each in answered]
        results = self._queries.results(
            (
                (database, query)
                for each, own in zip(answered, databases, strict=True)
                for query in (self._right(each.row), *(query_of(answer.text) for answer in each.answers))
                for database in own
            ),
            sandbox,
        )
        return [
            [self._verdict(each.row, query_of(answer.text), own, results) for answer in each.answers]
            for each, own in zip(answered, databases, strict=True)
        ]

    def _verdict(
        self,
        row: mftkit.EvaluationRow,
        query: str,
        databases: Sequence[Database],
        results: dict[tuple[Database, str], Result],
    ) -> mftkit.Verdict:
        right = self._right(row)
        notes = [
            self._difference(results[database, query], results[database, right], ordered=is_ordered(right))
            for database in databases
        ]
        note = next(filter(None, notes), "")
        exact = normalised(query) == normalised(right)
        return mftkit.Verdict({"execution": float(not note), "exact": float(exact)}, not note, note)

    def _difference(self, found: Result, expected: Result, *, ordered: bool) -> str:
        """Return what is wrong with a result; empty if nothing is."""
        if found.error is not None:
            return found.error
        if same_rows(found.rows, expected.rows, ordered=ordered, columns=self.options.columns):
            return ""
        return f"another result: {len(found.rows)} rows, not the {len(expected.rows)} expected ones"
