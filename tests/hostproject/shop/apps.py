import atexit
import os
import sys
import threading
import time

from django.apps import AppConfig
from django.contrib import admin


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self) -> None:
        admin.site.site_header = "Shop administration"
        if "runworker" not in sys.argv and (path := os.environ.get("SHOP_ENDS")):
            atexit.register(self.note, path, "exit function")
            threading.Thread(target=self.outlive, args=(path,)).start()

    @staticmethod
    def note(path: str, what: str) -> None:
        with open(path, "a") as notes:
            notes.write(f"{what}\n")

    def outlive(self, path: str) -> None:
        """A thread that is no daemon: Python waits for it."""
        threading.main_thread().join()
        time.sleep(0.2)
        self.note(path, "thread")
