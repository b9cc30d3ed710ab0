# One image for every process: web, worker and management commands. See docker-compose.yml.
FROM python:3.11-slim AS code
COPY inference /inference
RUN rm -r /inference/bundled_model

FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HF_HOME=/var/cache/huggingface

RUN useradd --create-home --uid 1000 app \
    && install --directory --owner app --group app /app /var/cache/huggingface

WORKDIR /app

# First what changes rarely: a change of code does not install torch again, nor store the model once more.
COPY requirements.txt .
# The index of PyTorch's builds for CPUs makes the image 4 GB smaller than the default one, which has CUDA.
ARG TORCH_INDEX_URL
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
        pip install --index-url "$TORCH_INDEX_URL" "$(grep --only-matching '^torch==[^ ]*' requirements.txt)"; \
    fi \
    && pip install -r requirements.txt \
    # 230 MB: tests, and what one compiles extensions of torch with.
    && cd "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && rm -rf torch/test torch/include torch/bin/*[tT]est* torch/bin/protoc* \
    && find sympy networkx -type d -name tests -prune -exec rm -r {} +

COPY inference/bundled_model inference/bundled_model
COPY manage.py .
COPY inferencesite inferencesite
COPY --from=code /inference inference

# By number: Kubernetes checks that it is not 0.
USER 1000:1000

EXPOSE 8000

CMD ["daphne", "-b", "0.0.0.0", "-p", "8000", "inferencesite.asgi:application"]
