"""What an operator says of a log's witnesses: files, the command, who asks."""

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest

from provlog.server.cli import commands
from provlog.server.cli.common import exit_code
from provlog.server.errors import ConfigurationError
from provlog.server.service import Service
from provlog.server.witnessing import rounds
from provlog.server.witnessing.folder import Lease
from provlog.server.witnessing.settings import read_witnesses
from provlog.server.witnessing.writing import Wanted, write_witnesses
from support.asking import asking, configure, following, keys_of, until
from support.events import event_json
from support.fake_witnesses import FakeWitness, policy_of, serving
from support.instances import ORIGIN, Made, Served, make_instance


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "INTERVAL", 0.05)


def reached(served: Served, size: int) -> bool:
    published = served.log.published
    found = None if published is None else published.witnessed
    return found is not None and found.head.size >= size


def some_policy(made: Made, url: str = "https://w.example.com/prefix/") -> bytes:
    one = FakeWitness("w1", keys_of(made))
    one.url = url
    return policy_of(one)


def write(folder: Path, text: str, policy: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "main.toml").write_text(text)
    (folder / "main.policy").write_bytes(policy)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('policy = "main.policy"\nfial = "open"', "fial"),
        ('policy = "main.policy"\nfail = "half"', "fail"),
        ('policy = "../main.policy"', "policy"),
        ('policy = "gone.policy"', "gone.policy"),
        ("policy = 3", "policy"),
        ('fail = "open"', "policy"),
        ('policy = "main.policy"\nrefresh = "soon"', "refresh"),
        ('policy = "main.policy"\ntimeout = "1h"', "timeout"),
        ('policy = "main.policy"\n[monitoring]\nw9 = "https://x"', "monitoring"),
        ("policy = ", "main.toml"),
    ],
)
async def test_settings_that_are_not_right_are_refused_by_name(
    tmp_path: Path, text: str, named: str
) -> None:
    made = await make_instance(tmp_path)
    write(made.instance.witnesses, text, some_policy(made))
    with pytest.raises(ConfigurationError, match=r"main\.toml|policy") as caught:
        read_witnesses(made.instance.witnesses, "main", ORIGIN)
    assert named in str(caught.value)
    # The service says so at its start, rather than serve what nobody cosigned.
    with pytest.raises(ConfigurationError):
        async with Service.of(made.instance):
            pass


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://w.example.com", "insecure"),
        ("ftp://w.example.com", "https://"),
        ("https://user:word@w.example.com", "password"),
        ("https://w.example.com/?a=b", "query"),
        ("https://w.example.com/" + "x" * 2000, "longer"),
    ],
)
async def test_a_witness_s_url_is_one_that_can_be_trusted(
    tmp_path: Path, url: str, said: str
) -> None:
    made = await make_instance(tmp_path)
    place = made.instance.witnesses
    write(place, 'policy = "main.policy"', some_policy(made, url))
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_witnesses(place, "main", ORIGIN)
    assert "word" not in str(caught.value).replace("password", "")


