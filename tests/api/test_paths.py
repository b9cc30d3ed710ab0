import pytest

from inference.api.paths import Paths, without_slash

TABLE = Paths(
    (path, path)
    for path in (
        "/",
        "/ws/",
        "/models",
        "/models/{pipeline}",
        "/models/{pipeline}/ready",
        "/models/{pipeline}/versions/{version}/ready",
    )
)


@pytest.mark.parametrize(
    ("path", "found", "arguments"),
    [
        ("/", "/", {}),
        ("/ws", "/ws/", {}),
        ("/ws/", "/ws/", {}),
        ("/models/", "/models", {}),
        ("/models/a", "/models/{pipeline}", {"pipeline": "a"}),
        ("/models/acme/topics", "/models/{pipeline}", {"pipeline": "acme/topics"}),
        ("/models/a/ready/", "/models/{pipeline}/ready", {"pipeline": "a"}),
        ("/models/acme/topics/ready", "/models/{pipeline}/ready", {"pipeline": "acme/topics"}),
        (
            "/models/acme/topics/versions/1/ready",
            "/models/{pipeline}/versions/{version}/ready",
            {"pipeline": "acme/topics", "version": "1"},
        ),
    ],
)
def test_names_in_a_path(path: str, found: str, arguments: dict[str, str]):
    assert TABLE.find(path) == (found, arguments)


@pytest.mark.parametrize("path", ["", "///", "/ws//", "/models/a/b/c", "/models//ready/x", "/other", "*"])
def test_where_nothing_is(path: str):
    assert TABLE.find(path) is None


def test_only_one_slash_is_taken_from_the_end():
    assert [without_slash(path) for path in ("/", "/a", "/a/", "/a//")] == ["/", "/a", "/a", "/a/"]
