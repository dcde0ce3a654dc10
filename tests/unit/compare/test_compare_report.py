"""The report: valid, complete, by itself, and true to its figures; and how a browser shows it."""

import csv
import json
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from made_results import made_result, make_report_folder

from vqgen.compare import agreement, analyse
from vqgen.compare.published import PUBLISHED
from vqgen.compare.report import write_report
from vqgen.compare.summary import summarise

ORDERS = ("raster", "hilbert", "snake", "spiral-in", "random")
VOID = {"meta", "img", "br", "link", "input", "hr"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Checks that elements are closed in turn and ids differ; collects addresses, text and table cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.words, self.rows, self.faults = [], [], [], [], [], []
        self.feed(text)
        self.close()
        self.faults += self.open

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[name] for name in ("src", "href", "srcset", "action") if name in values]
        if tag == "img" and not values.get("alt"):
            self.faults.append("an image without a text")
        if tag == "tr":
            self.rows.append({})
        if tag == "td" and "data-column" in values:
            self.rows[-1][values["data-column"]] = values["data-value"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = make_report_folder(tmp_path_factory.mktemp("report"), ORDERS)
    assert write_report(folder) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_page_is_valid_html(folder, page):
    assert page.faults == []
    assert len(set(page.ids)) == len(page.ids)
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_page_needs_nothing_from_elsewhere(folder, page):
    assert len(page.addresses) > 3 * len(ORDERS)
    assert {address.split(",")[0] for address in page.addresses} == {
        "data:image/svg+xml;base64",
        "data:image/webp;base64",
    }
    text = (folder / "report.html").read_text()
    assert not any(word in text for word in ("http:", "https:", "//cdn", "@import", "url("))


def test_page_has_every_order_its_panel_and_the_failed_run(page):
    for rank, order in enumerate(ORDERS, 1):
        assert f"{rank}. {order}" in page.text
    assert "ValueError: <made> to fail" in page.text
    assert "random, seed 2" in page.text
    assert "1 planned run did not finish, 1 of them with an error" in page.text


def test_text_of_the_plan_is_escaped(folder):
    text = (folder / "report.html").read_text()
    assert "Made &amp; &lt;b&gt;not run&lt;/b&gt;" in text


def test_figures_in_page_csv_and_json_are_the_same(folder, page):
    found = json.loads((folder / "results.json").read_text())
    with (folder / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    shown = [row for row in page.rows if "nll" in row]
    assert len(shown) == len(lines) == len(found["table"]) == len(ORDERS)
    for row, line, told in zip(shown, lines, found["table"], strict=True):
        for name, value in told.items():
            texts = [each[name] for each in (row, line) if name in each]
            if isinstance(value, float):
                assert all(float(text) == pytest.approx(value, rel=1e-12) for text in texts), name
            else:
                assert all(text == ("" if value is None else str(value)) for text in texts), name
    assert found["runs_finished"] == 14
    assert found["runs_planned"] == 15
    assert len(found["contenders"][0]["step_nats"]) == 16


def test_shown_figures_are_the_rounded_ones(folder, page):
    table = json.loads((folder / "results.json").read_text())["table"]
    for row in table:
        half = row["nll_high"] - row["nll"]
        assert f"{row['nll']:.4f} ± {half:.4f}" in page.text
        assert row["difference"] is None or f"{row['difference']:+.4f}" in page.text


def test_published_rankings_are_beside_ours_in_their_quantity(folder, page):
    found = json.loads((folder / "results.json").read_text())["published"]
    taming, study = found[0], found[1]
    assert taming["quantity"] == "nll"
    assert study["quantity"] == "fid"
    assert [row[2] for row in taming["rows"]] == [4.767, 4.812, 4.901]
    assert "4.767" in page.text
    assert "2012.09841" in page.text


def test_summary_is_in_the_page_word_for_word(folder, page):
    found = json.loads((folder / "results.json").read_text())["summary"]
    assert all(" ".join(sentence.split()) in page.text for sentence in found)


def test_summary_tells_significant_from_not():
    results = [made_result("raster", seed, 3.0 + 0.1 * seed) for seed in range(3)]
    results += [made_result("snake", seed, 3.5 + 0.1 * seed + 0.001 * seed) for seed in range(3)]
    results += [made_result("hilbert", seed, 3.02 + 0.1 * (2 - seed)) for seed in range(3)]
    text = " ".join(summarise(analyse(results, reference="raster")))
    assert "Lowest validation loss: raster with 3.100" in text
    assert "significantly worse: snake; not to be told apart: hilbert." in text
    assert "The best order depends on the seed: raster under seed 0" in text
    assert "Too few fixed orders" in text


def test_summary_of_one_seed_claims_nothing():
    results = [made_result("raster", 0, 3.0), made_result("hilbert", 0, 2.0)]
    text = " ".join(summarise(analyse(results, reference="raster"), missing=2))
    assert "one seed, so no interval" in text
    assert "nothing can be said about other seeds" in text
    assert "2 planned runs did not finish, 0 of them with an error" in text


def test_summary_says_when_random_wins_when_it_overfits_and_who_agrees():
    results = [made_result("random", 0, 2.0), made_result("raster", 0, 3.0, curve=[[5, 1.0, 2.5], [10, 1.0, 3.0]])]
    found = agreement(PUBLISHED[1], {"raster": 3.0, "random": 2.0})
    text = " ".join(summarise(analyse(results, reference="raster"), [found]))
    assert "A random permutation, fixed for each seed, did better than raster." in text
    assert "Overfitting at the end" in text
    assert "of 1 pairs of orders that both measured, 0 are ranked the same way" in text


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="vqgen compare run"):
        write_report(tmp_path)


def browse(file, width, script=""):
    """The page as Chromium has it after running a script on it."""
    copy = file.with_name(f"copy-{width}.html")
    copy.write_text(file.read_text().replace("</body>", f"<script>{script}</script></body>"))
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--window-size={width},900"]
    profile = f"--user-data-dir={file.parent / 'profile'}"
    command = [CHROMIUM, *options, profile, "--dump-dom", copy.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
def test_in_a_browser_nothing_is_wider_than_a_phone_and_tables_sort(folder):
    script = """
      const facts = {};
      facts.width = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      facts.images = [...document.images].filter(image => !image.complete || !image.naturalWidth).length;
      const table = document.getElementById("figures-table");
      const orders = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent);
      const click = column => table.tHead.rows[0].cells[column].firstChild.click();
      click(0); facts.byName = orders(); click(2); facts.byLoss = orders(); click(2); facts.byLossDown = orders();
      const frame = document.createElement("pre");
      frame.id = "facts"; frame.textContent = JSON.stringify(facts); document.body.append(frame);
    """
    text = browse(folder / "report.html", 500, f'addEventListener("load", () => {{{script}}});')
    facts = json.loads(text.split('<pre id="facts">')[1].split("</pre>")[0])
    assert facts["width"] == 0
    assert facts["images"] == 0
    assert facts["byName"] == sorted(ORDERS)
    assert facts["byLoss"] == list(ORDERS)
    assert facts["byLossDown"] == list(ORDERS)[::-1]
