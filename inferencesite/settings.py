"""Settings, read from the environment or a ``.env`` file beside ``manage.py``. The defaults are safe."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

from inference import conf
from inference.messaging import layer_settings, redis_layer_settings

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)

INFERENCE = conf.from_env(env)


def hosts(name: str, default: list[str]) -> list[str]:
    """A comma-separated list; ``default`` if it is empty."""
    given: list[str] = env.list(name, [])
    return [host for host in given if host] or default


def switch(name: str) -> bool:
    """A boolean; false if it is empty."""
    try:
        return env.bool(name) if env.str(name, "") else False
    except EnvError as error:
        raise ImproperlyConfigured(f"{name} is {env.str(name)!r}; it must be true or false.") from error


def chosen(name: str, choices: list[str]) -> str:
    """One of the choices; the first if it is empty."""
    value: str = env.str(name, "") or choices[0]
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")
    return value


DEBUG = switch("DJANGO_DEBUG")
SECRET_KEY = env.str("DJANGO_SECRET_KEY", "")
if not SECRET_KEY:
    raise ImproperlyConfigured("DJANGO_SECRET_KEY is not set; `make serve` writes one to .env, or set it yourself.")
SECRET_KEY_FALLBACKS: list[str] = hosts("DJANGO_SECRET_KEY_FALLBACKS", [])
ALLOWED_HOSTS: list[str] = hosts("DJANGO_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = hosts("DJANGO_CSRF_TRUSTED_ORIGINS", [])

INSTALLED_APPS = [
    "daphne",  # first, so that its runserver replaces Django's
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "axes",
    "inference",  # before channels, so that its runworker replaces that of Channels
    "channels",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # must be last
]
ROOT_URLCONF = "inferencesite.urls"
ASGI_APPLICATION = "inferencesite.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

REDIS_URL = env.str("REDIS_URL", "")
LAYER_EXPIRY_S = int(max(60, INFERENCE.max_deadline_s + 10))
CHANNEL_LAYERS = {
    "default": redis_layer_settings.redis(REDIS_URL, INFERENCE.layer_prefix, LAYER_EXPIRY_S)
    if REDIS_URL
    else layer_settings.in_memory(LAYER_EXPIRY_S),
}

SQLITE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": BASE_DIR / "db.sqlite3",
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;",
    },
}


def database(url: str) -> dict[str, Any]:
    """The database of ``DATABASE_URL``; SQLite in WAL mode if empty. PostgreSQL gets a small connection pool."""
    if not url:
        return SQLITE
    try:
        config: dict[str, Any] = dict(dj_database_url.parse(url))
    except ValueError as error:
        message = "DATABASE_URL cannot be read; it must look like postgres://user:password@host:5432/name."
        raise ImproperlyConfigured(message) from error
    if config["ENGINE"] == SQLITE["ENGINE"]:
        return SQLITE | {"NAME": config["NAME"]}
    if config["ENGINE"] == "django.db.backends.postgresql":
        # Only the request log's thread and the admin use it. Django recommends pooling under ASGI.
        config["OPTIONS"] = config.get("OPTIONS", {}) | {"pool": {"min_size": 0, "max_size": 8, "timeout": 5}}
        config["CONN_HEALTH_CHECKS"] = True  # after a restart of the database the pool has dead connections
    return config


DATABASES = {"default": database(env.str("DATABASE_URL", ""))}

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # serves the admin's files without collectstatic
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
USE_I18N = False

# These settings apply to the admin. The consumers check hosts in inference/api/hosts.py and add headers in
# inference/api/security_headers.py, which reads the Strict-Transport-Security settings below.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}
HTTPS = switch("DJANGO_HTTPS")
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SILENCED_SYSTEM_CHECKS = ["security.W021"]  # HSTS preloading is the decision of the domain's owner

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
# Clients that share an attacker's address are not locked out for ever.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_PARAMETERS = ["ip_address"]
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_ALLOWED_CORS_ORIGINS = ""
AXES_VERBOSE = False

LOG_FORMAT = chosen("DJANGO_LOG_FORMAT", ["line", "json"])
LOG_LEVEL = chosen("DJANGO_LOG_LEVEL", ["INFO", "DEBUG", "WARNING", "ERROR"])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,  # True would silence daphne.server, which logs tracebacks
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(levelname)s %(name)s %(message)s",
            "rename_fields": {"levelname": "level", "name": "logger", "exc_info": "traceback"},
            "timestamp": "time",
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["console"]},  # its level is set by Daphne's -v
    "loggers": {
        "inference": {"level": LOG_LEVEL},
        "daphne.access": {"level": LOG_LEVEL},
        "django": {"level": LOG_LEVEL if LOG_LEVEL != "DEBUG" else "INFO"},  # without SQL statements
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # scanners would cause a traceback each
        "psycopg.pool": {"level": "CRITICAL"},  # repeats errors during an outage; the request log reports it once
    },
}
