"""The pages in a real browser, as wide as a phone and as a desktop."""

import json
from urllib.parse import urlsplit

import pytest
from pages import SITE, built_pages
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

WIDTHS = {"phone": 390, "desktop": 1280}
PAGES = [str(path.relative_to(SITE)) for path in built_pages()]
# Those of the API are alike: a phone is the harder test.
WIDTHS_OF_PAGES = [(name, label) for name in PAGES for label in WIDTHS if label == "phone" or "generated" not in name]
SECONDS = 30
# What reaches beyond the window to the right, and is not in a box made to scroll by itself; or to the left, which no
# box scrolls to.
TOO_WIDE = """
const scrolls = 'pre, .highlight, .pst-scrollable-table-container, div.math, .architecture-map, .output_html';
const isRight = element => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
const isLeft = element => element.getBoundingClientRect().left < -1;
const isOut = element => isLeft(element) || isRight(element) && !element.closest(scrolls);
const out = [...document.querySelectorAll('.bd-main *')].filter(isOut);
return out.map(element => element.outerHTML.slice(0, 200));
"""


def show(browser, url, width, *, is_dark=False):
    """Open a page at a width, scroll through it so that all pictures load, and forget what was logged before."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(url)
    browser.execute_script("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    WebDriverWait(browser, SECONDS).until(
        lambda driver: driver.execute_script(
            "return document.readyState === 'complete' && [...document.images].every(image => image.complete)"
        )
    )


def hosts_asked(browser):
    """Return the hosts that were asked for anything since the page was opened."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return {urlsplit(url).netloc for url in urls if urlsplit(url).scheme not in ("data", "blob", "chrome")}


def errors(browser):
    """Return what the console holds beside notes."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def test_there_are_pages():
    assert PAGES, f"there are no pages in {SITE}: run make docs first"


@pytest.mark.parametrize(("name", "label"), WIDTHS_OF_PAGES)
def test_a_page_is_shown_without_errors(browser, address, name, label):
    width = WIDTHS[label]
    show(browser, f"{address}/{name}", width)
    assert not errors(browser)
    assert hosts_asked(browser) == {urlsplit(address).netloc}
    broken = "return [...document.images].filter(image => image.naturalWidth === 0).map(image => image.src)"
    assert not browser.execute_script(broken)
    wide, window = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert window == width
    assert wide <= window
    assert not browser.execute_script(TOO_WIDE)


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_search_finds_a_name(browser, address, width):
    show(browser, f"{address}/search.html?q=OffSupportRobustClassifier", width)
    page = "generated/skrobust.OffSupportRobustClassifier.html"
    links = f"#search-results a[href*='{page}']"
    WebDriverWait(browser, SECONDS).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, links))
    assert not errors(browser)
    assert hosts_asked(browser) == {urlsplit(address).netloc}


def test_what_is_typed_into_the_search_box_is_searched(browser, address):
    show(browser, f"{address}/index.html", WIDTHS["desktop"])
    browser.find_element(By.CSS_SELECTOR, "button.search-button__button, button.search-button-field").click()
    box = "dialog input[type=search], .search-button__search-container input[type=search]"
    WebDriverWait(browser, SECONDS).until(lambda driver: driver.find_element(By.CSS_SELECTOR, box).is_displayed())
    browser.find_element(By.CSS_SELECTOR, box).send_keys("robustness_report\n")
    WebDriverWait(browser, SECONDS).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, "#search-results a[href*='skrobust.robustness_report']")
    )


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_the_page(browser, address, is_dark):
    """WCAG asks for a contrast of 4.5."""
    show(browser, f"{address}/index.html", WIDTHS["desktop"], is_dark=is_dark)
    colors = browser.execute_script(
        "const style = name => getComputedStyle(document.querySelector(name));"
        "const colors = [style('.bd-article p').color, style('body').backgroundColor];"
        "return colors.map(color => color.match(/[\\d.]+/g).map(Number))"
    )
    light, dark = sorted((luminance(color) for color in colors), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 4.5


def luminance(color):
    """Return the relative luminance of a color with channels from 0 to 255."""
    channels = [value / 255 for value in color[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
