"""The Materials Project through its own client: a real server here, and a key that stays secret.

What the server answers has the form of the documents at https://api.materialsproject.org/docs with
made-up energies; the real database was never asked by a test.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import traceback
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ase import Atoms
from pydantic import SecretStr

from htinvert.core import UserError
from htinvert.structures import materials_project as module
from htinvert.structures.materials_project import (
    alternatives,
    find_key,
    materials_project,
    search,
)
from htinvert.structures.prototype import prototype
from htinvert.structures.sanity import check
from htinvert.structures.symmetry import space_group

KEY = "s3cr3t0123456789abcdefABCDEF0123"


def document(identifier: str, atoms: Atoms, energy: float | None) -> dict[str, Any]:
    symbol, number = space_group(atoms)
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": abc.tolist()}
        for symbol, abc in zip(atoms.symbols, atoms.get_scaled_positions(), strict=True)
    ]
    known = {} if energy is None else {"energy_above_hull": energy}
    return known | {
        "material_id": identifier,
        "formula_pretty": atoms.get_chemical_formula(mode="metal", empirical=True),
        "symmetry": {"symbol": symbol, "number": number},
        "density": 2.3,
        "nsites": len(atoms),
        "structure": {"lattice": {"matrix": atoms.cell.tolist()}, "sites": sites},
    }


def disordered() -> dict[str, Any]:
    entry = document("mp-1", prototype("Si", crystal="diamond", a=5.4), 0.0)
    entry["structure"]["sites"][0]["species"] = [{"element": "Si", "occu": 0.5}]
    return entry


SILICON = [
    document("mp-9999999", prototype("Si", crystal="diamond", a=5.9), None),
    document("mp-27", prototype("Si", crystal="fcc", a=3.862), 0.516),
    document("mp-149", prototype("Si", crystal="diamond", a=5.469), 0.0),
    document("mp-34", prototype("Si", crystal="bcc", a=3.08), 0.474),
]
DATA = {
    "Si": SILICON,
    "mp-149": SILICON[2:3],
    "TiO2": [document("mp-2657", prototype("TiO2", crystal="rutile", a=4.6, c=2.96), 0.0366)],
    "mp-1": [disordered()],
    "mp-2": [{"material_id": "mp-2"}],
}
HEARTBEAT = {"version": "1.0.0", "db_version": "2025.09.25", "access_controlled_batch_ids": []}
TROUBLES = {
    "login": (200, "<html>please log in</html>"),
    "busy": (429, "{}"),
    "broken": (500, f"Internal error at {KEY}"),
    "moved": (302, ""),
    "other": (200, '{"error": "moved"}'),
}


class Database(BaseHTTPRequestHandler):
    """Answers like the project: 401 without the key, documents by formula or id, a version.

    Below ``/busy`` its search is in that trouble, below ``/all-busy`` its heartbeat as well.
    """

    asked: list[str] = []  # noqa: RUF012  (emptied by the fixture)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        where = urlsplit(self.path)
        folder, beat = where.path.split("/")[1], where.path.endswith("/heartbeat")
        if (trouble := TROUBLES.get(folder.removeprefix("all-"))) and (
            not beat or folder.startswith("all-")
        ):
            return self.answer(*trouble)
        if beat:
            return self.answer(200, json.dumps(HEARTBEAT))
        assert where.path == "/materials/summary/"
        if self.headers.get("X-API-KEY") != KEY:
            return self.answer(401, '{"message": "No API key found in request"}')
        query = {name: values[0] for name, values in parse_qs(where.query).items()}
        found = DATA.get(query.get("formula") or query.get("material_ids", ""), [])
        return self.answer(200, json.dumps({"data": found, "meta": {"total_doc": len(found)}}))

    def answer(self, code: int, text: str) -> None:
        self.send_response(code)
        if code == 302:
            self.send_header("Location", f"http://localhost:{self.server.server_port}/away")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on the terminal of the tests."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    Database.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def options(endpoint: str, tmp_path: Path) -> dict[str, Any]:
    return {
        "ask": partial(search, key=SecretStr(KEY), endpoint=endpoint),
        "cache": tmp_path / "cache",
    }


@pytest.fixture(autouse=True, scope="module")
def fields() -> Iterator[None]:
    """The client derives the list of all fields anew for each that is asked for: 0.1 s each."""
    client = pytest.importorskip("mp_api.client.core.client", reason="the extra mp is missing")
    with pytest.MonkeyPatch.context() as patch:
        derive = client.BaseRester.available_fields.fget
        known: dict[type, list[str]] = {}

        def once(rester: Any) -> list[str]:
            if type(rester) not in known:
                known[type(rester)] = derive(rester)
            return known[type(rester)]

        patch.setattr(client.BaseRester, "available_fields", property(once))
        yield


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a home of its own, without a key."""
    for name in ("MP_API_KEY", "PMG_MAPI_KEY", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    return tmp_path


def test_the_lowest_energy_above_the_hull_comes_first(options: dict[str, Any]) -> None:
    found = materials_project("Si", **options)
    assert space_group(found)[0] == "Fd-3m"
    assert len(found) == 8  # the conventional cell of the two atoms that the database has
    assert found.cell.cellpar() == pytest.approx([5.469] * 3 + [90] * 3)
    assert found.info["source"] == (
        "mp-149, Si Fd-3m, 0.000 eV/atom above the hull, first of 4, Materials Project 2025.09.25"
    )


def test_a_space_group_chooses_and_the_doubt_is_said(options: dict[str, Any]) -> None:
    """The peer's silicon: asked for Fm-3m it gets the high-pressure phase, which is now noticed."""
    found = materials_project("Si", space_group="Fm-3m", **options)
    assert "mp-27" in found.info["source"]
    said = check(found, energy_above_hull=found.info["energy_above_hull"])
    assert "reference structure of silicon is diamond" in said[0]
    assert "0.516 eV/atom above the convex hull" in said[-1]
    assert materials_project("Si", space_group=229, **options).info["energy_above_hull"] == 0.474


def test_an_id_names_one_material(options: dict[str, Any]) -> None:
    assert "mp-149" in materials_project("MP-149", **options).info["source"]


def test_the_alternatives_are_a_table(options: dict[str, Any]) -> None:
    answer = alternatives("Si", **options)
    assert [e.identifier for e in answer.entries] == ["mp-149", "mp-34", "mp-27", "mp-9999999"]
    head, columns, first, *_, last = str(answer).splitlines()
    assert "Materials Project 2025.09.25, asked for Si on 20" in head
    assert columns.split()[-5:] == ["eV/atom", "above", "hull", "g/cm³", "atoms"]
    assert first.split() == ["mp-149", "Si", "Fd-3m", "(227)", "0.000", "2.30", "2"]
    assert "unknown" in last  # the database leaves out the field, here of its first document


def test_an_answer_is_kept_with_version_and_date_and_used_without_network(
    options: dict[str, Any],
) -> None:
    first = materials_project("TiO2", **options)
    asked = len(Database.asked)
    again = materials_project("Ti2O4", cache=options["cache"])  # no key, no server: the file
    assert len(Database.asked) == asked
    assert again == first and again.info == first.info
    kept = json.loads((options["cache"] / "TiO2.json").read_text())
    assert kept["database"] == "2025.09.25" and kept["date"].startswith("20")
    materials_project("TiO2", refresh=True, **options)
    assert len(Database.asked) > asked


def test_a_spoiled_cache_is_asked_for_again(options: dict[str, Any]) -> None:
    materials_project("TiO2", **options)
    (options["cache"] / "TiO2.json").write_text('{"entries": [{}], "database"')
    assert len(materials_project("TiO2", **options)) == 6


def test_the_cache_is_where_the_user_keeps_caches(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    materials_project("Si", ask=options["ask"])
    assert (tmp_path / "elsewhere/htinvert/materials_project/Si.json").is_file()


def test_nothing_found_says_what_there_is(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"no Si with space group P1; it has Fd-3m \(227\), Im-3m"):
        materials_project("Si", space_group="P1", **options)
    with pytest.raises(UserError, match="has nothing for XeAu; check it"):
        materials_project("XeAu", **options)


@pytest.mark.parametrize("query", ["", "mp 149", "../../etc", "Qq2", "Si/..", "silicon!", "mp-1z"])
def test_what_is_no_query_never_leaves_the_machine(options: dict[str, Any], query: str) -> None:
    with pytest.raises(UserError, match="is neither a formula nor an id"):
        materials_project(query, **options)
    assert Database.asked == []


def test_a_disordered_entry_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="mp-1 is disordered"):
        materials_project("mp-1", **options)


def test_an_answer_in_another_form_gets_a_sentence(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="answer for mp-2 is not in the known form"):
        materials_project("mp-2", **options)


def test_without_the_client_only_what_was_kept_is_known(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    materials_project("TiO2", **options)
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    assert len(materials_project("TiO2", **options)) == 6
    with pytest.raises(UserError, match=r"is not installed .*htinvert\[mp\].`, or take"):
        materials_project("Si", **options)


@pytest.mark.parametrize("name", ["MP_API_KEY", "PMG_MAPI_KEY"])
def test_the_key_comes_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, KEY)
    key, origin = find_key()
    assert (key.get_secret_value(), origin) == (KEY, name)


def test_the_key_comes_from_a_file_that_only_its_owner_reads(home: Path) -> None:
    path = home / ".config/htinvert/mp_api_key"
    path.parent.mkdir(parents=True)
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    assert find_key()[0].get_secret_value() == KEY
    path.chmod(0o640)
    with pytest.raises(UserError, match=r"can be read by others \(mode 0640\); run chmod 600"):
        find_key()


def test_without_a_key_the_user_learns_where_to_put_one(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no key .* set MP_API_KEY or write the key to .*mp_api_key"
    ):
        materials_project("Si", cache=tmp_path / "cache")


def test_a_rejected_key_is_named_by_its_place(endpoint: str) -> None:
    with pytest.raises(UserError, match=r"rejects the key from MP_API_KEY \(status 401\); copy it"):
        search("Si", key=SecretStr("w" * 32), origin="MP_API_KEY", endpoint=endpoint)


def test_no_network_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"cannot be reached \(.*refused\); connect to the network"):
        search("Si", key=SecretStr(KEY), endpoint="http://127.0.0.1:9")


