"""The blind test: its page tells nobody who made what, and answers are read back as they were given."""

from __future__ import annotations

import json
import queue
import re
import shutil
import subprocess
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from test_page import corpus, report  # noqa: F401  the fixtures

from voiceswap import cli
from voiceswap.errors import DataError, OptionError
from voiceswap.evaluation.listening import KEY, markdown, read_back, write

DRIVER = """<script>
let saved;
URL.createObjectURL = (blob) => { saved = blob; return "about:blank"; };
const step = async () => {
  if (!at("end").hidden) {
    return fetch("/", { method: "POST", body: await saved.text() });
  }
  if (!at("begin").hidden) at("start").click();
  for (const audio of document.querySelectorAll("audio")) {
    if (!at("choices").disabled || !at("next").disabled) throw "an answer before the end";
    const ended = new Promise((resolve) => audio.addEventListener("ended", resolve));
    audio.muted = true;
    await audio.play();
    await ended;
  }
  await new Promise((resolve) => setTimeout(resolve));
  if (at("choices").disabled) throw "no answer after the end";
  document.querySelector("input[type=radio]").click();
  at("next").click();
  return step();
};
step().catch((error) => fetch("/", { method: "POST", body: String(error) }));
</script></body>"""


@pytest.fixture
def made(tmp_path: Path, report) -> Path:  # noqa: F811
    report.save(tmp_path / "out")
    return tmp_path / "out"


def told(page: Path) -> dict:
    found = re.search(r'<script type="application/json" id="test">(.*?)</script>', page.read_text("utf-8"))
    return json.loads(found[1])


def answers(folder: Path, listener: str, choose) -> Path:
    """What the page saves where every question is answered by `choose` of what the key says."""
    key = json.loads((folder / KEY).read_text())
    rows = [{"question": n, "answer": choose(q), "seconds": 3.1} for n, q in key["questions"].items()]
    path = folder / f"answers-{listener}.json"
    path.write_text(json.dumps({"test": key["id"], "listener": listener, "answers": rows}))
    return path


def test_a_page_tells_nobody_who_made_what(made, corpus, report):  # noqa: F811
    others = {"hal": made.parent / "hal"}
    page = write(report, corpus, made, others=others, questions=12)
    test, key = told(page), json.loads((made / KEY).read_text())
    assert len(test["questions"]) == len(key["questions"]) == 12 + 1 + 12
    assert test["id"] == key["id"]
    kinds = Counter(q["kind"] for q in test["questions"])
    assert kinds == {"rate": 13, "compare": 12}
    for question in test["questions"]:
        assert set(question) == {"id", "kind", "sounds"}
        assert len(question["sounds"]) == {"rate": 1, "compare": 3}[question["kind"]]
        assert all(test["sounds"][sound].startswith("data:audio/ogg;base64,") for sound in question["sounds"])
    text = page.read_text("utf-8")
    bare = re.sub(r"data:audio/ogg;base64,[A-Za-z0-9+/=]*", "", text)
    for word in ("voiceswap", "hal", "ann", "bob", "speak", "convert", "https"):
        assert not re.search(rf"\b{word}\b", bare)
    systems = Counter(q["system"] for q in key["questions"].values() if q["kind"] == "rate")
    assert {"recordings", "voiceswap"} <= set(systems)
    assert systems["recordings"] >= 4
    sides = Counter(q["A"] for q in key["questions"].values() if q["kind"] == "compare")
    assert len(sides) > 1  # no system is always on the same side
    first, last = (key["questions"][f"q{n}"] for n in (1, 13))
    assert first == last


def test_answers_are_read_back(made, corpus, report, capsys):  # noqa: F811
    write(report, corpus, made, questions=12)

    def of(best, grades):
        def choose(question):
            if question["kind"] == "rate":
                return grades[question["system"]]
            return next((side for side in "AB" if question[side] == best), "")

        return choose

    files = [
        answers(made, "one", of("recordings", {"recordings": "5", "voiceswap": "3"})),
        answers(made, "two", of("nobody", {"recordings": "4", "voiceswap": "4"})),
    ]
    result = read_back(made, files)
    assert result.listeners == 2
    assert result.ratings["recordings"].mean == pytest.approx(4.5)
    assert result.ratings["voiceswap"].mean == pytest.approx(3.5)
    assert (result.ratings["voiceswap"].low, result.ratings["voiceswap"].high) == (3.0, 4.0)
    share = result.preferences["recordings", "voiceswap"]
    assert share.mean == pytest.approx(0.75)  # one always, the other could not tell
    assert share.count == 24
    assert result.repeated.mean == 0
    assert "| voiceswap | 3.50 [3.00, 4.00] |" in markdown(result)
    place = ["evaluate", "--out", str(made)]
    assert cli.main([*place, *(f"--listened={path}" for path in files)]) == 0
    assert "| recordings | voiceswap | 75 [" in capsys.readouterr().out
    assert (made / "listening.md").is_file()


def test_answers_that_cannot_be_used(made, corpus, report):  # noqa: F811
    write(report, corpus, made, questions=2)
    good = answers(made, "one", lambda q: "3" if q["kind"] == "rate" else "A")
    with pytest.raises(DataError, match="there twice"):
        read_back(made, [good, good])
    value = json.loads(good.read_text())
    for change, match in [
        ({"test": "another"}, "another test"),
        ({"answers": [{"question": "q1", "answer": "6"}]}, "q1='6'"),
        ({"answers": [{"question": "q99", "answer": "3"}]}, "q99"),
        ({"answers": 7}, "no answers"),
        ({"listener": None, "answers": [[]]}, "no answers"),
    ]:
        bad = made / "bad.json"
        bad.write_text(json.dumps({**value, **change}))
        with pytest.raises(DataError, match=match):
            read_back(made, [bad])
    with pytest.raises(DataError, match="key"):
        read_back(made.parent, [good])
    with pytest.raises(OptionError, match="questions 0"):
        write(report, corpus, made, questions=0)


@pytest.mark.slow
def test_a_listener_in_a_browser(made, corpus, report):  # noqa: F811
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here")
    page = write(report, corpus, made, questions=3)
    # The test's own script sends what the page would save; nothing else may be sent.
    driven = (
        page.read_text("utf-8")
        .replace("</body>", DRIVER)
        .replace("media-src", "connect-src 'self'; media-src")
    )
    got: queue.Queue[str] = queue.Queue()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(driven.encode())

        def do_POST(self) -> None:
            got.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--mute-audio"]
    options += ["--autoplay-policy=no-user-gesture-required", f"--user-data-dir={made / 'profile'}"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [browser, *options, f"http://127.0.0.1:{server.server_port}/"]
    shown = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        saved = made / "answers.json"
        saved.write_text(got.get(timeout=90))
    finally:
        shown.kill()
        shown.wait()
        server.shutdown()
        server.server_close()
    result = read_back(made, [saved])
    assert all(rating.mean == 5 for rating in result.ratings.values())
    assert sum(rating.count for rating in result.ratings.values()) == 3
    assert result.repeated.mean == 0
    assert sum(share.count for share in result.preferences.values()) == 3
