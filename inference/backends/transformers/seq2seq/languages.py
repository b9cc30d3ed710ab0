"""Which languages a model translates between, and how it is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from inference.errors import Invalid

SHOWN = 5
"""Languages that a message names where none is close."""


@dataclass(frozen=True)
class Told:
    """What makes a model translate from one language to another."""

    prefix: str = ""
    """Is put before the text."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the generation configuration."""
    source: str | None = None
    """What the tokenizer's ``src_lang`` has to be."""


class Languages:
    """Models with a token for each language (mBART, M2M100, NLLB) need to know the one to translate to; others have a
    prefix for each pair (T5), or one pair only (Marian).

    Args:
        specific: ``task_specific_params`` of the model's configuration.
        task: the name of its entries there, which go on with the languages.
    """

    def __init__(self, tokenizer: Any, specific: Mapping[str, Mapping[str, Any]], task: str, target: Any) -> None:
        """``target``: the token that the checkpoint's own configuration forces at the beginning, if it does."""
        self._target = target
        self.codes = _codes(tokenizer)
        """Tokens of languages; empty for models that have none."""
        self._pairs: dict[tuple[str, str], Mapping[str, Any]] = {}
        for name, settings in specific.items():
            source, to, target = name.removeprefix(f"{task}_").partition("_to_")
            if name.startswith(f"{task}_") and to:
                self._pairs[source, target] = settings

    def told(self, source: str | None, target: str | None) -> Told:
        """At least one is given, or the model has ``codes``. An empty ``target`` is that of a warm-up: any.

        Raises:
            Invalid: the model does not know a language, or must be told one.
        """
        if self.codes:
            return self._by_token(source, target)
        if not self._pairs:
            name = "tgt_lang" if target else "src_lang"
            raise Invalid(f"This model knows no names of languages; leave {name} out.")
        settings = self._pairs.get((source or "", target or ""))
        if settings is None:
            known = ", ".join(f"{one} to {other}" for one, other in self._pairs)
            raise Invalid(f"This model does not translate from {source!r} to {target!r}; it translates {known}.")
        return self._specific(settings)

    def _specific(self, settings: Mapping[str, Any]) -> Told:
        return Told(settings.get("prefix", ""), {name: settings[name] for name in settings if name != "prefix"})

    def _by_token(self, source: str | None, target: str | None) -> Told:
        self._check("src_lang", source)
        self._check("tgt_lang", target)
        if target == "" and self._target is None:
            target = next(iter(self.codes))
        if target:
            return Told(settings={"forced_bos_token_id": self.codes[target]}, source=source)
        if self._target is None:
            raise Invalid(f"This model translates to {len(self.codes)} languages; send tgt_lang, {self._some('')}.")
        return Told(source=source)

    def _check(self, name: str, code: str | None) -> None:
        if code and code not in self.codes:
            known = f"this model knows {len(self.codes)} languages, {self._some(code)}"
            raise Invalid(f"Parameter {name} is {code!r}; {known}.")

    def _some(self, code: str) -> str:
        close = get_close_matches(code, self.codes, SHOWN, 0.5) or [each for each in self.codes if code[:2] in each]
        return f"such as {', '.join(close[:SHOWN] or list(self.codes)[:SHOWN])}"


def _codes(tokenizer: Any) -> dict[str, int]:
    """Tokens of languages by their codes; none for tokenizers that have no source language."""
    if not hasattr(tokenizer, "src_lang"):
        return {}
    if known := getattr(tokenizer, "lang_code_to_id", None):
        return dict(known)
    named = {getattr(tokenizer, f"{name}_token", None) for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")}
    codes = [token for token in tokenizer.all_special_tokens if token not in named]
    return {code: tokenizer.convert_tokens_to_ids(code) for code in codes}