async def test_plain_http_elsewhere_is_allowed_on_demand(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    place = made.instance.witnesses
    policy = some_policy(made, "http://w.example.com/")
    write(place, 'policy = "main.policy"\ninsecure = true', policy)
    settings = read_witnesses(place, "main", ORIGIN)
    assert settings is not None
    [endpoint] = settings.endpoints
    assert endpoint.submission == "http://w.example.com"


@pytest.mark.parametrize(
    "name", [b"w\xff", "w\N{CONTROL SEQUENCE INTRODUCER}m".encode()]
)
async def test_a_name_that_cannot_be_shown_is_refused(
    tmp_path: Path, name: bytes
) -> None:
    made = await make_instance(tmp_path)
    policy = some_policy(made).replace(b"witness w1 ", b"witness %b " % name)
    policy = policy.replace(b" w1\n", b" %b\n" % name)
    write(made.instance.witnesses, 'policy = "main.policy"', policy)
    with pytest.raises(ConfigurationError, match="the name of witness 1"):
        read_witnesses(made.instance.witnesses, "main", ORIGIN)


async def test_a_policy_has_to_be_of_this_log_and_within_reach(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    one, two = FakeWitness("w1", keys_of(made)), FakeWitness("w2", keys_of(made))
    one.url = "https://w.example.com"
    other = made.record.log_key.replace(ORIGIN, "other.example.com")
    for policy, said in (
        (policy_of(one, two, quorum=2), "cannot be reached"),
        (policy_of(two), "no witness line has a URL"),
        (policy_of(one, log=other), "vkey|policy"),
        (b"nonsense\n", "line 1"),
    ):
        write(made.instance.witnesses, 'policy = "main.policy"', policy)
        with pytest.raises(ConfigurationError, match=said):
            read_witnesses(made.instance.witnesses, "main", ORIGIN)
    write(
        made.instance.witnesses,
        'policy = "main.policy"',
        policy_of(one, log=made.record.log_key),
    )
    assert read_witnesses(made.instance.witnesses, "main", ORIGIN) is not None
    with pytest.raises(ConfigurationError, match="names other logs"):
        read_witnesses(made.instance.witnesses, "main", "elsewhere.example.com")


async def test_a_running_server_takes_settings_up_and_drops_them(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one, two = FakeWitness("w1", keys_of(made)), FakeWitness("w2", keys_of(made))
    async with serving(one, two), asking(made) as served:
        assert (await served.get("checkpoint")).status == 200
        configure(made, policy_of(one))
        await until(lambda: reached(served, 1))
        configure(made, policy_of(one, two, quorum=2))
        await until(lambda: two.size == 1 and reached(served, 1))
        # A mistake in them leaves those in force that were read last.
        path = made.instance.witnesses / "main.toml"
        whole = path.read_text()
        path.write_text("policy = ")
        await asyncio.sleep(0)
        assert (await served.post(event_json(id="a"))).status == 201
        await until(lambda: reached(served, 2))
        path.write_text(whole)
        path.unlink()
        await until(lambda: served.log.published is None)
        assert (await served.get("checkpoint")).status == 200


async def test_one_process_asks_and_another_goes_on_when_it_is_gone(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one = FakeWitness("w1", keys_of(made))
    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made, follow=False) as second:
            async with asking(made) as first:
                await until(lambda: reached(first, 1))
                async with following(second.service):
                    await until(lambda: reached(second, 1))
                    assert (await second.post(event_json(id="a"))).status == 201
                    await until(lambda: reached(second, 2))
                    # No head was asked for twice.
                    asked = [size for _, size in one.sizes if size]
                    assert asked == sorted(set(asked))
            async with following(second.service):
                assert (await second.post(event_json(id="b"))).status == 201
                await until(lambda: reached(second, 3))


def test_a_lease_is_one_process_s_until_it_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "witnessed" / "main.lock"
    first, second = Lease(path), Lease(path)
    assert not second.is_taken()
    assert first.take()
    assert first.take()
    assert second.is_taken()
    assert not second.take()
    first.give_back()
    assert not second.is_taken()
    assert second.take()
    second.give_back()


async def test_the_command_sets_shows_and_removes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await make_instance(tmp_path)
    folder = made.instance.folder
    one = FakeWitness("w1", keys_of(made))
    policy = tmp_path / "p.policy"

    async def command(name: str, *arguments: str) -> tuple[int, str, str]:
        given = ["witnesses", name, "--dir", str(folder), *arguments]
        code = exit_code(partial(commands.main, given, standalone_mode=False))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    async with serving(one):
        policy.write_bytes(policy_of(one))
        code, out, _ = await command("set", "--policy", str(policy), "--fail", "open")
        assert (code, "fails open" in out) == (0, True)
        async with asking(made) as served:
            await until(lambda: reached(served, 1))
            await until((made.instance.witnessed / "main.json").exists)
        code, out, _ = await command("show", "--json")
        shown = json.loads(out)
        assert (shown["fail"], shown["quorum"]) == ("open", "q")
        assert shown["witnesses"][0]["names"] == ["w1"]
        assert shown["witnesses"][0]["url"] == one.url
        policy.write_bytes(b"quorum none\n")
        code, _, err = await command("set", "--policy", str(policy))
        assert code == 2
        assert "p.policy" in err
        # What could not be taken left what was there.
        assert read_witnesses(made.instance.witnesses, "main", ORIGIN) is not None
        assert (await command("set", "--policy", str(policy), "--log", "nope"))[0] == 2
        code, out, _ = await command("unset", "--json")
        assert json.loads(out) == {"log": "main", "removed": True}
        code, out, _ = await command("show")
        assert "no witnesses" in out
    assert not list(made.instance.witnesses.iterdir())


async def test_a_mistake_in_an_option_names_it_and_no_passing_file(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    given = tmp_path / "given.policy"
    given.write_bytes(some_policy(made))
    wanted = Wanted(given, {"timeout": "2h"})
    with pytest.raises(ConfigurationError, match=r"^timeout is at most 60s$"):
        write_witnesses(made.instance.witnesses, "main", ORIGIN, wanted)
