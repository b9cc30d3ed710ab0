"""The dialect of ``/`` and ``/ws/``: plain text, the JSON of Hugging Face's Inference API, our own WebSocket frames."""
