"""``make bench BENCH="--only generation"``: a real chat model, beside what users would run instead.

- ``ours``: this server, embedded, server-sent events, with the settings of each of ``engines.OURS``;
- ``llama-f32``, ``llama-q4_1``: llama.cpp's server from the package ``xllamacpp``, on GGUF files made of the same
  checkpoint;
- ``serve``: ``transformers serve --continuous-batching`` in float32.

All servers run at once, and each measurement is made of one after the other, so that a machine that drifts slows down
all of them. The model is SmolLM2-135M-Instruct (``tests.real.smollm2``), and no text ends before it has its tokens.
"""
