"""Examples beside that of the task, which show what it is for: by form of input and kind of output."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from inference.messaging.messages import Description
from inference.tasks.base import Task
from inference.tasks.inputs import is_chat


class Example(NamedTuple):
    name: str
    inputs: Any
    """``{mask}`` stands for the model's mask token."""
    parameters: Mapping[str, Any] = {}

    @property
    def many(self) -> bool:
        return isinstance(self.inputs, list) and not self.is_chat

    @property
    def is_chat(self) -> bool:
        return is_chat(self.inputs)


OPENING = "The lighthouse keeper had not seen a ship for eleven days when the fog finally lifted."
REVIEW = "The room was clean and quiet, but breakfast was cold and nobody answered at the desk."

OF: Mapping[tuple[str, str], tuple[Example, ...]] = {
    ("text", "fills"): (
        Example("A saying", "An apple a day keeps the {mask} away."),
        Example("Between two words", "The {mask} is hot today.", {"targets": ["soup", "weather"]}),
        Example("Several texts", ["Water boils at one {mask} degrees.", "Bees make {mask}."], {"top_k": 3}),
    ),
    ("pair", "labels"): (
        Example("A mixed review", REVIEW),
        Example("Several texts", ["It works as described.", "It broke on the second day.", "It arrived on Monday."]),
        Example("Two texts", {"text": "A dog runs on the beach.", "text_pair": "An animal is outside."}),
    ),
    ("text", "spans"): (
        Example("A news item", "Marie Curie moved from Warsaw to Paris in 1891 and studied at the Sorbonne."),
        Example(
            "Whole names",
            "Tim Berners-Lee proposed the World Wide Web at CERN near Geneva.",
            {"aggregation_strategy": "simple"},
        ),
    ),
    ("text", "labels"): (
        Example(
            "What a message is about",
            "My parcel was left in the rain and the box is soaked.",
            {"candidate_labels": ["delivery", "payment", "praise"]},
        ),
        Example("Several labels at once", REVIEW, {"candidate_labels": ["room", "food", "staff"], "multi_label": True}),
    ),
    ("text", "vectors"): (
        Example(
            "Which are alike",
            ["The cat sleeps on the sofa.", "A kitten is asleep on the couch.", "The train is late again."],
            {"pooling": "mean", "normalize": True},
        ),
    ),
    ("sentences", "scores"): (
        Example(
            "Questions alike",
            {
                "source_sentence": "How do I reset my password?",
                "sentences": [
                    "I forgot my password.",
                    "How can I change my login?",
                    "When does the shop open?",
                    "Where is my order?",
                ],
            },
        ),
    ),
    ("ranking", "ranking"): (
        Example(
            "Find the passage",
            {
                "query": "How tall is the tower?",
                "texts": [
                    "It was finished in 1889 for the world's fair.",
                    "From base to tip it measures 324 metres.",
                    "Seven million people visit it each year.",
                ],
            },
        ),
    ),
    ("question", "answers"): (
        Example(
            "From a manual",
            {
                "question": "How long does the battery last?",
                "context": "The headphones charge over USB-C in two hours. A full battery lasts 30 hours, or 20 with "
                "noise cancelling.",
            },
        ),
        Example(
            "No answer in the text",
            {"question": "Who built the bridge?", "context": "The bridge is 2.4 km long and was opened in June."},
            {"handle_impossible_answer": True},
        ),
    ),
    ("table", "cells"): (
        Example(
            "Add up",
            {
                "query": "How many people live in Oslo and Bergen together?",
                "table": {
                    "city": ["Oslo", "Bergen", "Trondheim"],
                    "people": ["709000", "291000", "212000"],
                    "founded": ["1040", "1070", "997"],
                },
            },
        ),
    ),
    ("chat", "text"): (
        Example("A story", OPENING, {"max_new_tokens": 60, "do_sample": True, "temperature": 0.8}),
        Example("The same each time", "The three primary colours are", {"max_new_tokens": 20, "do_sample": False}),
        Example("A question", [{"role": "user", "content": "What is a lighthouse for? Answer in two sentences."}]),
        Example(
            "With a system prompt",
            [
                {"role": "system", "content": "You answer with a single word."},
                {"role": "user", "content": "What is the capital of France?"},
            ],
            {"do_sample": False},
        ),
        Example(
            "As JSON",
            [{"role": "user", "content": "Name a city and its country."}],
            {
                "grammar": {
                    "type": "json",
                    "value": {
                        "type": "object",
                        "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
                        "required": ["city", "country"],
                    },
                }
            },
        ),
    ),
    ("text", "media"): (
        Example("A departure", "The train to the coast leaves from platform four."),
    ),
    ("text", "text"): (
        Example(
            "A paragraph",
            "The library opened in 1903. It has 40,000 books, a reading room with tall windows, and a garden that "
            "readers may use in summer. It is closed on Mondays.",
        ),
        Example("Several texts", ["The shop is closed.", "Where is the station?"]),
    ),
    ("decision", "decisions"): (
        Example(
            "Triage",
            {
                "state": {"subject": "Cannot log in", "body": "Since this morning nobody in our office can log in."},
                "questions": {
                    "urgency": {
                        "type": "score",
                        "instructions": "How urgent is it?",
                        "criteria": ["can wait", "today", "now"],
                    },
                    "team": {
                        "type": "choice",
                        "instructions": "Who should answer?",
                        "criteria": {"accounts": "logins and passwords", "billing": "payments"},
                    },
                    "outage": {"type": "noul", "instructions": "Are several people affected?"},
                },
            },
        ),
    ),
    ("document", "answers"): (
        Example(
            "An address",
            {
                "question": "Where is it sent to?",
                "word_boxes": [
                    ["Ship", [60, 100, 110, 130]],
                    ["to:", [120, 100, 150, 130]],
                    ["Harbour", [60, 140, 160, 170]],
                    ["Street", [170, 140, 240, 170]],
                    ["12", [250, 140, 280, 170]],
                ],
            },
        ),
    ),
}  # fmt: skip


def more_examples(task: Task, description: Description) -> list[dict[str, Any]]:
    """Those that the model takes: its task has their parameters, and they have those that it needs."""
    chats = task.input.chats and description.chat
    needed = {name for name, each in task.parameters.items() if each.required}
    return [
        {
            "name": each.name,
            "inputs": _changed(task, each, description.mask_token),
            "parameters": dict(each.parameters),
        }
        for each in OF.get((task.input.form, task.output), ())
        if needed <= each.parameters.keys() <= task.parameters.keys() and each.is_chat == chats
    ]


def _changed(task: Task, example: Example, mask_token: str) -> Any:
    def with_mask(value: Any) -> Any:
        return task.input.changed(value, lambda text: text.replace("{mask}", mask_token))

    return [with_mask(each) for each in example.inputs] if example.many else with_mask(example.inputs)
