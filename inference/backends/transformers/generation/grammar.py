"""Which tokens may come next in a text that follows a grammar. The grammars are llguidance's."""

import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from inference.backends.transformers.generation.closed_schema import closed
from inference.errors import Invalid
from inference.tasks.grammars import schema_of

KEPT = 16
"""Compiled grammars."""
LIMITS: dict[str, Any] = {
    "initial_lexer_fuel": 1_000_000,  # 20 ms
    "step_lexer_fuel": 200_000,  # 14 ms
    "step_max_items": 50_000,  # 3 ms
    "max_lexer_states": 20_000,  # 40 MB
    "max_grammar_size": 100_000,
    "verbose_errors": False,
}
"""Of what a grammar may need, in llguidance's units."""
JSON = {"whitespace_flexible": True, "whitespace_pattern": " ?", "lenient": False, "coerce_one_of": False}
"""A space may be between tokens of JSON: with any number of them, a model may write nothing else. What llguidance does
not know in a schema is an error, since the text would not follow it."""
BITS = torch.tensor([[byte >> bit & 1 for bit in range(8)] for byte in range(256)], dtype=torch.bool)


class Grammars:
    """Compiles grammars for one tokenizer, on the thread of ``prepare``; the first one takes longer.

    Args:
        ends: tokens that end a text of the model.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = max(vocabulary, len(tokenizer))
        self.ends = frozenset(ends) or frozenset({tokenizer.eos_token_id} - {None})
        """Those that end a text with a grammar: the tokenizer's, if the model has none."""
        self._words: LLTokenizer | None = None
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()

    def state(self, grammar: dict[str, Any]) -> "GrammarState":
        """At the beginning of a text. Raises ``Invalid``."""
        schema = schema_of(grammar)
        if schema is None:
            written = LLMatcher.grammar_from_regex(grammar["value"])
        else:
            written = LLMatcher.grammar_from_json_schema(json.dumps(closed(schema)), overrides=JSON)
        words = self._words = self._words or self._read()

        def matcher() -> LLMatcher:
            return LLMatcher(words, written, log_level=0, limits=LLParserLimits(**LIMITS))

        known = self._compiled.pop(written, None)
        if known is None or _error(known.deep_copy()):
            known = matcher()
            if error := known.get_error() or _error(known.deep_copy()):
                raise Invalid(f"No text can follow this schema or regular expression: {_sentence(error)}.")
        self._compiled[written] = known
        if len(self._compiled) > KEPT:
            self._compiled.popitem(last=False)
        return GrammarState(known.deep_copy(), matcher, self.ends)

    def _read(self) -> LLTokenizer:
        if not self.ends:
            raise Invalid("This model has no token that ends a text, so its texts can follow no grammar; leave it out.")
        try:
            backend = type(self._tokenizer.backend_tokenizer).from_str(self._tokenizer.backend_tokenizer.to_str())
            backend.no_padding()
            backend.no_truncation()
            return LLTokenizer(backend.to_str(), n_vocab=self._vocabulary, eos_token=sorted(self.ends))
        except (AttributeError, ValueError) as error:
            raise Invalid("The texts of this model's tokenizer can follow no grammar; leave grammar out.") from error


class GrammarState:
    """Of one text; a function of the tokens that have been generated."""

    def __init__(self, matcher: LLMatcher, own: Callable[[], LLMatcher], ends: Collection[int]) -> None:
        self.problem = ""
        """Why the text cannot go on, in one sentence: the grammar turned out to need too much."""
        self._matcher = matcher
        self._own: Callable[[], LLMatcher] | None = own
        self._ends = sorted(ends)
        self._taken = 0

    def allowed(self, generated: Sequence[int], width: int) -> torch.Tensor:
        """After these tokens: for each of ``width`` tokens, whether it may come. There is always one."""
        bits = self._bits(generated)
        if bits is None and self._own is not None:
            # Copies share what the lexer has learned, within a common limit. Other texts must not use it up.
            self._matcher, self._taken, self._own = self._own(), 0, None
            bits = self._bits(generated)
        if bits is None:
            error = _sentence(self._matcher.get_error())
            self.problem = f"This schema or regular expression needs too much for a text to follow it: {error}."
            allowed = torch.zeros(width, dtype=torch.bool)
            allowed[self._ends] = True
            return allowed
        allowed = BITS[torch.frombuffer(bits, dtype=torch.uint8).int()].flatten()[:width]
        return torch.nn.functional.pad(allowed, (0, width - len(allowed)))

    def _bits(self, generated: Sequence[int]) -> bytearray | None:
        if len(generated) < self._taken:
            self._matcher.reset()
            self._taken = 0
        if new := generated[self._taken :]:
            self._matcher.consume_tokens(list(new))
            self._taken = len(generated)
        if self._matcher.is_error():
            return None
        bits = bytearray(self._matcher.compute_bitmask())
        return None if self._matcher.is_error() else bits


def _error(matcher: LLMatcher) -> str:
    """Of its first step."""
    matcher.compute_bitmask()
    return str(matcher.get_error())


def _sentence(error: str) -> str:
    """Its line that says what is wrong, without the regular expression around it."""
    if "NoExtension" in error:
        return "no text matches it"
    lines = [line.strip().removeprefix("error: ") for line in error.splitlines() if line.strip()]
    chosen = lines[-1] if lines[0].endswith("regex parse error:") and "<" not in lines[-1] else lines[0]
    return chosen[:200].rstrip(". ")
