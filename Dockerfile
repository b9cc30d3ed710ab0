# One image for every process: web, worker and management commands. See docker-compose.yml.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HF_HOME=/var/cache/huggingface

RUN useradd --create-home --uid 1000 app \
    && install --directory --owner app --group app /app /var/cache/huggingface

WORKDIR /app

# First what changes rarely: a change of code does not install torch again.
COPY requirements.txt .
RUN pip install -r requirements.txt

COPY manage.py .
COPY inferencesite inferencesite
COPY inference inference

USER app

# Models from the Hub; a volume keeps them from one container to the next.
VOLUME /var/cache/huggingface

EXPOSE 8000

CMD ["daphne", "-b", "0.0.0.0", "-p", "8000", "inferencesite.asgi:application"]