def test_silence_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UserError, match=r"cannot be reached \(Read timed out"):
            search("Si", key=SecretStr(KEY), endpoint=endpoint)


@pytest.mark.parametrize("where", ["", "all-"], ids=["search", "heartbeat"])
@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ("login", "something that is not JSON, perhaps a login page"),
        ("busy", "asked less often"),
        ("broken", "answers with status 500; try again later"),
        ("moved", "answers with status 302"),
        ("other", "is not in the known form"),
    ],
)
def test_a_strange_answer_is_a_sentence(
    endpoint: str, where: str, trouble: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        search("Si", key=SecretStr(KEY), endpoint=f"{endpoint}/{where}{trouble}")
    assert "/away" not in Database.asked  # a redirection is not followed, least with the key


def test_the_key_is_never_sent_unencrypted_over_the_network() -> None:
    with pytest.raises(UserError, match="is not encrypted, so no key is sent there"):
        search("Si", key=SecretStr(KEY), endpoint="http://api.materialsproject.org")


def test_the_key_is_in_no_message_traceback_log_or_file(
    endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    options: dict[str, Any],
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    for value in (KEY + "\nX-Injected: 1", KEY + " " + KEY, KEY + "ä"):
        monkeypatch.setenv("MP_API_KEY", value)
        with pytest.raises(UserError, match="MP_API_KEY holds no key") as caught:
            find_key()
        told += traceback.format_exception(caught.value)
    with pytest.raises(UserError, match="holds no key") as caught:
        search("Si", key=SecretStr(KEY[:-1] + "\n"), endpoint=endpoint)
    told += traceback.format_exception(caught.value)
    for trouble in TROUBLES:
        with pytest.raises(UserError) as caught:
            search("Si", key=SecretStr(KEY), endpoint=f"{endpoint}/{trouble}")
        told += traceback.format_exception(caught.value)
    materials_project("Si", **options)
    monkeypatch.setenv("MP_API_KEY", KEY)
    told += [repr(find_key()), caplog.text, *capfd.readouterr()]
    told += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(KEY[:-1] in text for text in told)
