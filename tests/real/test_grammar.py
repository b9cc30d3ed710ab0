"""Texts of a small model that follow 200 random JSON Schemas, in batches that texts join and leave."""

import json
import random

import jsonschema
import pytest

from tests import generating
from tests.generating import finish, job, one
from tests.random_schemas import random_schema
from tests.real import models

pytestmark = pytest.mark.timeout(1800)

SCHEMAS = 200
PROMPTS = ["Describe a person as JSON.", "Write the order of a customer as JSON.", "Answer in JSON: what is a river?"]


def test_all_texts_follow_their_schemas() -> None:
    made = generating.generator(models.folder("smollm2"))
    schemas = [random_schema(random.Random(seed)) for seed in range(SCHEMAS)]
    wanted = [
        job(
            [{"role": "user", "content": f"{PROMPTS[number % len(PROMPTS)]} Schema: {json.dumps(schema)}"[:600]}],
            number,
            grammar={"type": "json", "value": schema},
            max_new_tokens=900,
            do_sample=number % 2 == 0,
            seed=number,
        )
        for number, schema in enumerate(schemas)
    ]

    courses = finish(made, [one(made, each) for each in wanted], random.Random(1))

    for number, (schema, course) in enumerate(zip(schemas, courses, strict=True)):
        assert course.last.finish_reason == "eos_token", (number, course.text)
        value = json.loads(json.loads(course.last.output)[0]["generated_text"][-1]["content"])
        jsonschema.validate(value, schema, jsonschema.Draft202012Validator)
