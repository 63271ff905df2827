"""Files of rules: what is refused and where it says so, and the commands about them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client.cli import cli
from provlog.client.entry_rules import read_rules
from provlog.client.errors import UsageError
from provlog.client.rules.parsing import MAX_RULES, MAX_RULES_FILE, parse_rules
from support.lying_log import LyingLog, event

GOOD = '[[rule]]\nname = "r"\ntypes = ["role.assign"]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1 to 200 tables"),
        ("rule = 1", "tables"),
        ("rule = [1]", "rule 1: not a table"),
        ("rule = []", "1 to 200"),
        ("[[rule]]", "rule 1: name"),
        (GOOD + "x", "not TOML"),
        ("[rules]\n" + GOOD, "'rules' is unknown"),
        (GOOD.replace('"r"', '"R"'), "rule 1: name"),
        (GOOD + GOOD, "rule r: two rules"),
        (GOOD + "when = 1", "rule r: 'when': unknown; known are actor_in"),
        ('[[rule]]\nname = "r"', "rule r: types: missing"),
        (GOOD.replace("role.assign", "Role.Assign"), "rule r: types"),
        (GOOD.replace('["role.assign"]', '"role.assign"'), "rule r: types: a list"),
        (GOOD + 'severity = "high"', "severity: one of info, warning, critical"),
        (GOOD + "sources = []", "rule r: sources: a list of 1 to 1000"),
        (GOOD + 'actor_in = ["id:"]', "rule r: actor_in: id:"),
        (GOOD + 'actor_in = ["a\\nb"]', "rule r: actor_in"),
        (GOOD + f'actor_in = ["{"a" * 257}"]', "rule r: actor_in: texts of 1 to 256"),
        (GOOD + "ticket_missing = false", "rule r: ticket_missing: true"),
        (GOOD + "ticket_missing = 1", "rule r: ticket_missing: true"),
        (GOOD + 'outcome = ["ok"]', "rule r: outcome: one of success"),
        (GOOD + 'late = "1w"', "rule r: late: a span"),
        (GOOD + "late = 5", "rule r: late: a span"),
        (GOOD + 'burst = {count = 1, within = "1m"}', "count is a number from 2"),
        (GOOD + 'burst = {count = true, within = "1m"}', "count is a number from 2"),
        (GOOD + 'burst = {count = 5.0, within = "1m"}', "count is a number from 2"),
        (GOOD + "burst = {count = 5}", "rule r: burst: a table with count, within"),
        (GOOD + 'reenabled = {after = "1d", unseen = "x"}', "rule r: reenabled: one"),
        (GOOD + "outside = {}", "days, hours or both"),
        (GOOD + 'outside = {days = ["mon"]}', "rule r: outside: zone"),
        (GOOD + 'outside = {days = ["mo"], zone = "UTC"}', "days are a list"),
        (GOOD + 'outside = {hours = "8-18", zone = "UTC"}', "hours are such as"),
        (GOOD + 'outside = {hours = "08:00-24:01", zone = "UTC"}', "hours are"),
        (GOOD + 'outside = {hours = "08:00-08:00", zone = "UTC"}', "hours are"),
        (GOOD + 'outside = {days = ["mon"], zone = "Mars/Base"}', "not known here"),
        (GOOD + 'outside = {days = ["mon"], zone = "../etc/passwd"}', "a time zone"),
        (GOOD + 'outside = {days=["mon"], zone="UTC", by="sent"}', "one of time"),
        (GOOD + 'outside = {days=["mon"], zone="UTC", to="x"}', "a table with zone"),
    ],
)
def test_a_mistake_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rules(text)
    assert said in str(caught.value)


def test_sizes_are_bounded() -> None:
    rules = "".join(GOOD.replace('"r"', f'"r{n}"') for n in range(MAX_RULES + 1))
    with pytest.raises(UsageError, match="1 to 200"):
        parse_rules(rules)
    with pytest.raises(UsageError, match="larger than"):
        parse_rules("#" * (MAX_RULES_FILE + 1))


def test_a_file_is_named_in_what_is_said_of_it(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    for data, said in (
        (b"\xff", "rules.toml: not UTF-8"),
        ((GOOD + "late = 1").encode(), "rules.toml: rule r: late"),
        (b"[" * 10_000, "rules.toml: not TOML"),
        (b"#" * (MAX_RULES_FILE + 1), "rules.toml: larger"),
    ):
        path.write_bytes(data)
        with pytest.raises(UsageError, match=said):
            read_rules(path)
    with pytest.raises(UsageError, match="No such file"):
        read_rules(tmp_path / "none.toml")


VALUES = st.recursive(
    st.booleans() | st.integers(-5, 10**6) | st.text("a1-:*[d", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["days", "hours", "zone", "count", "within", "after"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    [
        *("late", "outside", "outcome", "actor_in", "resource_not_in", "burst"),
        *("ticket_unlike", "reenabled", "actor_is_target", "types", "sources"),
        "severity",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(MEMBERS, VALUES, max_size=4))
def test_any_values_are_read_or_refused_with_a_sentence(
    table: dict[str, object],
) -> None:
    lines = [f"{name} = {_toml(value)}" for name, value in table.items()]
    text = "\n".join(['[[rule]]\nname = "r"', *lines])
    try:
        [rule] = parse_rules(text)
    except UsageError as error:
        said = str(error)
    else:
        said = rule.explain()
    assert said.startswith(("rule r: ", "r ("))


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{name} = {_toml(each)}" for name, each in value.items())
        return f"{{{inner}}}"
    return json.dumps(value)


ALL = """
[[rule]]
name = "grants"
severity = "critical"
types = ["role.assign", "group.member.add"]
sources = ["urn:okta:*"]
late = "2h"
outcome = ["success"]
actor_not_in = ["id:00u1", "*@example.com"]
target_in = ["x"]
resource_in = ["*admin*"]
actor_is_target = true
ticket_unlike = ["CHG-[0-9]*"]
outside = {days = ["mon-fri"], hours = "08:00-18:00", zone = "Europe/Berlin"}
burst = {count = 20, within = "10m", by = "actor"}

