"""An answer of each output kind with its request. Texts have characters of several UTF-16 units and code points."""

import base64
import io
import json
import math
from typing import Any

from PIL import Image, ImageDraw

from inference.tasks.media import EXAMPLE_RECORDING

WIDTH, HEIGHT = 320, 200
NAMES = "Zoë 👩‍👩‍👧 met José 𝒜. Müller in São Paulo, 東京 and Os\u0301lo 🇳🇴 for Acme."
CONTEXT = "🎉 The 𝔘niversity of Ze\u0301ro was founded in 1385 👑 by Ruprecht I., not in 1386."
MASKED = "Paris 🗼 is the [MASK] of France."


def _png(draw: Any, mode: str = "RGB") -> str:
    image = Image.new(mode, (WIDTH, HEIGHT), "black")
    draw(ImageDraw.Draw(image))
    image.save(file := io.BytesIO(), "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _landscape(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((0, 0, WIDTH, 110), fill="#9cc4e8")
    draw.rectangle((0, 110, WIDTH, HEIGHT), fill="#7da05b")
    draw.ellipse((230, 20, 280, 70), fill="#f4d35e")
    draw.rectangle((60, 80, 150, 150), fill="#a0522d")
    draw.polygon([(50, 80), (105, 40), (160, 80)], fill="#7a3b1e")


IMAGE = _png(_landscape)
SKY = _png(lambda draw: draw.rectangle((0, 0, WIDTH, 110), fill=255), "L")
HOUSE = _png(lambda draw: draw.polygon([(50, 80), (105, 40), (160, 80), (150, 150), (60, 150)], fill=255), "L")
DEPTH = _png(lambda draw: [draw.line((0, y, WIDTH, y), fill=255 * y // HEIGHT) for y in range(HEIGHT)], "L")
WORDS = [
    ["Invoice", [80, 60, 320, 110]],
    ["Total", [80, 400, 230, 450]],
    ["12.50", [260, 400, 420, 450]],
    ["EUR", [440, 400, 540, 450]],
]


def _span(text: str, word: str, label: str, score: float) -> dict[str, Any]:
    start = text.index(word)
    return {"entity_group": label, "score": score, "word": word, "start": start, "end": start + len(word)}


def _answer(answer: str, score: float, text: str = CONTEXT) -> dict[str, Any]:
    start = text.index(answer)
    return {"score": score, "start": start, "end": start + len(answer), "answer": answer}


def _fill(word: str, score: float) -> dict[str, Any]:
    return {"score": score, "token": 1, "token_str": word, "sequence": f"paris is the {word} of france."}


def _vector(turn: float, size: int = 384) -> list[float]:
    return [round(math.sin(turn + number * number / 900) / math.sqrt(size / 2), 6) for number in range(size)]


def _asked(
    output: str, inputs: Any, answer: Any, parameters: dict[str, Any] | None = None, **form: Any
) -> dict[str, Any]:
    description = {"pipeline": "example", "output": output, "input": {"form": "text", "mask_token": "", **form}}
    return {"description": description, "inputs": inputs, "parameters": parameters or {}, "output": answer}


ANSWERS: dict[str, dict[str, Any]] = {
    "labels": _asked(
        "labels",
        "A fine day.",
        [
            {"label": "joy", "score": 0.99982},
            {"label": "surprise", "score": 0.00011},
            {"label": "a label of many words that does not fit in one line of a phone", "score": 0.00007},
        ],
    ),
    "labels of clients": _asked(
        "labels", "A fine day.", [[{"label": f"label {n}", "score": (12 - n) / 78} for n in range(12)]]
    ),
    "labels, zero-shot": _asked(
        "labels",
        "My phone is broken.",
        {"sequence": "My phone is broken.", "labels": ["urgent", "not urgent"], "scores": [0.83, 0.17]},
    ),
    "labels, logits": _asked(
        "labels", "A fine day.", [{"label": "joy", "score": 7.3}, {"label": "fear", "score": -4.1}]
    ),
    "labels of an image": _asked(
        "labels", IMAGE, [{"label": "cottage", "score": 0.71}, {"label": "barn", "score": 0.2}]
    ),
    "spans": _asked(
        "spans",
        NAMES,
        [
            _span(NAMES, "Zoë", "PER", 0.998),
            _span(NAMES, "José 𝒜. Müller", "PER", 0.991),
            _span(NAMES, "São Paulo", "LOC", 0.97),
            _span(NAMES, "東京", "LOC", 0.88),
            _span(NAMES, "Os\u0301lo", "LOC", 0.93),
            _span(NAMES, "Acme", "ORG", 0.81),
        ],
    ),
    "no spans": _asked("spans", "Nothing here.", []),
    "fills": _asked(
        "fills", MASKED, [_fill("capital", 0.62), _fill("city", 0.21), _fill("heart", 0.0312)], mask_token="[MASK]"
    ),
    "fills of two masks": _asked(
        "fills",
        "The [MASK] is [MASK].",
        [[_fill("sky", 0.4), _fill("sea", 0.3)], [_fill("blue", 0.7), _fill("here", 0.1)]],
        mask_token="[MASK]",
    ),
    "a vector": _asked("vectors", "A text.", _vector(0)),
    "vectors of tokens": _asked("vectors", "A text.", [[_vector(turn, 32) for turn in range(5)]]),
    "vectors of texts": _asked(
        "vectors",
        ["The cat sleeps on the sofa.", "A cat is asleep.", "The train is late."],
        [_vector(0), _vector(0.4), _vector(2)],
    ),
    "scores": _asked(
        "scores",
        {
            "source_sentence": "The cat sleeps.",
            "sentences": ["The train is late again.", "A cat is asleep on a couch.", "Never."],
        },
        [0.03, 0.81, -0.12],
    ),
    "ranking": _asked(
        "ranking",
        {
            "query": "How many people live in Berlin?",
            "texts": ["Berlin has museums.", "Berlin has 3.7 million inhabitants."],
        },
        [{"index": 1, "score": 0.9985}, {"index": 0, "score": 0.0021}],
    ),
    "text": _asked(
        "text",
        "Once upon a time",
        [{"generated_text": "Once upon a time there was a king 👑 who had\n\ntwo daughters."}],
    ),
    "text of a summary": _asked("text", "The old bridge was closed.", [{"summary_text": "A bridge was closed."}]),
    "text of an image": _asked("text", IMAGE, [{"generated_text": "a house in a field"}], form="media"),
    "text of a chat with images": _asked(
        "text",
        [{"role": "user", "content": [{"type": "image", "image": IMAGE}, {"type": "text", "text": "What is this?"}]}],
        [{"generated_text": "This is a house."}],
        form="image_chat",
    ),
    "answers": _asked("answers", {"question": "When was it founded?", "context": CONTEXT}, _answer("1385", 0.93)),
    "answers, several": _asked(
        "answers",
        {"question": "When was it founded?", "context": CONTEXT},
        [_answer("1385", 0.9), _answer("1386", 0.05), {"score": 0.01, "start": 0, "end": 0, "answer": ""}],
    ),
    "answers in a long text": _asked(
        "answers",
        {
            "question": "Where?",
            "context": (long := "🙂 Words. " * 2000 + "The key is below the mat. " + "More words. " * 2000),
        },
        _answer("below the mat", 0.7, long),
    ),
    "answers about an image": _asked(
        "answers",
        {"image": IMAGE, "question": "What colour is the roof?"},
        [{"score": 0.81, "answer": "brown"}, {"score": 0.1, "answer": "red"}],
    ),
    "answers about a page": _asked(
        "answers",
        {"question": "What is the total?", "word_boxes": WORDS},
        [
            {"score": 0.94, "answer": "12.50 EUR", "start": 2, "end": 3},
            {"score": 0.02, "answer": "Total", "start": 1, "end": 1},
        ],
    ),
    "cells": _asked(
        "cells",
        {
            "query": "How many people live in Berlin and Paris?",
            "table": {"City": ["Berlin", "Paris", "Rome"], "People": ["3700000", "2100000", "2800000"]},
        },
        {
            "answer": "SUM > 3700000, 2100000",
            "coordinates": [[0, 1], [1, 1]],
            "cells": ["3700000", "2100000"],
            "aggregator": "SUM",
        },
    ),
    "boxes": _asked(
        "boxes",
        IMAGE,
        [
            {"score": 0.98, "label": "house", "box": {"xmin": 50, "ymin": 40, "xmax": 160, "ymax": 150}},
            {"score": 0.71, "label": "sun", "box": {"xmin": 228, "ymin": -3, "xmax": 330, "ymax": 72}},
            {"score": 0.4, "label": "house", "box": {"xmin": 200, "ymin": 120, "xmax": 300, "ymax": 190}},
        ],
    ),
    "no boxes": _asked("boxes", IMAGE, []),
    "masks": _asked("masks", IMAGE, [{"label": "sky", "mask": SKY}, {"score": 0.97, "label": "house", "mask": HOUSE}]),
    "depth": _asked("depth", IMAGE, {"depth": DEPTH, "min_depth": 0.83, "max_depth": 21.7}),
    "media": _asked("media", "Hello", {"content-type": "audio/wav", "blob": EXAMPLE_RECORDING}),
    "transcript": _asked("transcript", EXAMPLE_RECORDING, {"text": " The quick brown fox."}, kind="audio"),
    "transcript of phrases": _asked(
        "transcript",
        EXAMPLE_RECORDING,
        {
            "text": " The quick brown fox jumps. It is over the lazy dog.",
            "chunks": [
                {"text": " The quick brown fox jumps.", "timestamp": [0.0, 2.4]},
                {"text": " It is over the lazy dog.", "timestamp": [2.4, None]},
            ],
        },
        kind="audio",
    ),
    "transcript of words": _asked(
        "transcript",
        EXAMPLE_RECORDING,
        {
            "text": " The quick fox",
            "chunks": [
                {"text": " The", "timestamp": [0.0, 0.02]},
                {"text": " quick", "timestamp": [0.04, 0.06]},
                {"text": " fox", "timestamp": [0.06, 0.1]},
            ],
        },
        kind="audio",
    ),
    "decisions": _asked(
        "decisions",
        {
            "state": "I was charged twice and want a refund.",
            "questions": {
                "refund": {"type": "noul", "instructions": "Is a refund requested?"},
                "tone": {
                    "type": "choice",
                    "instructions": "What is the tone?",
                    "criteria": {"calm": None, "angry": None},
                },
                "urgency": {"type": "score", "instructions": "How urgent is it?", "criteria": ["low", "high"]},
            },
        },
        {
            "refund": {"type": "noul", "noul": 0.97},
            "tone": {
                "type": "choice",
                "choice": "angry",
                "confidence": 0.42,
                "probabilities": {"calm": 0.29, "angry": 0.71},
            },
            "urgency": {
                "type": "score",
                "score": 0.6,
                "legend": {"0": "low", "1": "high"},
                "confidence": 0.2,
                "probabilities": {"0": 0.4, "1": 0.6},
            },
        },
    ),
    "several, one of them an error": _asked(
        "labels",
        ["A fine day.", "", IMAGE],
        [
            [{"label": "joy", "score": 0.9}],
            {"error": "The input is empty; send a text.", "error_type": "empty"},
            [{"label": "cottage", "score": 0.7}],
        ],
    ),
    "something new": _asked("holograms", "A text.", {"light": [1, 2, 3]}),
    "not of its kind": _asked("spans", "A text.", {"unexpected": True}),
}


def as_json() -> str:
    return json.dumps(ANSWERS)
