"""The ASGI application: ``daphne inferencesite.asgi:application``."""

import os

from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

from inference.asgi import wrap

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "inferencesite.settings")

try:
    django_application = get_asgi_application()
except ImproperlyConfigured as error:
    raise SystemExit(f"Configuration: {error}") from None

application = wrap(django_application)
