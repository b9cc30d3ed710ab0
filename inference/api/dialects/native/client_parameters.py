"""Parameters as the clients of Hugging Face send them, and the defaults that they expect."""

from collections.abc import Mapping
from typing import Any

from inference.tasks.base import Task
from inference.tasks.inputs import DocumentInput, InputForm, TableInput

WITHOUT_EFFECT: Mapping[type[InputForm], frozenset[str]] = {
    TableInput: frozenset({"padding", "sequential"}),
    DocumentInput: frozenset({"lang", "max_question_len"}),  # there is no OCR, and a question is never cut
}
"""Parameters that clients have and tasks do not, by the form of the task's inputs."""
NEUTRAL: Mapping[str, Any] = {"watermark": False, "best_of": 1, "stop": [], "stop_sequences": []}
"""Values with which clients of text-generation-inference say that they do not want something."""
NEUTRAL_SAMPLERS: Mapping[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}


def client_parameters(task: Task, given: Any) -> Any:
    """What the task takes; anything but an object is left for it to refuse."""
    if not (given is None or isinstance(given, dict)):
        return given
    without = WITHOUT_EFFECT.get(type(task.input), frozenset())
    parameters = {name: value for name, value in (given or {}).items() if value is not None and name not in without}
    if "model" not in task.parameters:
        parameters.pop("model", None)  # the address of this server
    if isinstance(task.input, TableInput) and "truncation" in parameters:
        parameters.setdefault("truncate", parameters.pop("truncation"))
    if "aggregation_strategy" in task.parameters:
        parameters.setdefault("aggregation_strategy", "simple")
    if "pooling" in task.parameters:
        parameters.setdefault("pooling", "auto")
    return _of_generation(task, parameters) if "do_sample" in task.parameters else parameters


def _of_generation(task: Task, given: dict[str, Any]) -> dict[str, Any]:
    """As text-generation-inference has it: tokens are drawn only if that, or a way of drawing, is asked for."""
    parameters = {name: value for name, value in given.items() if not _is_neutral(name, value)}
    if "stop_sequences" in parameters:  # its name in older clients
        parameters.setdefault("stop", parameters.pop("stop_sequences"))
    more = parameters.get(task.more_parameters) if task.more_parameters else None
    all_of_them = (more if isinstance(more, dict) else {}) | parameters
    drawn = all_of_them.get("do_sample")
    if drawn is None:
        asked = any(all_of_them.get(name, neutral) != neutral for name, neutral in NEUTRAL_SAMPLERS.items())
        drawn = parameters["do_sample"] = asked and "num_beams" not in all_of_them
    if not drawn:
        parameters.pop("typical_p", None)  # a way to draw that is not here; LangChain sends it in any case
    return parameters


def _is_neutral(name: str, value: Any) -> bool:
    return name in NEUTRAL and type(value) is type(NEUTRAL[name]) and value == NEUTRAL[name]
