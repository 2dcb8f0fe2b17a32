"""A jukebox and its client over real HTTP: chunks, ranges, limits; no path leads out of its folders."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookaside.errors import CannotServe, SourceUnusable
from lookaside.index import INDEX_FILE
from lookaside.jukebox import client
from lookaside.jukebox.catalogue import Catalogue
from lookaside.jukebox.client import Jukebox
from lookaside.jukebox.protocol import MOST_IDS, ROOT, Info, parse_info
from lookaside.jukebox.server import JukeboxServer, Limits
from lookaside.manifest import VersionName
from lookaside.publickey import PUBLIC_KEY_FILE, encode_public_key
from lookaside.sealed import Opened, sealed_chunk
from lookaside.source import FirstOf

from .scene import CHUNKS, CONTENT, NOISE, OTHER_DOMAIN, Scene, scene, stored
from .servers import client_of, serving
from .shelves import DOMAIN


@pytest.fixture
def here(tmp_path: Path) -> Scene:
    return scene(tmp_path / "scene")


@pytest.fixture
def server(here: Scene) -> Iterator[JukeboxServer]:
    with serving(here.root) as running:
        yield running


def asked(
    server: JukeboxServer, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_version_is_assembled_from_a_jukebox_over_either_protocol(
    here: Scene, server: JukeboxServer, address: str
) -> None:
    if address == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    assert here.assembled([Opened(client_of(server, address), DOMAIN)]) == CONTENT


def test_all_chunks_come_in_one_request_over_one_connection(here: Scene, server: JukeboxServer) -> None:
    client = client_of(server)
    assert len(list(client.find(here.version.chunks))) == CHUNKS
    kept = client._exchange._kept
    assert len(list(client.find(here.version.chunks))) == CHUNKS
    assert kept and client._exchange._kept and kept[0] is client._exchange._kept[0]
    assert client.received_bytes > 2 * len(set(NOISE[:5])) * len(NOISE[0])


def test_chunks_asked_for_one_by_one_come_over_one_connection_too(here: Scene, server: JukeboxServer) -> None:
    client = client_of(server)
    source = FirstOf([Opened(client, DOMAIN)])
    connections = set()
    for chunk_id in here.version.chunks:
        source.get(chunk_id)
        assert client._exchange._kept
        connections.add(id(client._exchange._kept[0]))
    assert len(connections) == 1


def test_more_chunks_than_a_request_takes_are_asked_for_in_several(
    here: Scene, server: JukeboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MOST_IDS", 2)
    assert CHUNKS > 2 and len(list(client_of(server).find(here.version.chunks))) == CHUNKS


def test_a_jukebox_says_what_it_is(server: JukeboxServer) -> None:
    info = client_of(server).info()
    assert (info.name, info.chunks) == ("test", CHUNKS)


def test_several_folders_are_served_and_of_several_domains(here: Scene, tmp_path: Path) -> None:
    other = scene(tmp_path / "other", OTHER_DOMAIN, b"other" * 100_000)
    with serving(here.root, other.root) as server:
        client = client_of(server)
        assert here.assembled([Opened(client, DOMAIN)]) == CONTENT
        assert other.assembled([Opened(client, OTHER_DOMAIN)]) == b"other" * 100_000


def test_a_damaged_chunk_is_withheld_and_named_in_the_log(here: Scene, caplog: pytest.LogCaptureFixture) -> None:
    damaged = bytearray(here.packs()[0].read_bytes())
    damaged[300] ^= 4
    here.packs()[0].write_bytes(damaged)
    with serving(here.root) as server:
        assert len(list(client_of(server).find(here.version.chunks))) == CHUNKS - 1
    assert "is withheld" in caplog.text


def test_packs_that_come_while_it_serves_are_taken_up(here: Scene, server: JukeboxServer) -> None:
    stored(here.repository, NOISE[5], here.folder / "image")
    server.catalogue.refresh()
    assert len(list(client_of(server).find([DOMAIN.chunk_id(NOISE[5])]))) == 1
    assert server.catalogue.chunk_count == CHUNKS + 1


def test_one_chunk_is_had_by_its_id(here: Scene, server: JukeboxServer) -> None:
    chunk_id = here.version.chunks[0]
    response, content = asked(server, "GET", f"{ROOT}/chunks/{chunk_id.hex()}")
    assert response.status == 200
    assert sealed_chunk(content, chunk_id).entry.chunk_id == chunk_id
    assert asked(server, "GET", f"{ROOT}/chunks/{bytes(32).hex()}")[0].status == 404


@pytest.mark.parametrize(
    ("asked_range", "expected"),
    [("bytes=0-9", (0, 10)), ("bytes=100-", (100, None)), ("bytes=-20", (-20, None)), ("bytes=5-99999999", (5, None))],
)
def test_packs_and_indexes_are_had_in_ranges(
    here: Scene, server: JukeboxServer, asked_range: str, expected: tuple[int, int | None]
) -> None:
    for path, file in [(f"packs/{here.packs()[0].name}", here.packs()[0]), ("indexes/0", here.root / INDEX_FILE)]:
        response, content = asked(server, "GET", f"{ROOT}/{path}", headers={"Range": asked_range})
        assert (response.status, content) == (206, file.read_bytes()[slice(*expected)])
        response, content = asked(server, "HEAD", f"{ROOT}/{path}")
        assert (response.status, content, response.length) == (200, b"", 0)
        assert int(response.headers["Content-Length"]) == file.stat().st_size


def test_a_range_beyond_the_end_is_refused(here: Scene, server: JukeboxServer) -> None:
    path = f"{ROOT}/packs/{here.packs()[0].name}"
    assert asked(server, "GET", path, headers={"Range": "bytes=999999999-"})[0].status == 416


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/etc/passwd",
        f"{ROOT}/packs/../soulpad-repository.json",
        f"{ROOT}/packs/%2e%2e/soulpad-repository.json",
        f"{ROOT}/packs/{'.' * 64}",
        f"{ROOT}/packs/{'0' * 63}/",
        f"{ROOT}/packs/{'0' * 64}",
        f"{ROOT}/packs/{'0' * 64}\x00",
        f"{ROOT}/indexes/7",
        f"{ROOT}/indexes/-1",
        f"{ROOT}/manifests/{'0' * 64}",
        f"{ROOT}/chunks",
        f"{ROOT}/../../etc/passwd",
    ],
)
def test_no_path_leads_anywhere_else(server: JukeboxServer, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] in (b"400", b"404")


@pytest.mark.parametrize(
    ("method", "body", "headers", "status"),
    [
        ("PUT", b"", {}, 501),
        ("DELETE", None, {}, 501),
        ("POST", b"", {}, 400),
        ("POST", bytes(33), {}, 400),
        ("POST", bytes(32 * (MOST_IDS + 1)), {}, 413),
        ("POST", None, {"Content-Length": "-1"}, 411),
        ("POST", None, {"Content-Length": "99999999999999"}, 411),
        ("POST", None, {"Content-Length": "²"}, 411),
        ("POST", None, {"Transfer-Encoding": "chunked"}, 404),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    server: JukeboxServer, method: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as connection:
        lines = {"Content-Length": str(len(body))} if body is not None else {}
        fields = "".join(f"{name}: {text}\r\n" for name, text in (lines | headers).items())
        connection.sendall(f"{method} {ROOT}/chunks HTTP/1.1\r\n{fields}\r\n".encode() + (body or b""))
        assert int(connection.makefile("rb").readline().split()[1]) == status


def test_manifests_are_given_out_only_where_that_was_asked_for_or_all_is_public(here: Scene) -> None:
    name = here.version.name
    with serving(here.root) as server, pytest.raises(SourceUnusable, match="404"):
        client_of(server).manifest(name)
    with serving(here.root, manifests=True) as server:
        assert client_of(server).manifest(name) == here.repository.path("manifests", name).read_bytes()
    (here.root / PUBLIC_KEY_FILE).write_bytes(encode_public_key(DOMAIN))
    with serving(here.root) as server:
        assert client_of(server).manifest(name)
        with pytest.raises(SourceUnusable):
            client_of(server).manifest(VersionName("0" * 64))


def test_neither_keys_nor_descriptions_are_given_out(here: Scene, server: JukeboxServer) -> None:
    for file in here.root.iterdir():
        for path in (file.name, f"{ROOT}/{file.name}", f"{ROOT}/packs/{file.name}"):
            assert asked(server, "GET", f"/{path.lstrip('/')}")[0].status == 404


# --- limits


def test_too_many_connections_are_closed_and_those_that_are_there_go_on(here: Scene) -> None:
    with serving(here.root, limits=Limits(connections=8, connections_of_address=2)) as server:
        client = client_of(server)
        client.info()
        held = socket.create_connection(("127.0.0.1", server.server_port), timeout=5)
        with pytest.raises(SourceUnusable):
            client_of(server).info()
        assert client.info().chunks == CHUNKS
        held.close()


@pytest.mark.parametrize("beginning", [b"", b"GET /soul", b"POST %s/chunks HTTP/1.1\r\nContent-Length: 64\r\n\r\nabc"])
def test_who_does_not_finish_a_request_is_cut_off(here: Scene, beginning: bytes) -> None:
    text = beginning.replace(b"%s", ROOT.encode())
    with (
        serving(here.root, limits=Limits(patience_seconds=0.2)) as server,
        socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection,
    ):
        connection.sendall(text)
        answer = connection.makefile("rb").read()  # ends when the server hangs up
        assert b" 200 " not in answer


def test_who_feeds_bytes_one_by_one_is_cut_off(here: Scene) -> None:
    with (
        serving(here.root, limits=Limits(patience_seconds=0.2)) as server,
        socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection,
        pytest.raises(OSError),
    ):
        for _ in range(500):
            connection.sendall(b"G")
            connection.settimeout(0.02)
            try:
                if connection.recv(1) == b"":
                    raise ConnectionResetError
            except TimeoutError:
                continue


def test_a_port_that_is_taken_is_said(here: Scene, server: JukeboxServer) -> None:
    with pytest.raises(CannotServe, match="cannot be used"):
        JukeboxServer(Catalogue([here.root]), "second", server.server_port)


def test_a_folder_without_packs_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match="no packs"):
        Catalogue([tmp_path])


def test_a_folder_that_cannot_be_written_is_served_by_its_packs_tables(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_root: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("lookaside.jukebox.catalogue.write_index", refuse)
    with serving(here.root) as server:
        assert not (here.root / INDEX_FILE).exists()
        assert here.assembled([Opened(client_of(server), DOMAIN)]) == CONTENT


def test_an_older_index_is_made_anew_when_serving_begins(here: Scene, server: JukeboxServer) -> None:
    stored(here.repository, NOISE[5], here.folder / "image")
    with serving(here.root) as second:
        assert second.catalogue.chunk_count == CHUNKS + 1


def test_the_name_is_given_as_json_whatever_is_in_it(here: Scene) -> None:
    with JukeboxServer(Catalogue([here.root]), 'a "quoted"\r\nname', 0) as server:
        assert parse_info(Info(server.name, 1).encode(), "here").name == 'a "quoted"\r\nname'


def test_a_jukebox_that_is_not_there_is_unusable_at_once(server: JukeboxServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(SourceUnusable, match="is away"):
        Jukebox(["127.0.0.1"], port).info()
    assert Jukebox(["127.0.0.1", "::1"], server.server_port).info()
    with pytest.raises(SourceUnusable):
        Jukebox(["no such name"], 1).info()
    with pytest.raises(SourceUnusable):
        Jukebox(["x" * 70], 1).info()
