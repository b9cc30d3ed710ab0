"""What transformers would load without an error and answer nonsense with."""

from typing import Any

from inference.backends.base import LoadFailed
from inference.backends.transformers.load_errors import WHAT_IS_NEEDED


def check_tokenizer(tokenizer: Any, config: Any, name: str, *, encodes: bool = True) -> None:
    """Raises ``LoadFailed``. Without its files, a tokenizer has a handful of special tokens and knows no word.

    Args:
        encodes: whatever it makes of a text goes into the model.
    """
    known, expected = len(tokenizer), getattr(config, "vocab_size", None)
    if expected and known < 0.5 * expected:
        raise LoadFailed(
            f"{name} has no usable tokenizer ({known} tokens, the model has {expected}): {WHAT_IS_NEEDED}."
        )
    if encodes and expected and known > expected:
        raise LoadFailed(
            f"The tokenizer of {name} has {known} tokens, but the model only {expected}: they do not belong together."
        )


def check_weights(info: dict[str, Any], task: str, name: str, optional: tuple[str, ...]) -> None:
    """Raises ``LoadFailed``. Weights that the checkpoint lacks would be random numbers."""
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(optional))
    mismatched = sorted(str(key) for key in info["mismatched_keys"])
    if missing or mismatched:
        shown = ", ".join((missing + mismatched)[:3])
        raise LoadFailed(
            f"{name} has no weights for {task} ({len(missing) + len(mismatched)} are missing or of another shape: "
            f"{shown}); choose a checkpoint that was trained for {task}, or another INFERENCE_TASK."
        )
