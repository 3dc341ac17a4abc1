"""The live view: pictures change, viewers come and go, the button needs its token."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import htinvert as ht
from htinvert.campaign.loop import Progress, run
from htinvert.core import UserError
from htinvert.watch import look
from htinvert.watch.server import MOST, Viewers, serving
from htinvert.watch.state import State

from .conftest import command, environment

Writer = Callable[..., Path]
LOADED = """Promise.all([...document.querySelectorAll("image")].map((shown) => {
  const image = new Image();
  image.src = shown.getAttribute("href");
  return image.decode();
}))"""


def ask(server: Viewers, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    link = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    link.request(method, path, headers=headers)
    answer = link.getresponse()
    found = answer.status, answer.read()
    link.close()
    return found


def first_event(server: Viewers) -> dict[str, Any]:
    link = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    link.request("GET", f"/events?{server.token}")
    answer = link.getresponse()
    line = answer.readline()
    answer.close()
    link.close()
    return json.loads(line.removeprefix(b"data: "))


@pytest.fixture
def viewed(campaign: Writer, tmp_path: Path) -> Iterator[Viewers]:
    """A view of a run of twelve evaluations."""
    plan = ht.load(campaign(), stop={"evaluations": 12})
    run(plan, tmp_path / "run")
    state = State(tmp_path / "run", plan)
    assert state.look()
    with serving(state, 0) as server:
        yield server


def test_the_page_and_its_pictures_are_served_to_this_machine_only(viewed: Viewers) -> None:
    assert viewed.server_address[0] == "127.0.0.1"
    status, page = ask(viewed, "/")
    assert status == 200
    assert b"EventSource" in page
    assert b"http://" not in page.replace(b"http://www.w3.org/2000/svg", b"")  # nothing from afar
    for name in ("experiment", "fused", "simulated", "residual"):
        assert ask(viewed, f"/haadf-{name}")[0] == 403
        status, picture = ask(viewed, f"/haadf-{name}?{viewed.token}&1")
        assert status == 200
        assert picture[8:12] == b"WEBP"
    assert ask(viewed, f"/config.yaml?{viewed.token}")[0] == 404
    assert ask(viewed, f"/../journal.sqlite?{viewed.token}")[0] == 404
    assert ask(viewed, "/events")[0] == 403
    assert ask(viewed, "/", Host="evil.example:80")[0] == 403
    assert ask(viewed, "/", Origin="http://evil.example")[0] == 403
    assert ask(viewed, "/", Origin=f"http://127.0.0.1:{viewed.server_port}")[0] == 200


def test_a_header_of_any_letters_is_answered(viewed: Viewers) -> None:
    for name in ("X-Token", "Host", "Origin"):
        assert ask(viewed, "/stop", "POST", **{name: "caf\xe9"})[0] == 403


def test_idle_connections_are_few_and_do_not_last(
    viewed: Viewers, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, place = threading.active_count(), viewed.server_address[:2]
    monkeypatch.setattr("htinvert.watch.server._Page.timeout", 1.0)
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(place)) for _ in range(MOST + 20)]
        idle[-1].recv(1)  # it is closed unanswered
        assert threading.active_count() - before <= MOST
        assert [link.recv(1) for link in idle] == [b""] * len(idle)
    assert ask(viewed, "/")[0] == 200


def test_a_browser_shows_it_at_any_width_light_and_dark(
    viewed: Viewers, window: Any, tmp_path: Path
) -> None:
    """No request elsewhere, no error, nothing wider than the screen, nothing serious by axe."""
    shots = Path(os.environ.get("HTINVERT_SCREENSHOTS", tmp_path))
    for width in (390, 1280):
        for dark in (False, True):
            window.open(viewed.address, width=width, dark=dark)
            window.evaluate(LOADED)
            assert window.evaluate("document.documentElement.scrollWidth") <= width
            window.shoot(shots / f"watch-{width}-{'dark' if dark else 'light'}.png")
            assert window.serious() == []
    for cell in ("th", "td"):  # the last column is seen whole
        right = f"document.querySelector('{cell}:last-child').getBoundingClientRect().right"
        assert window.evaluate(right) <= 1280
    assert "12 evaluated" in window.evaluate("document.body.innerText")
    assert window.evaluate("stop.hidden") is True  # it has ended: there is nothing to stop
    window.evaluate("document.getElementById('stop').click()")
    window.evaluate("new Promise(said => setInterval(() => stop.disabled && said(), 50))")
    assert (viewed.state.folder / "stop").exists()
    home = f"http://127.0.0.1:{viewed.server_port}/"
    assert {url for url in window.requests if not url.startswith(home)} <= {"about:blank", "data:,"}
    assert window.complaints == []


def test_two_viewers_see_the_same_facts(viewed: Viewers) -> None:
    first, second = first_event(viewed), first_event(viewed)
    assert first == second
    assert first["evaluated"] + first["failed"] == 12
    assert first["best"][0]["rank"] == 1
    assert [signal["name"] for signal in first["signals"]] == ["haadf"]
    assert first["pareto"].startswith("<svg")


def test_the_button_refuses_without_its_token(viewed: Viewers) -> None:
    folder = viewed.state.folder
    assert ask(viewed, "/stop", "POST")[0] == 403
    assert ask(viewed, "/stop", "POST", **{"X-Token": "wrong"})[0] == 403
    assert ask(viewed, "/stop?" + viewed.token, "POST")[0] == 403
    assert not (folder / "stop").exists()
    assert ask(viewed, "/stop", "POST", **{"X-Token": viewed.token})[0] == 200
    assert (folder / "stop").exists()


def test_a_campaign_that_is_asked_to_stop_does_and_goes_on_later(
    campaign: Writer, tmp_path: Path
) -> None:
    def observe(progress: Progress) -> None:
        if progress.session == 5:
            (tmp_path / "run" / "stop").touch()

    end = run(ht.load(campaign()), tmp_path / "run", observer=observe)
    assert end.reason.startswith("asked to stop")
    assert 5 <= end.evaluated < 12
    assert run(ht.load(campaign()), tmp_path / "run").evaluated == 30


def test_pictures_change_while_a_campaign_runs_and_a_viewer_that_dies_harms_nobody(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htinvert.watch.state.PAUSE", 0.0)
    monkeypatch.setattr("htinvert.watch.state.SHARE", 1.0)
    plan = ht.load(campaign(stop={"evaluations": 60}))
    ends: list[Progress] = []
    seen, pictures = {0}, set()

    def wait_to_be_seen(progress: Progress) -> None:
        while progress.evaluated % 15 == 0 and max(seen) < progress.evaluated:
            time.sleep(0.02)

    def drive() -> None:
        ends.append(run(plan, tmp_path / "run", observer=wait_to_be_seen))

    driver = threading.Thread(target=drive, daemon=True)
    driver.start()
    while not (tmp_path / "run" / "config.yaml").is_file():
        time.sleep(0.05)
    viewer = subprocess.Popen(
        command("watch", tmp_path / "run", "--port", "0"),
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
    )
    state = State(tmp_path / "run", plan)
    while driver.is_alive():
        if state.look():
            seen.add(state.facts["evaluated"])
            pictures.add(state.pictures.get("haadf-fused", b""))
            if len(seen) == 2:
                viewer.kill()
        time.sleep(0.05)
    driver.join()
    viewer.kill()
    viewer.wait()
    assert ends[0].evaluated == 60
    assert len(seen) > 3
    assert len(pictures) > 2


def test_the_view_prints_its_address_and_ends_with_ctrl_c(campaign: Writer, tmp_path: Path) -> None:
    run(ht.load(campaign(), stop={"evaluations": 3}), tmp_path / "run")
    with subprocess.Popen(
        command("watch", tmp_path / "run", "--port", "0"),
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    ) as viewer:
        assert viewer.stdout is not None
        assert viewer.stdout.readline().startswith("live: http://127.0.0.1:")
        viewer.send_signal(signal.SIGINT)
        rest, _ = viewer.communicate(timeout=30)
    assert viewer.returncode == 0
    assert "the view has ended; the campaign goes on" in rest


def test_ctrl_c_that_a_library_swallows_ends_the_view(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imports do so now and then, in a callback or by a bare except."""
    run(ht.load(campaign(), stop={"evaluations": 3}), tmp_path / "run")

    def swallow(*_: Any) -> None:
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    monkeypatch.setattr(look, "_plan", swallow)
    said = StringIO()
    look.look_on(tmp_path / "run", port=0, minutes=1.0, console=Console(file=said))
    assert "the view has ended" in said.getvalue()


def test_the_text_view_shows_the_best(
    campaign: Writer, tmp_path: Path, htinvert: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    run(ht.load(campaign(), stop={"evaluations": 10}), tmp_path / "run")
    done = htinvert("watch", tmp_path / "run", "--text", "--minutes", "0.02")
    assert done.returncode == 0, done.stderr
    assert "run: " in done.stdout
    assert "families" in done.stdout
    assert "best weighted sum" in done.stdout


def test_what_is_no_run_and_a_port_that_is_taken_are_one_sentence(
    viewed: Viewers, htinvert: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = htinvert("watch", tmp_path)
    assert done.returncode == 2
    assert "is not a run" in done.stderr
    with pytest.raises(UserError, match="cannot be had .* --port"):
        Viewers(viewed.state, viewed.server_port)
