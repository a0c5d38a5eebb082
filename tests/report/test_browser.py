"""The page in a real browser: nothing is loaded, nothing executes, the inspector works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longtrace.report.data import read_run
from longtrace.report.page import page
from tests.report.screenshots import CHROME, DRIVER, chromium

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
pytestmark = pytest.mark.skipif(
    CHROME is None or DRIVER is None, reason="no Chromium with chromedriver on this machine"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = chromium(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, full_run: Path, tmp_path: Path) -> Any:
    path = tmp_path / "report.html"
    path.write_text(page(read_run(full_run, 60)), encoding="utf-8")
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri())
    return browser


def one(browser: Any, css: str) -> Any:
    return browser.find_element("css selector", css)


def every(browser: Any, css: str) -> list[Any]:
    found: list[Any] = browser.find_elements("css selector", css)
    return found


def press(browser: Any, css: str, key: str) -> None:
    one(browser, css).send_keys(getattr(webdriver.Keys, key))


def test_there_is_no_console_message_and_no_request(opened: Any) -> None:
    for button in every(opened, ".tabs button"):
        button.click()
    assert opened.get_log("browser") == []
    events = [entry["message"] for entry in opened.get_log("performance")]
    asked = [event for event in events if '"Network.requestWillBeSent"' in event]
    assert len(asked) == 1
    assert "report.html" in asked[0]


def test_a_hostile_document_is_text_and_nothing_executes(opened: Any, hostile: str) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    with pytest.raises(NoAlertPresentException):
        _ = opened.switch_to.alert
    assert every(opened, "img") == []
    assert len(every(opened, "script")) == 2
    shown = one(opened, ".hops b").get_property("textContent")
    assert shown == " ".join(hostile.split())
    assert hostile.split("\u2028")[0] in one(opened, "#detail .question").get_property(
        "textContent"
    )
    rollout = one(opened, ".rollout p").get_property("textContent")
    assert rollout.startswith("<script>alert(1)</script>")


def test_the_policy_stops_a_script_that_gets_in_all_the_same(opened: Any) -> None:
    opened.execute_script(
        "const bad = document.createElement('script'); bad.textContent = 'window.harmed = 1';"
        "const out = new Image(); out.src = 'http://127.0.0.1:9/leak';"
        "document.body.append(bad, out);"
    )
    assert opened.execute_script("return window.harmed") is None
    said = " ".join(entry["message"] for entry in opened.get_log("browser"))
    assert "violates the following Content Security Policy directive" in said
    assert "img" in said
    assert "script-src" in said


def test_a_click_shows_another_question(opened: Any) -> None:
    first = one(opened, "#detail").text
    every(opened, "#list li")[2].click()
    assert "Question 2: which lake" in one(opened, "#detail .question").text
    assert one(opened, "#detail").text != first
    assert every(opened, "#list li")[2].get_attribute("aria-selected") == "true"


def test_up_and_down_keys_walk_the_list(opened: Any) -> None:
    for key, wanted in (("ARROW_DOWN", 1), ("ARROW_DOWN", 2), ("ARROW_UP", 1), ("END", 4)):
        press(opened, "#list", key)
        assert f"Question {wanted}:" in one(opened, "#detail .question").text


def test_search_and_filter_narrow_the_list(opened: Any) -> None:
    from selenium.webdriver.support.select import Select

    one(opened, "#find").send_keys("number5 lake")
    assert "3 of 5" in one(opened, "#count").text
    one(opened, "#find").clear()
    Select(one(opened, "#which")).select_by_value("unsolved")
    assert "1 of 5" in one(opened, "#count").text
    assert "Question 3:" in one(opened, "#detail .question").text
    assert "No context was made" in one(opened, "#detail").text


def test_the_map_is_read_block_by_block_with_the_keys(opened: Any) -> None:
    press(opened, ".map", "ARROW_RIGHT")
    assert "Passage 1 of" in one(opened, ".caption").text
    press(opened, ".map", "END")
    blocks = every(opened, ".block[role=option]")
    assert f"Passage {len(blocks)} of {len(blocks)}" in one(opened, ".caption").text


def test_block_widths_follow_tokens(opened: Any) -> None:
    data = opened.execute_script("return JSON.parse(document.getElementById('data').textContent)")
    tokens = [block[2] for block in data["questions"][0]["maps"][0]["blocks"]]
    widths = [block.rect["width"] for block in every(opened, ".block[role=option]")]
    scale = sum(widths) / sum(tokens)
    assert all(abs(w - scale * t) < 4 for w, t in zip(widths, tokens, strict=True))


def test_the_strategy_and_the_attempt_can_be_switched(opened: Any) -> None:
    every(opened, "#list li")[1].click()
    random = next(b for b in every(opened, ".tabs button") if b.text == "random")
    random.click()
    assert every(opened, ".block.filler")
    every(opened, ".tabs button")[1].click()
    assert "Atlantis" in one(opened, ".line").text
    assert every(opened, ".line .near_miss"), "what a wrong attempt cites is a near miss"


def test_the_curve_reads_single_steps(opened: Any) -> None:
    press(opened, "#plot", "ARROW_LEFT")
    assert one(opened, "#plot-at").text.startswith("step 9: reward 0.450")


def test_hit_and_missed_names_stand_beside_every_rollout(opened: Any) -> None:
    assert [name.text for name in every(opened, ".rollout:nth-child(2) .name")] == [
        "✓ Lake Number1",
        "✗ Lake <i>Number2</i>",
    ]
    assert "not judged" in every(opened, ".rollout")[3].text


@pytest.mark.parametrize("width", [390, 820, 1280])
def test_the_page_fits_its_window(opened: Any, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    needed = opened.execute_script("return document.documentElement.scrollWidth")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert needed <= width
