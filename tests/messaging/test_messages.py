from typing import get_args

import pytest
from channels.layers import BaseChannelLayer

from inference.messaging import messages
from inference.messaging.messages import WORKERS_GROUP, Closing, Error, Result, Returned


def test_every_closing_entry_is_an_entry_of_replies():
    assert set(get_args(Closing)) == {Result, Error, Returned}


@pytest.mark.parametrize("name", [messages.host_channel("0a1b2c"), messages.reply_channel("0a1b2c")])
def test_channel_names_are_valid_for_channels(name: str):
    layer = BaseChannelLayer()
    layer.require_valid_channel_name(name, receive=True)


def test_the_groups_name_is_valid_for_channels():
    layer = BaseChannelLayer()
    layer.require_valid_group_name(WORKERS_GROUP)
