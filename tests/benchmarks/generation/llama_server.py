"""llama.cpp's server from the package ``xllamacpp``. Runs in ``.venv-bench``.

python -m tests.benchmarks.generation.llama_server FILE PORT SLOTS CONTEXT THREADS
"""

import signal
import sys

import xllamacpp


def main(file: str, port: str, slots: str, context: str, threads: str) -> None:
    """Slots share the context; everything else is what llama.cpp's own server does by default."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.hostnames, parameters.port = ["127.0.0.1"], int(port)
    parameters.n_parallel, parameters.n_ctx, parameters.kv_unified = int(slots), int(context), True
    parameters.cont_batching = True
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = int(threads)
    server = xllamacpp.Server(parameters)  # serves until it is deleted
    signal.pause()
    del server


if __name__ == "__main__":
    main(*sys.argv[1:])
