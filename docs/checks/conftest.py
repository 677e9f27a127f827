"""A server of the built pages, and a browser that looks at them."""

import functools
import http.server
import shutil
import threading

import pytest
from pages import SITE
from selenium import webdriver

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *args):
        """Keep quiet."""


@pytest.fixture(scope="session")
def address():
    """Return the address at which the built pages are served."""
    handler = functools.partial(QuietHandler, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def found(*names):
    """Return the path of the first program of these that there is."""
    paths = [path for path in map(shutil.which, names) if path]
    if not paths:
        pytest.fail(
            f"There is no {names[0]}: install the packages chromium and chromium-driver, with apt-get on Debian."
        )
    return paths[0]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Return a headless Chromium that logs what it loads."""
    options = webdriver.ChromeOptions()
    options.binary_location = found("chromium", "chromium-browser", "google-chrome")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found("chromedriver")))
    yield driver
    driver.quit()
