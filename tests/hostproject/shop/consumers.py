from typing import Any

from channels.consumer import SyncConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from shop.models import Receipt


class Chat(AsyncWebsocketConsumer):
    """Says to all what one says. A number closes the socket with that code."""

    async def connect(self) -> None:
        await self.channel_layer.group_add("chat", self.channel_name)
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data and text_data.isdecimal():
            await self.close(int(text_data))
        elif bytes_data:
            await self.send(bytes_data=bytes_data)
        else:
            await self.channel_layer.group_send("chat", {"type": "said", "text": text_data})

    async def said(self, message: dict[str, Any]) -> None:
        await self.send(message["text"])

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard("chat", self.channel_name)


class Receipts(SyncConsumer):
    """The background worker: ``manage.py runworker receipts``."""

    def print_receipt(self, message: dict[str, Any]) -> None:
        Receipt.objects.create(text=message["text"])
