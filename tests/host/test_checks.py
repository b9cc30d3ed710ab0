"""What ``manage.py check`` says in the host project when an edit is missing."""

from collections.abc import Callable

import pytest

from tests.host.site import ASGI_EDIT, OF_THE_TEST, SETTINGS_EDIT, Site

LAYER = next(line for line in SETTINGS_EDIT.splitlines() if line.startswith("CHANNEL_LAYERS"))
APP = next(line for line in SETTINGS_EDIT.splitlines() if line.startswith("INSTALLED_APPS"))
STOCK_REDIS = """
CHANNEL_LAYERS["inference"] = {
    "BACKEND": "channels_redis.core.RedisChannelLayer",
    "CONFIG": {"hosts": [("127.0.0.1", 6379)], "expiry": 200},
}
"""
SETTINGS = SETTINGS_EDIT + OF_THE_TEST


@pytest.mark.parametrize(
    ("settings", "asgi", "said"),
    [
        (SETTINGS, ASGI_EDIT, "System check identified no issues (0 silenced)."),
        (SETTINGS.replace(APP, ""), ASGI_EDIT, "Inference is used, but 'inference' is not in INSTALLED_APPS."),
        (SETTINGS.replace(LAYER, ""), ASGI_EDIT, "There is no channel layer 'inference'."),
        (SETTINGS, "", "In shop.asgi: `from inference.asgi import wrap`, and as the last line `application = wrap("),
        (SETTINGS + STOCK_REDIS, ASGI_EDIT, "Idle processes would lose their channel layer: "),
    ],
    ids=["none", "INSTALLED_APPS", "CHANNEL_LAYERS", "wrap()", "a layer as Channels documents it"],
)
def test_a_missing_edit_is_named(make_site: Callable[[str], Site], settings: str, asgi: str, said: str) -> None:
    site = make_site("site")
    site.edit(settings, asgi)
    output = site.manage("check")
    assert said in output
    assert "Traceback" not in output
