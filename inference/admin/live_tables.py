"""The tables of the live page: which field of a row is in which column. Their texts are those of ``api.live.rows``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from inference.api.live.feed import State
from inference.api.live.rows import Row


class Column(NamedTuple):
    label: str
    field: str
    below: str = ""
    """A second field, smaller, below the first."""
    kind: str = ""
    """``state``, ``number``, ``request`` for a link to the log, or ``actions``."""


class Cell(NamedTuple):
    column: Column
    text: str
    below: str


class TableRow(NamedTuple):
    key: str
    state: str
    cells: list[Cell]


@dataclass
class Table:
    section: str
    title: str
    noun: str
    """What a row is, for the announcement that its state has changed; empty where that is none."""
    columns: Sequence[Column]
    empty: str
    """What there is to say when it has no rows."""
    note: str = ""
    rows: list[TableRow] = field(default_factory=list)

    @property
    def blank(self) -> TableRow:
        """What scripts make new rows from."""
        return self.row({})

    def row(self, row: Row) -> TableRow:
        cells = [Cell(column, row.get(column.field, ""), row.get(column.below, "")) for column in self.columns]
        return TableRow(row.get("key", ""), row.get("state", ""), cells)


ACTIONS = Column("Actions", "", kind="actions")
PIPELINES = (
    Column("Pipeline", "name", "model"),
    Column("State", "state", "reason", kind="state"),
    Column("Workers", "workers", "version"),
    Column("In the model", "running", kind="number"),
    Column("Waiting at workers", "at_workers", kind="number"),
    Column("Waiting here", "waiting", kind="number"),
    Column("Predicted wait", "wait", kind="number"),
    Column("Inputs/s possible", "speed", kind="number"),
    Column("Answered/s", "answered", kind="number"),
    Column("Refused/s", "refused", kind="number"),
    Column("Failed/s", "failed", kind="number"),
)
WORKERS = (
    Column("Pipeline", "name", "version"),
    Column("State", "state", "reason", kind="state"),
    Column("Host", "host", "host_key"),
    Column("Device", "device"),
    Column("Threads", "threads", kind="number"),
    Column("In the model", "running"),
    Column("Waiting", "waiting", kind="number"),
    Column("Jobs from here", "ours", kind="number"),
    Column("Share of the host", "share", kind="number"),
    Column("Time per job", "job_ms", kind="number"),
    Column("Jobs run", "jobs", kind="number"),
)
HOSTS = (
    Column("Host", "name", "key"),
    Column("State", "state", kind="state"),
    Column("Process", "pid", kind="number"),
    Column("Pipelines", "pipelines"),
    Column("Memory", "memory", kind="number"),
    Column("Cores in use", "cores", kind="number"),
    Column("Jobs from here", "ours", kind="number"),
    Column("Web processes", "webs", kind="number"),
)
ERRORS = (
    Column("Time", "time"),
    Column("Outcome", "state", "code", kind="state"),
    Column("Pipeline", "name"),
    Column("Count", "count", kind="number"),
    Column("Message", "message"),
    Column("Last request", "request_id", "transport", kind="request"),
)


def tables(state: State, *, messages: bool, operates: bool = False) -> list[Table]:
    """Of the rows of ``LiveFeed.state``.

    Args:
        messages: with what clients were told.
        operates: with the buttons of pipelines and hosts.
    """
    actions = (ACTIONS,) if operates else ()
    errors = tuple(column for column in ERRORS if messages or column.field != "message")
    note = "" if messages else "Messages are shown to those who may view inputs, which they may quote."
    made = [
        Table("pipelines", "Pipelines", "Pipeline", PIPELINES + actions, "The catalog has no pipeline."),
        Table("workers", "Workers", "Worker of pipeline", WORKERS, "No worker is known to this web process."),
        Table("hosts", "Hosts", "Host", HOSTS + actions, "No worker host is known to this web process."),
        Table("errors", "Last refusals and errors", "", errors, "None since this web process started.", note),
    ]
    for table in made:
        table.rows = [table.row(row) for row in state.get(table.section, [])]
    return made
