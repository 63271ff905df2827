"""Rules on entries: what they find, what they let pass, and what they cannot judge."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client.rules import remembering
from provlog.client.rules.facts import MAX_VALUE
from provlog.merkle.encoding import JsonValue
from support.judged_entries import ALICE, BOB, JudgedEntry, entry, frozen, rules

OFFICE = 'outside = {days = ["mon-fri"], hours = "08:00-18:00", zone = "Europe/Berlin"}'
NIGHT = 'outside = {days = ["fri"], hours = "22:00-06:00", zone = "Europe/Berlin"}'


def alarms(body: str, judged: JudgedEntry) -> bool | None:
    """Return if one rule finds something; None if it says that it cannot judge."""
    found = rules(body).judge(judged)
    if not found:
        return False
    [finding] = found
    return True if finding.judged else None


@pytest.mark.parametrize(
    ("body", "time", "outside"),
    [
        (OFFICE, "2026-11-25T07:00:00Z", False),  # 08:00 there, in winter
        (OFFICE, "2026-11-25T06:59:59Z", True),
        (OFFICE, "2026-07-22T06:00:00Z", False),  # 08:00 there, in summer
        (OFFICE, "2026-11-25T17:00:00Z", True),
        (OFFICE, "2026-11-28T10:00:00Z", True),  # a Saturday
        (NIGHT, "2026-11-27T21:00:00Z", False),  # Friday, 22:00
        (NIGHT, "2026-11-28T04:59:00Z", False),  # Saturday, 05:59, still that night
        (NIGHT, "2026-11-28T05:00:00Z", True),
        (NIGHT, "2026-11-27T04:59:00Z", True),  # Friday, 05:59: the night of Thursday
    ],
)
def test_a_change_window_is_kept_by_the_clock_of_its_zone(
    body: str, time: str, outside: bool
) -> None:
    assert alarms(body, entry(time=time, recorded=time)) is outside


def test_a_window_goes_by_the_clock_that_the_rule_names() -> None:
    late = entry(time="2026-11-25T10:00:00Z", recorded="2026-11-25T23:00:00Z")
    assert alarms(OFFICE, late) is False
    by_log = OFFICE.replace("}", ', by = "recorded"}')
    assert alarms(by_log, late) is True


def test_several_windows_are_one_opening() -> None:
    two = 'outside = [{days = ["mon"], zone = "UTC"}, {days = ["wed"], zone = "UTC"}]'
    assert alarms(two, entry(recorded="2026-11-25T10:00:00Z")) is False
    assert alarms(two, entry(recorded="2026-11-26T10:00:00Z")) is True


def test_a_time_at_the_end_of_the_calendar_is_not_passed_over() -> None:
    zone = OFFICE.replace("Europe/Berlin", "Asia/Tokyo")
    end = entry(time="9999-12-31T23:59:59Z", recorded="2026-11-25T10:00:00Z")
    assert alarms(zone, end) is None


NAMED: JsonValue = {"name": "Bob@Example.com"}


@pytest.mark.parametrize(
    ("listed", "inside"),
    [
        ('["00u1"]', True),
        ('["id:00u1"]', True),
        ('["00U1"]', False),  # ids are exact
        ('["name:00u1"]', False),
        ('["bob@example.com"]', True),  # names are not
        ('["name:*@EXAMPLE.com"]', True),
        ('["id:*@example.com"]', False),
        ('["00u", "ob@example.com"]', False),  # a pattern is all of it
        ('["x", "00u[0-9]"]', True),
    ],
)
def test_lists_hold_ids_and_names(listed: str, inside: bool) -> None:
    judged = entry({"actor": BOB, "actor_details": NAMED})
    assert alarms(f"actor_in = {listed}", judged) is inside
    assert alarms(f"actor_not_in = {listed}", judged) is not inside


def test_who_is_not_there_is_in_no_list() -> None:
    assert alarms('actor_not_in = ["*"]', entry()) is True
    assert alarms('actor_in = ["*"]', entry()) is False


def test_a_withheld_member_is_said_and_not_passed_over() -> None:
    hidden = entry({"actor": BOB, "actor_details": NAMED}, withheld=["actor_details"])
    assert alarms('actor_not_in = ["alice*"]', hidden) is None
    assert alarms('actor_in = ["alice*"]', hidden) is None
    # What is open decides where it can.
    assert alarms('actor_not_in = ["00u1"]', hidden) is False
    assert alarms('actor_not_in = ["id:00u7"]', hidden) is True
    [finding] = rules('actor_in = ["alice"]').judge(hidden)
    assert "cannot be judged: actor_details is withheld or erased" in finding.text


def test_what_one_condition_excludes_needs_no_other() -> None:
    hidden = entry({"context": {"ticket": "CHG-1"}}, withheld=["context"])
    assert alarms('late = "1h"\nticket_missing = true', hidden) is False


@pytest.mark.parametrize("value", ["x", 7, ["00u1"], {"id": 7}])
def test_a_member_of_another_form_is_not_judged(value: JsonValue) -> None:
    assert alarms('actor_not_in = ["00u1"]', entry({"actor": value})) is None


def test_a_name_too_long_to_be_compared_is_not_judged() -> None:
    long: JsonValue = {"id": "r", "name": "Billing Admin" + " " * MAX_VALUE}
    assert alarms('resource_in = ["name:*admin*"]', entry({"resource": long})) is None


def test_a_privileged_role_is_found_by_its_name() -> None:
    role: JsonValue = {"type": "role", "id": "r-12", "name": "Billing ADMIN"}
    assert alarms('resource_in = ["*admin"]', entry({"resource": role})) is True
    assert alarms('resource_in = ["*owner"]', entry({"resource": role})) is False


def test_who_grants_to_himself_is_found() -> None:
    body = "actor_is_target = true"
    elsewhere: JsonValue = {"ns": "urn:ns:other", "id": "00u1"}
    assert alarms(body, entry({"actor": BOB, "target": BOB})) is True
    assert alarms(body, entry({"actor": BOB, "target": ALICE})) is False
    assert alarms(body, entry({"actor": BOB, "target": elsewhere})) is False
    assert alarms(body, entry({})) is False


@pytest.mark.parametrize(
    ("ticket", "missing", "unlike"),
    [
        (None, True, True),
        ("", True, True),
        ("  ", True, True),
        ("none", False, True),
        ("CHG-17", False, False),
        ("CHG-x", False, True),
        ("xCHG-17", False, True),
    ],
)
def test_a_ticket_is_asked_for(ticket: str | None, missing: bool, unlike: bool) -> None:
    judged = entry({"context": {"ticket": ticket, "request_id": "r"}})
    assert alarms("ticket_missing = true", judged) is missing
    assert alarms('ticket_unlike = ["CHG-[0-9]*"]', judged) is unlike


@settings(max_examples=60, deadline=None)
@given(st.text("ab*", max_size=200), st.text("ab", max_size=MAX_VALUE))
def test_no_value_makes_a_pattern_slow(pattern: str, value: str) -> None:
    # Would not come to an end if a pattern could backtrack.
    stars = "*".join(pattern)[:256] or "*"
    alarms(f'ticket_unlike = ["{stars}"]', entry({"context": {"ticket": value}}))


def test_outcomes_are_told_apart() -> None:
    body = 'outcome = ["success", "unknown"]'
    assert alarms(body, entry({"outcome": {"result": "success"}})) is True
    assert alarms(body, entry({"outcome": {"result": "failure"}})) is False
    assert alarms(body, entry({})) is True


def test_what_comes_late_is_found() -> None:
    early = entry(time="2026-11-25T09:00:00Z", recorded="2026-11-25T10:00:00Z")
    assert alarms('late = "60m"', early) is False
    assert alarms('late = "59m"', early) is True


def test_all_conditions_have_to_hold() -> None:
    body = 'late = "1h"\nticket_missing = true'
    early = "2026-11-25T01:00:00Z"
    assert alarms(body, entry({}, time=early)) is True
    assert alarms(body, entry({"context": {"ticket": "T"}}, time=early)) is False
    assert alarms(body, entry({})) is False


def test_a_rule_is_about_its_types_and_sources() -> None:
    own = rules('sources = ["urn:okta:*"]', types='["role.*", "policy.delete"]')
    assert own.concerns(entry(type_="role.revoke").entry)
    assert own.concerns(entry(type_="policy.delete").entry)
    assert not own.concerns(entry(type_="policy.update").entry)
    assert not own.concerns(entry(source="urn:entra:acme").entry)
    assert own.judge(entry(type_="account.create")) == []


def test_entries_of_the_log_itself_are_found_only_by_name() -> None:
    assert not rules("", types='["*"]').concerns(frozen().entry)
    named = rules("", types='["provlog.freeze"]')
    assert named.concerns(frozen().entry)
    [finding] = named.judge(frozen(9))
    assert (finding.index, finding.judged) == (9, True)


def test_a_finding_names_nobody() -> None:
    judged = entry(
        {"actor": BOB, "actor_details": NAMED, "context": {"ticket": "secret-7"}}
    )
    body = 'actor_not_in = ["carol@example.com"]\nticket_unlike = ["CHG-*"]'
    [finding] = rules(body).judge(judged)
    for private in ("bob", "00u1", "secret-7", "carol"):
        assert private not in finding.text.lower()


REENABLED = 'reenabled = {after = "30d"}'
ACCOUNTS = '["account.enable", "account.unlock"]'


def account(
    type_: str, day: int, who: JsonValue = ALICE, **more: JsonValue
) -> JudgedEntry:
    members: dict[str, JsonValue] = {"target": who, **more}
    month, rest = divmod(day, 28)
    recorded = f"2026-{month + 1:02}-{rest + 1:02}T10:00:00Z"
    return entry(members, type_=type_, recorded=recorded)


def test_an_account_let_in_after_long_is_found() -> None:
    watched = rules(REENABLED, types=ACCOUNTS)
    assert watched.concerns(account("account.disable", 0).entry)
    assert watched.judge(account("account.disable", 0)) == []
    assert watched.judge(account("account.disable", 50)) == []
    [finding] = watched.judge(account("account.enable", 60))
    assert finding.judged
    # It is in now: the next one has no disabling before it.
    assert not watched.judge(account("account.enable", 61))[0].judged
    watched.judge(account("account.disable", 100))
    assert watched.judge(account("account.enable", 101)) == []


def test_locking_and_disabling_are_two_things() -> None:
    watched = rules(REENABLED, types=ACCOUNTS)
    watched.judge(account("account.lock", 0))
    assert not watched.judge(account("account.enable", 60))[0].judged
    assert watched.judge(account("account.unlock", 60))[0].judged


def test_a_disabling_that_failed_shuts_nobody_out() -> None:
    watched = rules('reenabled = {after = "30d", unseen = "ignore"}', types=ACCOUNTS)
    watched.judge(account("account.disable", 0, outcome={"result": "failure"}))
    assert watched.judge(account("account.enable", 60)) == []


def test_accounts_beyond_the_bound_are_forgotten_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remembering, "MAX_REMEMBERED", 2)
    watched = rules(REENABLED, types=ACCOUNTS)
    for number in range(3):
        watched.judge(account("account.disable", number, {"id": f"u{number}"}))
    assert watched.judge(account("account.enable", 60, {"id": "u2"}))[0].judged
    [forgotten] = watched.judge(account("account.enable", 60, {"id": "u0"}))
    assert not forgotten.judged
    assert "was not seen" in forgotten.text


def grant(minute: int, who: JsonValue = BOB, **more: JsonValue) -> JudgedEntry:
    return entry({"actor": who, **more}, recorded=f"2026-11-25T10:{minute:02}:00Z")


def test_a_burst_is_found_once_for_each_filling() -> None:
    watched = rules('burst = {count = 3, within = "10m"}')
    minutes = [0, 8, 11, 12, 13, 14, 15, 40, 41]
    found = [bool(watched.judge(grant(minute))) for minute in minutes]
    # 8, 11, 12 fill it; then 13, 14, 15.
    assert found == [False, False, False, True, False, False, True, False, False]


def test_bursts_are_counted_for_each_key_and_what_meets_the_rest() -> None:
    body = 'ticket_missing = true\nburst = {count = 2, within = "10m", by = "actor"}'
    watched = rules(body)
    assert not watched.judge(grant(0))
    assert not watched.judge(grant(1, ALICE))
    assert not watched.judge(grant(2, context={"ticket": "T"}))
    assert watched.judge(grant(3))
    assert not watched.judge(entry({}))[0].judged


def test_what_cannot_be_judged_is_not_counted() -> None:
    watched = rules('ticket_missing = true\nburst = {count = 2, within = "10m"}')
    hidden = entry({"context": {"ticket": "T"}}, withheld=["context"])
    assert not watched.judge(hidden)[0].judged
    assert watched.judge(grant(1)) == []
    assert watched.judge(grant(2))[0].judged


def test_an_entry_that_is_judged_again_is_not_counted_twice() -> None:
    watched = rules('burst = {count = 2, within = "10m"}')
    assert [bool(watched.judge(grant(0))) for _ in range(3)] == [False] * 3
    # And what was found is found again.
    assert [bool(watched.judge(grant(1))) for _ in range(3)] == [True] * 3


def test_what_is_opened_later_is_judged_anew() -> None:
    watched = rules("ticket_missing = true")
    members: dict[str, JsonValue] = {"context": {"ticket": "T"}}
    assert not watched.judge(entry(members, withheld=["context"]))[0].judged
    assert watched.judge(entry(members)) == []


def test_counters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "MAX_COUNTERS", 5)
    watched = rules('burst = {count = 2, within = "10m", by = "actor"}')
    for number in range(50):
        watched.judge(grant(0, {"id": f"u{number}"}))
    [condition] = watched.rules[0].conditions
    assert isinstance(condition, remembering.Burst)
    assert len(condition._seen) == 5
