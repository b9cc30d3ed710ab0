"""Answers are those of the stock pipeline, where pandas is installed; without it, the load says what is missing."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inference.backends.base import BatchedPipeline, LoadFailed
from inference.conf import BUNDLED_MODEL, Conf
from inference.errors import Invalid
from inference.tasks.inputs import TableInput
from tests.backends.transformers.running import Asked, Make, assert_equal, counts, direct, load, plain, run
from tests.tasks.test_inputs import check, refusal

LIKE = '{"query": "a text", "table": {"name": ["Ada", "Alan"], "born": ["1815", "1912"]}}'
RIVERS = {"river": ["the old river", "a quiet one", "rhine"], "boats": ["12", "", "1500"]}


def about(table: Any = RIVERS, query: Any = "which river has small boats") -> dict[str, Any]:
    return {"query": query, "table": table}


# Loading and answering


def test_without_pandas_the_load_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.backends.transformers.checkpoint_task import task_of  # noqa: PLC0415 - imports torch

    name = "inference.backends.transformers.table_question_answering.find_spec"
    monkeypatch.setattr(name, lambda module: None)
    config = SimpleNamespace(architectures=["TapasForQuestionAnswering"], model_type="tapas")
    with pytest.raises(LoadFailed) as refused:
        task_of(Conf(model="owner/name"), config)
    assert str(refused.value) == (
        "owner/name has a tokenizer that needs pandas, which is not installed; pip install pandas."
    )


def test_other_models_read_no_tables(models: Any, folder_of: Callable[[Make], Path]) -> None:
    with pytest.raises(LoadFailed, match="is a bert, which does not read tables; choose a TAPAS checkpoint"):
        load(folder_of(models.text_classification), task="table-question-answering")


@pytest.fixture(scope="module")
def folder(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pandas")
    import transformers  # noqa: PLC0415

    made: Path = models.encoder(
        tmp_path_factory.mktemp("tables") / "model",
        "Tapas",
        "TapasForQuestionAnswering",
        num_aggregation_labels=3,
        aggregation_labels={0: "NONE", 1: "SUM", 2: "COUNT"},
        no_aggregation_label_index=0,
    )
    (made / "tokenizer.json").unlink()
    vocabulary = transformers.AutoTokenizer.from_pretrained(BUNDLED_MODEL).get_vocab()
    words = sorted(vocabulary, key=lambda word: vocabulary[word])
    (made / "vocab.txt").write_text("\n".join("[EMPTY]" if word == "[unused0]" else word for word in words))
    transformers.TapasTokenizer(str(made / "vocab.txt"), model_max_length=models.LONGEST).save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> BatchedPipeline:
    return load(folder)


def test_answers_are_those_of_the_stock_pipeline(folder: Path, pipeline: BatchedPipeline) -> None:
    stock = direct(folder, "table-question-answering")
    tables: list[Any] = [RIVERS, {"one": ["a boat"]}, {"a": ["1", "2"], "b": ["", "x"], "c": ["3.5", "1912-05-01"]}]
    asked: list[Asked] = [
        (about(table, query), {}) for table in tables for query in ("how many", "the old river", "which is it")
    ]
    assert pipeline.description.task == "table-question-answering"
    for answer, (given, _) in zip(run(pipeline, asked), asked, strict=True):
        assert_equal(answer, plain(stock(table=given["table"], query=given["query"])))


def test_rows_that_do_not_fit_are_left_out_where_that_is_asked_for(folder: Path, pipeline: BatchedPipeline) -> None:
    long = about({"river": ["the old river runs"] * 20, "boats": ["12"] * 20})
    good, bad, cut, hopeless, narrow, columns, wide, many = run(
        pipeline,
        [
            (about(), {}),
            (long, {}),
            (long, {"truncate": True}),
            (about(query="stone " * 60), {"truncate": True}),
            (about(query="stone " * 43), {"truncate": True}),
            (about({str(number): ["a"] for number in range(60)}), {}),
            (about({str(number): ["a"] for number in range(300)}), {}),
            (about({"a": ["1"] * 100}), {}),
        ],
    )
    assert_equal(good, run(pipeline, [(about(), {})])[0])
    fits, far = about(), about({"a": ["1", "stone " * 2000]})
    whole, *parts = counts(pipeline, [(each, {"truncate": True}) for each in (fits, long, far)])
    assert whole == (counts(pipeline, [(fits, {})])[0][0], False)
    assert all(0 < tokens <= 48 and truncated for tokens, truncated in parts)
    assert_equal(cut, plain(direct(folder, "table-question-answering")(**long)))
    assert isinstance(bad, Invalid)
    assert bad.message.startswith("The query with the table has 1")
    assert bad.message.endswith(" tokens; this model takes at most 48.")
    assert isinstance(hopeless, Invalid)
    assert hopeless.message == "The query with the table has 64 tokens; this model takes at most 48."
    assert isinstance(narrow, Invalid)
    assert narrow.message == "No row of the table fits beside the query; shorten the query or the cells."
    assert isinstance(columns, Invalid)
    assert columns.message == "This model's tokenizer cannot take the table: Too many columns."
    assert isinstance(many, Invalid)
    assert many.message == "The table has 100 cells; this model takes 48 tokens, at least one for each."
    assert isinstance(wide, Invalid)
    assert wide.message == "The table has 1 rows and 300 columns; this model takes 255 and 255."


# Inputs


def test_a_table_with_empty_cells_is_fine() -> None:
    check(TableInput(), about({"a": ["", "1"], "": ["x", ""]}, "who"))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("a text", f"The input is a text; it must be an object such as {LIKE}."),
        ({"table": {"a": ["b"]}}, f"The input is not like {LIKE}; send just these fields."),
        (about(query=" "), "The query of the input is empty; send a text."),
        (about(query=1), "The query of the input is a number; it must be a text."),
        (
            about([["a"]], "who"),
            "The table of the input is a list; it must be an object with a list of texts for each column.",
        ),
        (about({}, "who"), "The table of the input has no columns; send at least one."),
        (about({"a": [], "b": []}, "who"), "The table of the input has no rows; send at least one."),
        (
            about({"a": "b"}, "who"),
            "The table of the input has a column 'a' that is a text; it must be a list of texts.",
        ),
        (
            about({"a": ["1", 2]}, "who"),
            "The table of the input has a number in row 1 of column 'a'; send it as a text.",
        ),
        (
            about({"a": ["1", "2"], "b": ["3"]}, "who"),
            "The table of the input has columns of 1 to 2 cells; they must be of one length.",
        ),
        (about({"a": ["1"] * 10_001}, "who"), "The table of the input has 10001 cells; it may have 10000."),
        (
            about({"a": ["b" * 100]}, "who"),
            "The table of the input has 101 characters; this model takes 10 tokens, which are never more than 100 "
            "characters.",
        ),
        (
            about({"\ud800": ["b"]}, "who"),
            "The table of the input has half of a surrogate pair in it, which is no character; send whole ones.",
        ),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_what_is_wrong_with_a_table_is_said(value: Any, sentence: str) -> None:
    assert refusal(TableInput(), value) == sentence


def test_all_texts_of_a_table_are_known() -> None:
    assert TableInput().texts(about({"a": ["b", "c"]}, "who")) == ["who", "a", "b", "c"]
    assert TableInput().changed(about({"a": ["b"]}, "who"), str.upper) == about({"a": ["B"]}, "WHO")
