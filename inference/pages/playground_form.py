"""What the playground has to know of a pipeline to make a form for it: all of it comes from the pipeline's task."""

from typing import Any

from inference.api.scope import PIPELINES
from inference.catalog import PipelineSpec
from inference.messaging.messages import Description
from inference.pages.playground_examples import more_examples
from inference.serving.deployment import Deployment
from inference.serving.pipeline_state import PipelineState
from inference.tasks import TASKS, find
from inference.tasks.base import Task
from inference.tasks.parameters import Parameter


def described(
    deployment: Deployment, spec: PipelineSpec, *, root: str, key_needed: bool, most_bytes: int
) -> dict[str, Any]:
    """For the scripts of the page, which read nothing else of the server's.

    ``input`` and what follows from it are missing while the model is not known.

    Args:
        root: what the application is mounted at.
        most_bytes: of a body.
    """
    states = {state.name: state for state in deployment.states()}
    state, description = states[spec.name], deployment.description(spec.name)
    several = len(states) > 1
    return {
        "pipeline": spec.name,
        "task": state.task,
        "summary": summary(state.task),
        "model": state.model,
        "version": state.version,
        "device": state.device,
        "state": state.state,
        "reason": state.reason,
        "root": root,
        "path": f"{root}{PIPELINES}{spec.name}" if several else f"{root}/",
        "socket": f"{root}{PIPELINES}{spec.name}/ws/" if several else f"{root}/ws/",
        "key_needed": key_needed,
        "pipelines": [_listed(each) for each in states.values()],
        "limits": _limits(spec, description, most_bytes),
        **(_of_task(TASKS[description.task], description) if description else {}),
    }


def summary(name: str) -> str:
    """What the task with this name gives; nothing while the task is not known."""
    task = find(name)
    return task.summary if task else ""


def _listed(state: PipelineState) -> dict[str, str]:
    return {"name": state.name, "task": state.task, "state": state.state}


def _limits(spec: PipelineSpec, description: Description | None, most_bytes: int) -> dict[str, Any]:
    conf = spec.conf
    return {
        "inputs": conf.max_inputs,
        "bytes": most_bytes,
        "media_bytes": conf.max_media_bytes,
        "deadline_s": conf.deadline_s,
        "longest_input": description.longest_input if description else 0,
        "longest_input_chars": description.longest_input_chars if description else 0,
    }


def _of_task(task: Task, description: Description) -> dict[str, Any]:
    form = task.input
    return {
        "input": {
            "form": form.form,
            "schema": form.schema(),
            "kind": getattr(form, "kind", ""),
            "masked": form.masked,
            "mask_token": description.mask_token,
        },
        "output": task.output,
        "text_field": task.text_field,
        "streams": description.streams,
        "beams": description.beams,
        "chat": description.chat and form.chats,
        "parameters": [_parameter(name, each, description) for name, each in task.parameters.items()],
        "example": task.example_for(description.mask_token),
        "example_parameters": dict(task.example_parameters),
        "examples": more_examples(task, description),
    }


def _parameter(name: str, parameter: Parameter, description: Description) -> dict[str, Any]:
    schema = parameter.kind.schema()
    if parameter.within_vocabulary and "maximum" in schema and description.vocabulary:
        schema["maximum"] = min(schema["maximum"], description.vocabulary)
    return {
        "name": name,
        "schema": schema,
        "words": str(parameter.kind),
        "meaning": parameter.meaning,
        "required": parameter.required,
    }
