"""``make screenshots``: pages of real servers in real states, as pictures to look at.

python -m tests.screenshots                 all, into screenshots/ and a few of them into docs/screenshots/
python -m tests.screenshots log playground  those whose names begin like this

A new page is a line in ``shots.py``; a new state of a server is a function in ``sites.py``.
"""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "inferencesite.settings")  # for the fakes, whose modules import models
django.setup()
