"""``make reference``: writes ``answers/``. Models are made by our environment, and asked in ``.venv-reference``.

python -m tests.reference [TASK ...]
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests import reference
from tests.processes import ROOT
from tests.reference.questions import QUESTIONS

PYTHON = ROOT / ".venv-reference/bin/python"
DIGITS = 7


def main(tasks: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for task in tasks or QUESTIONS:
            content = recorded(task, Path(scratch))
            file = reference.ANSWERS / f"{task}.json"
            file.write_text(content)
            print(f"{file.relative_to(ROOT)}: {len(content) / 1000:.1f} kB")


def recorded(task: str, scratch: Path) -> str:
    """The content of a file of answers, with one line for each."""
    questions = list(QUESTIONS[task]())
    models = {question.model: scratch / question.model for question in questions}
    for model, folder in models.items():
        if not folder.exists():
            reference.make(model, folder)
    weights = {model: shortened(reference.fingerprint(folder)) for model, folder in models.items()}
    job = scratch / "job.json"
    job.write_text(json.dumps([(str(models[q.model]), q.task, q.input, q.parameters) for q in questions]))
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([PYTHON, Path(__file__).with_name("ask.py"), job], env=offline, check=True)
    replied = json.loads(job.read_text())
    inputs: list[Any] = []
    lines = []
    for question, answer in zip(questions, replied["answers"], strict=True):
        if question.input not in inputs:
            inputs.append(question.input)
        case = {**question._asdict(), "input": inputs.index(question.input), "answer": shortened(answer)}
        lines.append(json.dumps(case, ensure_ascii=False))
    head = json.dumps(
        {"versions": replied["versions"], "models": weights, "inputs": inputs}, ensure_ascii=False, indent=1
    )
    return head[:-2] + ',\n "cases": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def shortened(value: Any) -> Any:
    """The same with fewer digits, enough for comparisons to 1e-4."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, list):
        return [shortened(item) for item in value]
    return {key: shortened(item) for key, item in value.items()} if isinstance(value, dict) else value


if __name__ == "__main__":
    main(sys.argv[1:])
