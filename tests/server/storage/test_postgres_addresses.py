"""URLs of databases: which are taken, and that no password of one is ever kept."""

import logging
import string
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.server.errors import ConfigurationError
from provlog.server.initialise import Place, initialise
from provlog.server.instance import Instance, load_instance, record_instance
from provlog.server.storage.addresses import (
    place_of,
    recordable,
    require_database_url,
)
from provlog.server.storage.postgres.storage import PostgresStorage
from support.postgres import Cluster
from support.services import ORIGIN, now_ms

# Letters that stand nowhere else in these URLs.
passwords = st.text("QXZ%/@:?#& é", min_size=3, max_size=20).filter(
    lambda text: any(letter in text for letter in "QXZ")
)
words = st.text(string.ascii_lowercase + "-_0123456789", min_size=1, max_size=12)
hosts = st.lists(
    st.tuples(words, st.none() | st.integers(1, 65_535)), min_size=1, max_size=3
)
options = st.dictionaries(
    st.sampled_from(["sslmode", "sslrootcert", "target_session_attrs", "host"]),
    st.text(string.ascii_lowercase + "/., ", min_size=1, max_size=12),
)


def shown(pairs: list[tuple[str, int | None]]) -> str:
    return ",".join(host if port is None else f"{host}:{port}" for host, port in pairs)


@given(words, passwords, hosts, words, options, st.none() | words, st.booleans())
def test_a_url_is_recorded_without_its_passwords(
    user: str,
    password: str,
    at: list[tuple[str, int | None]],
    database: str,
    more: dict[str, str],
    other: str | None,
    in_query: bool,
) -> None:
    secret = quote(password, safe="")
    query = [f"{name}={quote(text, safe='')}" for name, text in more.items()]
    query.append(f"sslpassword={secret}")
    if in_query:
        query += [f"password={secret}", f"user={user}"]
        who = ""
    else:
        who = f"{user}:{secret}@"
    url = f"postgresql://{who}{shown(at)}/{database}?{'&'.join(query)}"
    assert require_database_url(url) == url
    kept = recordable(url, other)
    assert require_database_url(kept) == kept
    assert recordable(kept) == kept
    assert not set("QXZ") & set(kept)
    parts = urlsplit(kept)
    assert parts.path == f"/{database}"
    assert parts.netloc.rpartition("@")[2] == shown(at)
    found = dict(parse_qsl(parts.query))
    assert {name: found[name] for name in more} == more
    named = parts.netloc.rpartition("@")[0] or found.get("user")
    assert named == (other or user)
    assert set(found) <= {*more, "user"}
    assert not set("QXZ") & set(place_of(url))


@given(st.text() | st.text("postgresql:/@?#&=%,[]"))
def test_whatever_is_given_is_refused_or_can_be_recorded(text: str) -> None:
    try:
        url = require_database_url(text)
    except ConfigurationError:
        return
    assert require_database_url(recordable(url)) == recordable(url)
    assert place_of(url).isprintable()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:p@one:1,two/d?sslmode=require", "d at one:1,two"),
        ("postgresql://u@[::1]:5432/d", "d at [::1]:5432"),
        ("postgresql://u@%2Frun%2Fpg/d", "d at /run/pg"),
        ("postgresql:///d?host=/run/pg&user=u", "d at /run/pg"),
        ("postgres:///d%0Ae", "d%0Ae at localhost"),
    ],
)
def test_a_place_says_which_database_and_where(url: str, place: str) -> None:
    assert place_of(require_database_url(url)) == place


def contents(folder: Path) -> bytes:
    """Return what stands in all files of a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hidden@h/d",
        "postgresql://u:hidden@h",
        "postgresql://u:hid/den@h/d",
        "postgresql://u:hid#den@h/d",
        "postgresql://u:hid?den@h/d",
        "postgresql://u:hid/den?x=1@h/d",
        "postgresql://u:hidden@h/d?x",
        "postgresql://u:hidden@[h/d",
        "postgresql://u:hidden@h/d\n",
        "postgresql://u:hidden@h/" + "d" * 2000,
    ],
)
def test_what_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        require_database_url(url)
    assert "hid" not in str(refused.value)
    assert "den" not in str(refused.value)


def test_nothing_that_holds_a_url_shows_it(tmp_path: Path) -> None:
    url = "postgresql://u:hidden@h/d"
    instance = Instance(tmp_path, tmp_path / "guard", url)
    for holder in (instance, Place(tmp_path, None, url), PostgresStorage(url)):
        assert "hidden" not in repr(holder)
    record_instance(instance, "server")
    assert b"hidden" not in contents(tmp_path)
    assert load_instance(tmp_path, None).database_url == "postgresql://server@h/d"


@pytest.mark.needs("postgres")
async def test_a_password_is_used_and_written_nowhere(
    postgres: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    password = "/ @hidden: %41#?"
    owner = postgres.create_role("owner", password)
    url = postgres.dsn(postgres.create_database(owner), owner, password)
    place = Place(tmp_path / "data", tmp_path / "guard", url)
    made = await initialise(place, origin=ORIGIN, sources=("*",), now=now_ms())
    assert "hidden" not in repr(made)
    assert b"hidden" not in contents(tmp_path)
    storage = PostgresStorage(url.replace("hidden", "another"))
    with pytest.raises(ConfigurationError, match="password") as refused:
        await storage.open()
    await storage.close()
    assert "another" not in str(refused.value)
    assert "hidden" not in caplog.text
    assert "another" not in caplog.text
