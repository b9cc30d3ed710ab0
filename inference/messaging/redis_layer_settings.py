"""The channel layer of several processes. Only this module imports redis, which one process does not need."""

from typing import Any

from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from inference.messaging.layer_settings import CAPACITY


def redis(url: str, prefix: str, expiry_s: int) -> dict[str, Any]:
    """One Redis host.

    channels_redis blocks 5 s in BZPOPMIN, which is redis-py 8's default read timeout: without a longer one every
    idle process dies (https://github.com/django/channels_redis/issues/422). It builds its clients without retries,
    so a Redis restart would kill every reader; and redis-py 8 stops at 100 connections.
    """
    host = {
        "address": url,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "max_connections": 1000,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 10),
        "retry_on_error": [RedisConnectionError],
    }
    config = {"hosts": [host], "prefix": prefix, "capacity": CAPACITY, "expiry": expiry_s, "group_expiry": 60}
    return {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config}
