"""The team's own tests: of its shop, and of what it builds on inference. No model is loaded for them."""

import sys
from typing import Any

from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.test import SimpleTestCase, TestCase, override_settings

from inference.errors import InferenceFailed, Overloaded
from inference.models import InferenceRequest
from inference.testing import FakePipeline, FakePipelineMixin
from shop.asgi import application
from shop.models import Receipt, User

IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


class ShopTest(TestCase):
    def test_the_home_page(self) -> None:
        self.assertContains(self.client.get("/"), "<h1>Shoes</h1>")

    def test_users_have_feet(self) -> None:
        self.assertEqual(User.objects.create_user("ann").shoe_size, 42)

    def test_receipts(self) -> None:
        Receipt.objects.create(text="shoes")
        self.assertEqual(self.client.get("/receipts/").json(), ["shoes"])

    @override_settings(CHANNEL_LAYERS=IN_MEMORY)
    async def test_an_order_is_left_to_the_worker(self) -> None:
        self.assertEqual((await self.async_client.post("/order/?what=boots")).status_code, 202)
        message = await get_channel_layer().receive("receipts")
        self.assertEqual(message["text"], "boots")

    @override_settings(CHANNEL_LAYERS=IN_MEMORY)
    async def test_a_chat(self) -> None:
        chat = WebsocketCommunicator(application, "/chat/")
        await chat.connect()
        await chat.send_to("hello")
        self.assertEqual(await chat.receive_from(), "hello")
        await chat.disconnect()


class GuessTest(FakePipelineMixin, TestCase):
    def test_the_best_word(self) -> None:
        self.fake_pipeline.answer = [{"token_str": "blue"}]
        self.assertEqual(self.client.get("/guess/", {"sentence": "The sky is"}).json(), {"word": "blue"})

    def test_too_busy(self) -> None:
        self.fake_pipeline.error = Overloaded("Too busy.", retry_after_s=3)
        self.assertEqual(self.client.get("/guess/", {"sentence": "The sky is"}).status_code, 503)

    def test_nothing_is_logged_and_no_model_is_loaded(self) -> None:
        self.client.get("/guess/", {"sentence": "The sky is"})
        self.assertEqual(InferenceRequest.objects.count(), 0)
        self.assertNotIn("torch", sys.modules)


class TellTest(FakePipelineMixin, SimpleTestCase):
    def make_fake_pipeline(self) -> FakePipeline:
        return FakePipeline("text-generation", [" there", " was"])

    async def events(self) -> bytes:
        response: Any = await self.async_client.get("/tell/", {"beginning": "once"})
        return b"".join([part async for part in response.streaming_content])

    async def test_a_story(self) -> None:
        self.assertEqual(
            await self.events(),
            b'data: {"text": " there"}\n\ndata: {"text": " was"}\n\nevent: end\ndata: {}\n\n',
        )

    async def test_a_story_that_breaks_off(self) -> None:
        self.fake_pipeline.answer = [" there", InferenceFailed("The model failed.")]
        self.assertIn(b"event: error", await self.events())
