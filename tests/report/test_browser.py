"""The page of a report in a real browser: headless Chromium, with WebGL and without."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from edgett.escape import one_line
from edgett.report import page
from edgett.report.facts import Report
from edgett.search.choose import choose, feasible
from edgett.search.constraints import DROP, FLOPS, LATENCY
from tests.conftest import Finished
from tests.report.browser import CHROMIUM, DRIVER, Browser
from tests.report.pages import HOSTILE, constraints, hostile, planted, trials

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER) and os.environ.get("CI") != "true", reason="no chromium here"),
]


@pytest.fixture(scope="module", params=[True, False], ids=["webgl", "no webgl"])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    browser = Browser(request.param)
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="module")
def plain_browser() -> Iterator[Browser]:
    browser = Browser(webgl=False)
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Report], Path]:
    def write(report: Report) -> Path:
        place = tmp_path_factory.mktemp("page") / "report.html"
        place.write_text(page.document(report), encoding="utf-8")
        return place

    return write


@pytest.mark.parametrize("width", [1400, 400])
def test_a_real_report_opens_without_complaints(finished: Finished, browser: Browser, width: int) -> None:
    browser.open(finished.path / "report.html", width)
    browser.show_all()

    assert browser.run("return document.documentElement.scrollWidth") <= width
    for plot in browser.driver.find_elements("css selector", ".plot"):
        assert plot.size["width"] <= width and plot.size["height"] > 200
    browser.find("#theme").click()
    assert browser.run("return getComputedStyle(document.body).colorScheme") == "dark"
    assert browser.complaints() == []
    assert browser.requests() == []


def test_hostile_text_breaks_nothing(plain_browser: Browser, written: Callable[[Report], Path]) -> None:
    plain_browser.open(written(hostile()), 400)
    plain_browser.show_all()

    assert plain_browser.run("return document.images.length") == 0
    assert plain_browser.run("return document.documentElement.scrollWidth") <= 400
    assert plain_browser.run("return document.querySelector('button.copy').dataset.copy") == one_line(
        HOSTILE, len(HOSTILE)
    )
    assert plain_browser.complaints() == [] and plain_browser.requests() == []


def _moved(browser: Browser, positions: dict[str, int], objective: str) -> dict[str, Any]:
    """Set sliders and objective as a hand would, and read what the page makes of them."""
    script = """
        const [positions, objective, done] = arguments;
        const set = (id, value) => {
          const field = document.getElementById(id);
          field.value = value;
          field.dispatchEvent(new Event("input", { bubbles: true }));
        };
        for (const [name, value] of Object.entries(positions)) set(`limit-${name}`, value);
        set("objective", objective);
        const limits = {};
        for (const name of Object.keys(positions)) {
          limits[name] = JSON.parse(document.getElementById(`value-${name}`).dataset.value);
        }
        const rows = [...document.querySelectorAll("#options tbody tr")];
        const plot = document.getElementById("plot-flops");
        requestAnimationFrame(() => requestAnimationFrame(() => done({
          limits,
          recommended: document.getElementById("chosen").dataset.recommended,
          sentence: document.getElementById("chosen").textContent,
          roles: Object.fromEntries(rows.map((row) => [row.dataset.solution, row.querySelector(".roles").textContent])),
          holding: rows.filter((row) => row.querySelector(".feasible").textContent === "yes")
            .map((row) => row.dataset.solution),
          marked: Object.fromEntries((plot.data ?? []).map((trace) => [trace.name, trace.x.length])),
        })));"""
    found: dict[str, Any] = browser.driver.execute_async_script(script, positions, objective)
    return found


@pytest.mark.parametrize(("timed", "counted", "turns"), [(True, False, 32), (False, False, 8), (False, True, 16)])
def test_the_sliders_choose_as_step_7_does(
    plain_browser: Browser, written: Callable[[Report], Path], timed: bool, counted: bool, turns: int
) -> None:
    report, rng = planted(40, timed=timed, counted=counted), random.Random(7)
    tried, browser = trials(report.options), plain_browser
    dense = replace(trials((report.dense,))[0], reverted=())
    browser.open(written(report))
    browser.show_all()
    names = browser.run("return [...document.querySelectorAll('input[type=range]')].map((each) => each.name)")
    objectives = browser.run("return [...document.querySelectorAll('option')].map((each) => each.value)")
    assert (LATENCY.name in names) is timed and ("latency" in objectives) is (timed or counted)

    recommended: set[str] = set()
    for turn in range(turns):
        positions = {name: rng.choice([201, 200, rng.randint(0, 200), rng.randint(100, 201)]) for name in names}
        objective = objectives[turn % len(objectives)]
        found = _moved(browser, positions, objective)

        limits = constraints(found["limits"], objective)
        able = [trial for trial in tried if feasible(trial, limits)]
        picks = choose([trial for trial in tried if trial.complete], limits, dense)
        assert found["holding"] == [str(trial.solution.number) for trial in able]
        assert f"{len(able)} of {len(tried)} hold" in found["sentence"]
        assert found["recommended"] == ("none" if picks is None else str(picks.recommended.solution.number))
        roles = {number: words for number, words in found["roles"].items() if words}
        named: dict[str, list[str]] = {}
        chosen = {name: trial for name, trial in picks.named().items() if trial is not dense} if picks else {}
        for name, trial in chosen.items():
            named.setdefault(str(trial.solution.number), []).append(name.replace("_", " ").replace("flops", "FLOPs"))
        assert {number: set(words.split(", ")) for number, words in roles.items()} == {
            number: set(words) for number, words in named.items()
        }
        shown = sum(option[DROP] is not None for option in report.options)
        assert sum(found["marked"].values()) == shown + 1
        assert found["marked"]["recommended"] == ("recommended" in chosen)
        assert found["marked"]["infeasible"] == shown - len(able)
        recommended.add(found["recommended"])
    assert len(recommended) > turns // 5
    assert browser.complaints() == []


def _far(report: Report, costs: float) -> Report:
    """With two failures among solutions near the limit, all within so many times the lowest cost."""
    drops = [94.3, 87.6, *(0.1 * number for number in range(20))]
    options = zip(report.options, drops, strict=True)
    return replace(
        report,
        dense=replace(
            report.dense,
            limited={**report.dense.limited, FLOPS: round(3_100_000 * costs)},
            params=round(52_000 * costs),
        ),
        options=tuple(
            replace(option, limited={**option.limited, DROP: drop, FLOPS: 3_100_000}, params=52_000)
            for option, drop in options
        ),
    )


@pytest.mark.parametrize("costs", [1.0, 1.7, 8.0, 60.0, 5000.0])
def test_failures_stand_at_the_edge_and_costs_have_their_units(
    browser: Browser, written: Callable[[Report], Path], costs: float
) -> None:
    browser.open(written(_far(planted(22), costs)))
    browser.show_all()

    read = """
        const plot = document.getElementById(arguments[0]);
        const ticks = [...plot.querySelectorAll(".xtick text")].map((each) => each.textContent);
        const points = plot.data.flatMap(({ y, text, marker }) =>
          y.map((drop, index) => [drop, marker.symbol[index], text[index]]));
        return [ticks, plot.layout.yaxis.title.text, plot._fullLayout.yaxis.range, points];"""
    for name in ("plot-params", "plot-flops"):
        ticks, title, (_, top), points = browser.run(read, name)
        assert len(ticks) >= 3 and all(re.fullmatch(r"[\d.]+[kMG]", tick) for tick in ticks), ticks
        beyond = [(y, told) for y, symbol, told in points if symbol == "diamond-open"]
        assert len(beyond) == 2 and all(1.9 < y < top < 3 for y, _ in beyond)
        assert {"drop 94.3 points", "drop 87.6 points"} <= {line for _, told in beyond for line in told.split("<br>")}
        assert title == "drop, points (◇: above 1.9)"
    assert browser.find("#space-edge").text == "; ◇: above 1.9 points"


def test_the_navigation_follows_what_is_read(finished: Finished, plain_browser: Browser) -> None:
    plain_browser.open(finished.path / "report.html", 400)
    plain_browser.show_all()
    shown = """
        const [name, link] = [arguments[0], document.querySelector("nav a[aria-current]")];
        const [box, bar] = [link.getBoundingClientRect(), link.closest("ul").getBoundingClientRect()];
        return link.hash === `#${name}` && box.left >= bar.left && box.right <= bar.right;"""
    for name in ("solutions", "training", "verdict"):
        plain_browser.run("document.getElementById(arguments[0]).scrollIntoView({behavior: 'instant'})", name)
        plain_browser.until(shown, name)
    for place, name in ((1e9, "reproduction"), (0, "verdict")):
        plain_browser.run("scrollTo({top: arguments[0], behavior: 'instant'})", place)
        plain_browser.until(shown, name)


def test_it_begins_with_the_limits_of_the_target_and_comes_back_to_them(
    plain_browser: Browser, written: Callable[[Report], Path]
) -> None:
    report = planted(24)
    plain_browser.open(written(report))
    read = """
        const outputs = [...document.querySelectorAll("output")];
        return Object.fromEntries(outputs.map((each) => [each.id, each.dataset.value]));"""
    before, sentence = plain_browser.run(read), plain_browser.find("#chosen").text
    assert {name.removeprefix("value-"): json.loads(value) for name, value in before.items()} == {
        row.name: limit for row, limit in report.limits.items()
    }

    _moved(plain_browser, {FLOPS.name: 3, DROP.name: 201}, "accuracy")
    assert plain_browser.find("#chosen").text != sentence
    plain_browser.find("#reset").click()

    plain_browser.until("return document.getElementById('chosen').textContent === arguments[0]", sentence)
    assert plain_browser.run(read) == before


def test_tables_sort(plain_browser: Browser, written: Callable[[Report], Path]) -> None:
    report = planted(24)
    plain_browser.open(written(report))
    read = "return [...document.querySelectorAll('#options tbody tr')].map((row) => Number(row.dataset.solution))"
    params = [option.params for option in report.options]
    (head,) = [each for each in plain_browser.driver.find_elements("css selector", "#options th button")
               if each.text.startswith("parameters")]  # fmt: skip

    orders = []
    for _ in range(3):
        plain_browser.press(head, "\ue007")  # Enter
        orders.append([params[number] for number in plain_browser.run(read)])
        state = plain_browser.run("return arguments[0].closest('th').getAttribute('aria-sort')", head)
        assert state == ["ascending", "descending", None][len(orders) - 1]
    assert orders == [sorted(params), sorted(params, reverse=True), params]


def test_what_is_not_known_is_sorted_last(plain_browser: Browser, written: Callable[[Report], Path]) -> None:
    report = planted(24)
    failed = {option.solution for option in report.options if option[DROP] is None}
    assert failed
    plain_browser.open(written(report))
    (head,) = [each for each in plain_browser.driver.find_elements("css selector", "#options th button")
               if each.text.startswith("drop")]  # fmt: skip

    for _ in range(2):
        plain_browser.press(head, "\ue007")
        order = plain_browser.run(
            "return [...document.querySelectorAll('#options tbody tr')].map((row) => Number(row.dataset.solution))"
        )
        assert set(order[-len(failed) :]) == failed


def test_a_button_and_a_point_copy_the_command(plain_browser: Browser, written: Callable[[Report], Path]) -> None:
    from selenium.webdriver import ActionChains

    report, browser = planted(24), plain_browser
    browser.open(written(report))
    browser.driver.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )

    def said(command: str) -> str:
        browser.until("return document.getElementById('said').textContent === arguments[0]", f"Copied: {command}")
        done = "navigator.clipboard.readText().then(arguments[arguments.length - 1], String)"
        return str(browser.driver.execute_async_script(done))

    button = browser.find("tr[data-solution='5'] button.copy")
    assert button.get_attribute("aria-label") == "Copy the command that exports solution 5"
    browser.press(button, "\ue007")
    assert said(report.options[5].command) == report.options[5].command

    plot = browser.find("#plot-params")
    browser.show_all()
    browser.run("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", plot)
    x, y, command = browser.run(
        """
        const plot = arguments[0], { xaxis, yaxis } = plot._fullLayout;
        const trace = plot.data.find((each) => each.name === "recommended");
        const box = plot.getBoundingClientRect();
        return [xaxis.l2p(Math.log10(trace.x[0])) + xaxis._offset - box.width / 2,
                yaxis.l2p(trace.y[0]) + yaxis._offset - box.height / 2, trace.customdata[0]];""",
        plot,
    )
    ActionChains(browser.driver).move_to_element_with_offset(plot, round(x), round(y)).pause(0.3).click().perform()
    assert said(command) == command


def test_everything_is_within_reach_of_the_keyboard(plain_browser: Browser, written: Callable[[Report], Path]) -> None:
    plain_browser.open(written(planted(8)))
    plain_browser.run("document.activeElement.blur()")
    reached = []
    for _ in range(60):
        plain_browser.driver.switch_to.active_element.send_keys("\ue004")  # Tab
        element = plain_browser.driver.switch_to.active_element
        reached.append(element.get_attribute("id") or element.text or element.tag_name)
        style = plain_browser.run("return getComputedStyle(arguments[0]).outlineStyle", element)
        assert style != "none", f"no focus to be seen on {reached[-1]}"
        if reached[-1] == "reset":
            break
    assert reached[0] == "Skip to the verdict"
    assert {"theme", "Solutions", "limit-flops", "objective", "reset"} <= set(reached)

    slider = plain_browser.find("#limit-flops")
    before = plain_browser.find("#value-flops").text
    plain_browser.press(slider, "\ue012", "\ue012")  # left
    assert plain_browser.find("#value-flops").text not in (before, "")
    assert slider.get_attribute("aria-valuetext") == plain_browser.find("#value-flops").text


def test_dark_and_light_follow_the_reader(plain_browser: Browser, written: Callable[[Report], Path]) -> None:
    place = written(planted(8))
    papers = []
    for dark in (False, True):
        plain_browser.open(place, dark=dark)
        assert plain_browser.find("#theme").get_attribute("aria-pressed") == str(dark).lower()
        papers.append(plain_browser.run("return getComputedStyle(document.documentElement).backgroundColor"))
        plain_browser.show_all()
        ink = plain_browser.run("return document.getElementById('plot-flops').layout.font.color")
        plain_browser.find("#theme").click()
        assert plain_browser.run("return document.getElementById('plot-flops').layout.font.color") != ink
    assert papers[0] != papers[1]


def test_without_scripts_tables_and_words_are_there(plain_browser: Browser, written: Callable[[Report], Path]) -> None:
    place = written(planted(8))
    plain_browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        plain_browser.open(place)
        assert plain_browser.find("#options").is_displayed()
        assert not plain_browser.find("#replay").is_displayed()
        assert not plain_browser.find("#theme").is_displayed()
    finally:
        plain_browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_it_prints_everything_in_ink(finished: Finished, plain_browser: Browser) -> None:
    plain_browser.open(finished.path / "report.html", dark=True)
    made = plain_browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})

    assert len(made["data"]) > 50_000
    assert plain_browser.run("return [...document.querySelectorAll('details')].every((each) => each.open)")
    undrawn = "return document.querySelectorAll('.plot:not(.js-plotly-plot)').length"
    assert plain_browser.run(undrawn) == 0
    assert plain_browser.complaints() == []


def test_pictures_keep_their_place_on_paper(finished: Finished, plain_browser: Browser) -> None:
    plain_browser.open(finished.path / "report.html")
    plain_browser.run("dispatchEvent(new Event('beforeprint'))")
    plain_browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    too_high = """
        const plots = [...document.querySelectorAll(".plot")];
        return plots.map((plot) => plot._fullLayout.height - plot.clientHeight).filter((more) => more !== 0);"""
    assert plain_browser.run(too_high) == []
    plain_browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("dark", [False, True])
def test_an_audit_of_accessibility_finds_nothing(finished: Finished, plain_browser: Browser, dark: bool) -> None:
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text()
    plain_browser.open(finished.path / "report.html", dark=dark)
    plain_browser.run(axe)
    script = "axe.run({exclude: [['.svg-container']]}).then(arguments[arguments.length - 1])"
    found = plain_browser.driver.execute_async_script(script)

    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
    assert len(found["passes"]) > 20


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_what_is_behind_them(
    plain_browser: Browser, written: Callable[[Report], Path], dark: bool
) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 for text, on each ground that it stands on."""
    plain_browser.open(written(planted(4)), dark=dark)
    script = """
        const probe = document.body.appendChild(document.createElement("span"));
        return Object.fromEntries(arguments[0].map((name) => {
          probe.style.color = `var(--${name})`;
          return [name, getComputedStyle(probe).color.match(/[\\d.]+/g).map(Number)];
        }));"""
    inks, grounds = ("ink", "soft", "accent", "good", "bad", "open"), ("page", "card", "wash")
    colours = plain_browser.run(script, [*inks, *grounds])

    def light(colour: list[float]) -> float:
        parts = [each / 255 for each in colour[:3]]
        red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for ink in inks:
        for ground in grounds:
            low, high = sorted((light(colours[ink]), light(colours[ground])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)
