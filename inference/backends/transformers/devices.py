"""Where a model runs and in which precision."""

import ctypes
from contextlib import suppress
from typing import Any

import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers import compat

NATIVE = {
    "bfloat16": ("avx512_bf16", "amx_bf16", "sve_bf16", "bf16"),
    "float16": ("avx512_fp16", "amx_fp16", "fp16"),
}
"""Processor features, as ``torch.cpu.get_capabilities`` names them, that make a half precision fast."""

QUANTIZED = "int8"


def choose_device(wanted: str) -> str:
    """Raises ``LoadFailed`` for a device that does not exist."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise LoadFailed(f"INFERENCE_DEVICE is {wanted!r}; it must be auto, cpu, cuda, cuda:0 or mps.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise LoadFailed(f"INFERENCE_DEVICE is {wanted!r}, but this machine has {count} CUDA devices; use auto or cpu.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise LoadFailed(f"INFERENCE_DEVICE is {wanted!r}, but this machine has none; use auto or cpu.")
    return wanted


def choose_dtype(wanted: str, device: str) -> Any:
    """What ``from_pretrained`` takes. On a CPU ``auto`` is float32; what is quantised is loaded as float32.

    Raises:
        LoadFailed: a half precision that the processor only emulates, or 8 bits on another device.
        compat.Missing: PyTorch does not say which ones it emulates.
    """
    if wanted == "auto":
        return torch.float32 if device == "cpu" else "auto"
    if wanted == QUANTIZED:
        if device != "cpu":
            raise LoadFailed(f"INFERENCE_DTYPE is int8, which is for CPUs; this pipeline runs on {device}: use auto.")
        return torch.float32
    needed = NATIVE.get(wanted, ())
    if device == "cpu" and needed:
        compat.check(compat.HALF_PRECISION)
        if not any(torch.cpu.get_capabilities().get(name) for name in needed):
            raise LoadFailed(
                f"INFERENCE_DTYPE is {wanted}, which this processor does not do natively (none of "
                f"{', '.join(needed)}): it would be slower than float32; use auto."
            )
    return getattr(torch, wanted)


def release_memory(device: str) -> None:
    """Return what allocators keep of freed memory: to a GPU, for other processes; of a CPU's, to the system."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        return
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
