"""The tables of the live page: which field of a row is in which column. Their texts are those of ``api.live.rows``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

from inference.api.live.feed import State
from inference.api.live.rows import Row

KEY = "__key__"


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


class Action(NamedTuple):
    """A link to a page that asks whether it shall be done."""

    order: str
    label: str
    pattern: str
    """Its path, with ``KEY`` in the place of the key of the row."""

    def path(self, key: str) -> str:
        return self.pattern.replace(KEY, quote(key, safe=""))


class TableRow(NamedTuple):
    key: str
    state: str
    name: str
    cells: list[Cell]
    actions: list[tuple[Action, str]]
    """Each with its path."""


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
    actions: Sequence[Action] = ()
    rows: list[TableRow] = field(default_factory=list)

    @property
    def blank(self) -> TableRow:
        """What scripts make new rows from."""
        return self.row({})

    def row(self, row: Row) -> TableRow:
        cells = [Cell(column, row.get(column.field, ""), row.get(column.below, "")) for column in self.columns]
        key = row.get("key", "")
        actions = [(action, action.path(key)) for action in self.actions]
        return TableRow(key, row.get("state", ""), row.get("name", ""), cells, actions)


ACTIONS = Column("Actions", "", kind="actions")
PIPELINES = (
    Column("Pipeline", "name", "model"),
    Column("State", "state", "reason", kind="state"),
    Column("Workers", "workers", "version"),
    Column("In the model", "running", kind="number"),
    Column("Waiting at workers", "at_workers", kind="number"),
    Column("Waiting here", "waiting", kind="number"),
    Column("Predicted wait", "wait", kind="number"),
    Column("Capacity/s", "speed", kind="number"),
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
    Column("Inputs from here", "ours", kind="number"),
    Column("Share of the host", "share", kind="number"),
    Column("Time per input", "job_ms", kind="number"),
    Column("Inputs run", "jobs", kind="number"),
)
HOSTS = (
    Column("Host", "name", "key"),
    Column("State", "state", kind="state"),
    Column("Process", "pid", kind="number"),
    Column("Pipelines", "pipelines"),
    Column("Memory", "memory", kind="number"),
    Column("Cores in use", "cores", kind="number"),
    Column("Inputs from here", "ours", kind="number"),
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
CAPACITY = "Capacity: inputs per second that its workers could answer, as measured lately."


def tables(
    state: State, *, messages: bool, of_pipelines: Sequence[Action] = (), of_hosts: Sequence[Action] = ()
) -> list[Table]:
    """Of the rows of ``LiveFeed.state``.

    Args:
        messages: with what clients were told.
        of_pipelines: what may be done with each, as ``of_hosts``.
    """
    errors = tuple(column for column in ERRORS if messages or column.field != "message")
    note = "" if messages else "Messages are shown to those who may view inputs, which they may quote."
    pipelines, hosts = (*PIPELINES, ACTIONS) if of_pipelines else PIPELINES, (*HOSTS, ACTIONS) if of_hosts else HOSTS
    made = [
        Table(
            "pipelines",
            "Pipelines",
            "Pipeline",
            pipelines,
            "The catalog has no pipeline.",
            CAPACITY,
            actions=of_pipelines,
        ),
        Table("workers", "Workers", "Worker of pipeline", WORKERS, "No worker is known to this web process."),
        Table("hosts", "Hosts", "Host", hosts, "No worker host is known to this web process.", actions=of_hosts),
        Table("errors", "Last refusals and errors", "", errors, "None since this web process started.", note),
    ]
    for table in made:
        table.rows = [table.row(row) for row in state.get(table.section, [])]
    return made
