"""What chats and completions ask alike of a pipeline that generates texts."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from inference.api.dialects.base import Head
from inference.api.dialects.openai.errors import UnsupportedField
from inference.api.dialects.openai.fields import Fields, check_known, read, read_fields, read_flag, read_include_usage
from inference.api.dialects.openai.models import asked_pipeline
from inference.api.dialects.openai.parameters import MOST_CHOICES, names_of, parameters_for, texts
from inference.api.dialects.openai.tools import Tools
from inference.api.dialects.reading import DeadlineInHeader
from inference.messaging.messages import Description
from inference.serving.deployment import Deployment
from inference.serving.query import Query
from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.parameters import Whole


@dataclass(slots=True, kw_only=True)
class Asked:
    """What the answer to a request depends on: the ``state`` of its query."""

    pipeline: str
    fields: Fields = field(default_factory=dict)
    """Those that were given."""
    stop: list[str]
    """The text ends before one of these."""
    include_usage: bool
    top_logprobs: int | None
    """Likeliest tokens that are told beside each one; ``None``: nothing is told of single tokens."""
    echo: bool
    """The prompt comes before the text."""
    tools: Tools | None = None
    """What the model may call."""
    version: str = ""
    """Of the model; empty until it is known what is served."""


class GeneratingEndpoint(ABC, DeadlineInHeader):
    method = "POST"
    pipeline_in_body = True
    example: ClassVar[str]
    fields: ClassVar[tuple[str, ...]]
    """That mean no parameter of a task."""
    new_tokens: ClassVar[int | None] = None
    """Of a continuation, where the request does not say how many."""

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        return self.query(read_fields(body, self.example), head, deployment)

    def query(self, fields: Fields, head: Head, deployment: Deployment) -> Query:
        """Raises as ``Endpoint.read``."""
        pipeline = asked_pipeline(head, fields.get("model"), deployment).name
        self.check(fields)
        inputs, top_logprobs = self.inputs(fields), self.top_logprobs(fields)
        asked = Asked(
            pipeline=pipeline,
            fields=fields,
            stop=texts(fields.get("stop", [])),  # checked with the task's parameters
            include_usage=read_include_usage(fields),
            top_logprobs=top_logprobs,
            echo=read_flag(fields, "echo") | read_flag(fields, "return_full_text"),
            tools=self.tools(fields),
        )
        return Query(
            inputs=inputs,
            many=len(inputs) > 1,
            pipeline=pipeline,
            stream=read_flag(fields, "stream"),
            tokens_for=None if top_logprobs is None else "logprobs",
            choices=read(fields, "n", Whole(1, MOST_CHOICES), default=1),
            deadline_s=self.deadline_s(head.header(self.deadline_header), deployment.conf.max_deadline_s),
            state=asked,
            adapt=partial(self._adapted, fields),
        )

    @abstractmethod
    def check(self, fields: Fields) -> None:
        """Raises ``UnsupportedField`` for values that would change the answer."""

    @abstractmethod
    def inputs(self, fields: Fields) -> list[Any]:
        """Raises ``InvalidField``."""

    @abstractmethod
    def top_logprobs(self, fields: Fields) -> int | None:
        """Of ``Asked``. Raises ``InvalidField``."""

    @abstractmethod
    def suited(self, query: Query, description: Description) -> Query:
        """With inputs as the pipeline takes them. Raises ``InvalidField``."""

    def tools(self, fields: Fields) -> Tools | None:
        """Of ``Asked``. Raises ``InvalidField``."""
        return None

    def more_parameters(self, fields: Fields, task: Task, asked: Asked) -> dict[str, Any]:
        """What fields mean that are no parameters by themselves. Raises ``InvalidField``."""
        return {}

    def _adapted(self, fields: Fields, query: Query, description: Description) -> Query:
        query, task, asked = self.suited(query, description), TASKS[description.task], query.state
        check_known(fields, dict.fromkeys([*self.fields, *names_of(task)]))
        if (field := query.tokens_for) and not description.streams:
            raise UnsupportedField(field, f"Pipeline {asked.pipeline} tells no single tokens; leave '{field}' out.")
        asked.version = description.version
        parameters = parameters_for(task, fields, asked.top_logprobs) | self.more_parameters(fields, task, asked)
        if task.continues and self.new_tokens:
            parameters.setdefault("max_new_tokens", self.new_tokens)
        return query.changed(parameters=parameters)
