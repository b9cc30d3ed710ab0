"""Why a model could not be loaded: one sentence that says what was tried, what went wrong and what to do."""

import re
from pathlib import Path

from safetensors import SafetensorError

from inference.conf import GGUF, Conf

WHAT_IS_NEEDED = "a folder needs config.json, model.safetensors and the tokenizer's files"
OF_ANOTHER_KIND = re.compile(r"Unrecognized configuration class <class '[\w.]+\.(\w+)'> for this kind of AutoModel")
"""What transformers says where an auto class knows no model of this kind."""
OF_UNREAD_FAMILY = re.compile(r"architecture (\S+) is not supported")
UNREACHABLE = {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"}


def explain(error: Exception, conf: Conf) -> str:
    model = conf.model
    at = f" at revision {conf.revision}" if conf.revision else ""
    if isinstance(error, SafetensorError):
        return f"The weights of {model} are damaged or incomplete ({error}); fetch them again."
    if found := OF_ANOTHER_KIND.match(str(error)):
        kind, task = found[1].removesuffix("Config"), conf.task or "its task"
        return f"{model} is a model of kind {kind}, which is not for {task}; choose another checkpoint."
    if Path(model).suffix == GGUF:
        if found := OF_UNREAD_FAMILY.search(str(error)):
            return f"{model} is a model of kind {found[1]}, which is not read from GGUF files; choose safetensors."
        if Path(model).is_file():
            return (
                f"The GGUF file {model} cannot be loaded ({_first_line(error)}); fetch it again, or choose safetensors."
            )
    if Path(model).is_dir():
        return f"The folder {model} cannot be loaded ({_first_line(error)}): {WHAT_IS_NEEDED}."
    if sentence := _of_the_hub({type(cause).__name__ for cause in _causes(error)}, model, conf.revision, at):
        return sentence
    return f"{model}{at} cannot be loaded ({_first_line(error)}); only safetensors are loaded, and never remote code."


def _of_the_hub(errors: set[str], model: str, revision: str, at: str) -> str:
    """For errors of these types; empty if none of them is the Hub's."""
    if "GatedRepoError" in errors:
        return f"{model} is gated on the Hub; accept its terms there and set HF_TOKEN."
    if "RevisionNotFoundError" in errors:
        return f"{model} has no revision {revision!r} on the Hub; set INFERENCE_REVISION to a commit, tag or branch."
    if "RepositoryNotFoundError" in errors:
        return f"There is no model {model} on the Hub (or it is private: set HF_TOKEN), and no such folder here."
    if errors & UNREACHABLE:
        return (
            f"{model}{at} is not a folder here and not in the local cache, and the Hub cannot be reached; "
            f"connect to the network, or set INFERENCE_MODEL to a folder: {WHAT_IS_NEEDED}."
        )
    if "HFValidationError" in errors:
        return f"INFERENCE_MODEL is {model!r}, which is neither a folder here nor a Hub id such as owner/name."
    return ""


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    line = text.splitlines()[0] if text else type(error).__name__
    return (line if len(line) < 300 else line[:299] + "…").rstrip(".")


def _causes(error: BaseException | None) -> list[BaseException]:
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
