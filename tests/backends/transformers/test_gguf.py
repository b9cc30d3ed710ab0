"""A GGUF file as the model: it answers as the checkpoint that it was made of."""

from pathlib import Path

import pytest

from inference.backends.base import LoadFailed
from inference.backends.transformers import source
from inference.backends.transformers.checkpoint import identity
from inference.backends.transformers.source import Source
from inference.conf import Conf
from tests import tiny_models
from tests.backends.transformers.running import load, run
from tests.benchmarks.generation import gguf_file

PROMPTS = ("once upon a time", "the old river was a boat", "small")
END = "<|endoftext|>"
GREEDY = {"max_new_tokens": 12, "do_sample": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("llama")
    tiny_models.decoder(made, "Llama", intermediate_size=64, num_key_value_heads=2, uneven=True)
    for file in made.glob("tokenizer*.json"):  # transformers adds GPT-2's special token to GGUF's tokenizers
        file.write_text(file.read_text().replace("<end>", END))
    return made


@pytest.fixture(scope="module")
def files(folder: Path) -> dict[str, Path]:
    made = {kind: folder.parent / f"{kind}.gguf" for kind in ("F32", "Q4_1")}
    for kind, file in made.items():
        gguf_file.write(folder, file, kind)
    return made


def texts(model: Path, **settings: str) -> list[str]:
    outputs = run(load(model, **settings), [(prompt, GREEDY) for prompt in PROMPTS])
    return [output[0]["generated_text"] for output in outputs]


def test_it_answers_as_its_checkpoint(folder: Path, files: dict[str, Path]):
    loaded = load(files["F32"])
    assert (loaded.description.task, loaded.description.model) == ("text-generation", "F32.gguf")
    assert texts(files["F32"]) == texts(folder)


def test_few_bits_are_those_of_the_file(files: dict[str, Path]):
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    place = Source.of(Conf(model=str(files["Q4_1"]))).arguments()
    model = transformers.AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(**place)
    wanted = [
        tokenizer.decode(model.generate(**tokenizer(prompt, return_tensors="pt"), **GREEDY)[0]) for prompt in PROMPTS
    ]
    assert texts(files["Q4_1"]) == [text.replace(END, "") for text in wanted]


def test_it_is_known_by_its_content(files: dict[str, Path], tmp_path: Path):
    other = tmp_path / "other.gguf"
    other.write_bytes(files["F32"].read_bytes())
    assert identity(str(other), "") == identity(str(files["F32"]), "") != identity(str(files["Q4_1"]), "")


def test_the_last_part_of_a_hub_id_may_be_a_file():
    found = Source.of(Conf(model="owner/name/sub/chat.gguf", revision="abc"))
    assert found == Source("owner/name", "abc", "sub/chat.gguf")
    assert found.arguments()["gguf_file"] == "sub/chat.gguf"
    assert Source.of(Conf(model="owner/name")) == Source("owner/name")


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no such file at all"], ids=["empty", "cut", "another"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes):
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(content)
    with pytest.raises(LoadFailed, match=r"The GGUF file .*damaged\.gguf cannot be loaded \(.*fetch it again"):
        load(damaged)


def test_a_cut_file_is_refused(files: dict[str, Path], tmp_path: Path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(files["F32"].read_bytes()[:-1000])
    with pytest.raises(LoadFailed, match=r"The GGUF file .*cut\.gguf cannot be loaded"):
        load(cut)


def test_a_family_that_cannot_be_read_is_named(files: dict[str, Path], tmp_path: Path):
    unknown = tmp_path / "unknown.gguf"
    unknown.write_bytes(files["F32"].read_bytes().replace(b"llama", b"rwkv9"))
    with pytest.raises(LoadFailed, match=r"is a model of kind rwkv9, which is not read from GGUF files"):
        load(unknown)


def test_what_reads_it_must_be_installed(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    with pytest.raises(LoadFailed, match="GGUF files are read with gguf and accelerate, not installed here"):
        load(files["F32"])