[[rule]]
name = "back-again"
reenabled = {after = "30d"}

[[rule]]
name = "frozen"
types = ["provlog.freeze"]
"""


def run(folder: Path, *arguments: str | Path) -> Result:
    environment = {"XDG_CONFIG_HOME": str(folder)}
    return CliRunner().invoke(cli, ["rules", *map(str, arguments)], env=environment)


def test_check_explains_each_rule(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(ALL)
    done = run(tmp_path, "check", tmp_path / "rules.toml")
    assert done.exit_code == 0, done.output
    first, second, third = done.stdout.splitlines()
    for part in (
        "grants (critical): entries role.assign or group.member.add from urn:okta:*",
        "outside of mon,tue,wed,thu,fri 08:00-18:00 (Europe/Berlin) by its `time`",
        "whose actor is not in a list of 2",
        "without a ticket like CHG-[0-9]*",
        "20 of which came of one actor within 10m",
    ):
        assert part in first
    assert "account.enable or account.unlock from any source" in second
    assert (
        third
        == "frozen (warning): entries provlog.freeze from any source, whatever they say"
    )
    lines = run(tmp_path, "check", tmp_path / "rules.toml", "--json").stdout
    assert [json.loads(line)["rule"] for line in lines.splitlines()] == [
        "grants",
        "back-again",
        "frozen",
    ]


@pytest.fixture
def receipts(tmp_path: Path, log: LyingLog) -> Path:
    folder = tmp_path / "receipts"
    folder.mkdir()
    for place in range(3):
        log.append(event(id=f"e{place}", data={"context": {"ticket": f"T-{place}"}}))
    for index in range(1, 4):
        path = folder / f"{index}.receipt.json"
        path.write_text(json.dumps(log.receipt(index)))
    return folder


def test_try_judges_receipts_offline(
    tmp_path: Path, receipts: Path, log: LyingLog
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(GOOD + 'ticket_unlike = ["T-[02]"]\n')
    call = ("try", rules, "--log-key", log.vkey)
    done = run(tmp_path, *call, receipts)
    assert done.exit_code == 4, done.output
    assert done.stdout.startswith("warning   2  r: role.assign from urn:okta:acme")
    assert "3 entries judged, 1 finding(s)" in done.stderr
    [line] = run(tmp_path, *call, receipts, "--json").stdout.splitlines()
    assert json.loads(line)["index"] == 2
    fine = run(tmp_path, *call, receipts / "1.receipt.json")
    assert (fine.exit_code, fine.stdout) == (0, "")


def test_try_counts_an_entry_once_and_in_the_order_of_the_log(
    tmp_path: Path, receipts: Path, log: LyingLog
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(GOOD + 'burst = {count = 3, within = "1h"}\n')
    last, first = receipts / "3.receipt.json", receipts / "1.receipt.json"
    call = ("try", rules, "--log-key", log.vkey)
    assert run(tmp_path, *call, last, first, first).exit_code == 0
    found = run(tmp_path, *call, receipts)
    assert (found.exit_code, "warning   3" in found.stdout) == (4, True)


def test_try_says_when_a_receipt_withholds_what_a_rule_needs(
    tmp_path: Path, receipts: Path, log: LyingLog
) -> None:
    rules, path = tmp_path / "rules.toml", receipts / "1.receipt.json"
    rules.write_text(GOOD + "ticket_missing = true\n")
    path.write_text(json.dumps({**log.receipt(1), "disclosures": []}))
    found = run(tmp_path, "try", rules, "--log-key", log.vkey, path)
    assert found.exit_code == 4
    assert "cannot be judged: context is withheld or erased" in found.stdout


def test_try_judges_only_what_verifies(
    tmp_path: Path, receipts: Path, log: LyingLog
) -> None:
    rules, path = tmp_path / "rules.toml", receipts / "1.receipt.json"
    rules.write_text(GOOD)
    path.write_text(json.dumps({**log.receipt(2), "index": 1}))
    done = run(tmp_path, "try", rules, "--log-key", log.vkey, receipts)
    assert (done.exit_code, done.stdout) == (1, "")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(tmp_path, "try", rules, "--log-key", log.vkey, empty).exit_code == 2
