"""The members of an event's `data`: which there are and what they may look like.

Only what the log itself relies on is checked: ids that become labels, the five
results, the shape of an original. Everything else a submitter puts inside a member is
kept as it is.
"""

import unicodedata
from collections.abc import Callable

from provlog.merkle.encoding import JsonValue, decode_base64, is_canonical_text
from provlog.merkle.errors import MalformedError
from provlog.merkle.redaction import MAX_POINTER_LENGTH, MAX_POINTERS
from provlog.server.intake.problems import fail, pointer

MAX_IDENTIFIER_BYTES = 512
MAX_NAMESPACE_LENGTH = 256
MAX_CHANGES = 1000
RESULTS = frozenset({"success", "failure", "skipped", "pending", "unknown"})

_PARTY_TEXTS = ("type", "name", "external_id")
_RESOURCE_TEXTS = ("type", "name")
_CHANGE_TEXTS = ("op", "path")
_CONTEXT_TEXTS = ("ticket", "request_id", "reason", "ip", "user_agent")
_ORIGINAL_MEMBERS = ("media_type", "body", "body_base64", "redacted")


def parse_data(value: JsonValue) -> tuple[dict[str, JsonValue], JsonValue]:
    """Return the members of `data` without `original`, and `original`.

    Null counts as absent, for `data` as for its members. Raises `EventError` with
    status 422 for an unknown member or one of the wrong shape.
    """
    if value is None:
        return {}, None
    if not isinstance(value, dict):
        fail("/data", "must be a JSON object")
    data: dict[str, JsonValue] = {}
    for name, member in value.items():
        check = _CHECKS.get(name)
        if check is None:
            fail(pointer("/data", name), f"is none of {', '.join(_CHECKS)}")
        if member is not None:
            check(member)
            data[name] = member
    return data, data.pop("original", None)


def is_identifier(text: str) -> bool:
    """Tell whether `text` can be the id of an actor, target or resource.

    It has 1 to 512 bytes of UTF-8 after NFC and no U+0000, which PostgreSQL cannot
    hold.
    """
    if not text or len(text) > MAX_IDENTIFIER_BYTES or "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        encoded = unicodedata.normalize("NFC", text).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return len(encoded) <= MAX_IDENTIFIER_BYTES


def is_namespace(text: str) -> bool:
    """Tell whether `text` can name a namespace: the limits are those of a source."""
    return 1 <= len(text) <= MAX_NAMESPACE_LENGTH and is_canonical_text(text)


def _require_object(value: JsonValue, where: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        fail(where, "must be an object")
    return value


def _check_texts(
    value: dict[str, JsonValue], names: tuple[str, ...], where: str
) -> None:
    for name in names:
        text = value.get(name)
        if text is not None and not isinstance(text, str):
            fail(f"{where}/{name}", "must be a string")


def _check_identity(value: dict[str, JsonValue], where: str) -> None:
    identifier = value.get("id")
    if identifier is not None and not (
        isinstance(identifier, str) and is_identifier(identifier)
    ):
        fail(
            f"{where}/id",
            f"must be a string of 1 to {MAX_IDENTIFIER_BYTES} bytes without U+0000",
        )
    ns = value.get("ns")
    if ns is not None and not (isinstance(ns, str) and is_namespace(ns)):
        fail(
            f"{where}/ns",
            f"must be 1 to {MAX_NAMESPACE_LENGTH} printable ASCII characters "
            'without " and \\',
        )


def _check_actor(value: JsonValue) -> None:
    _check_party(value, "/data/actor")


def _check_target(value: JsonValue) -> None:
    _check_party(value, "/data/target")


def _check_party(value: JsonValue, where: str) -> None:
    party = _require_object(value, where)
    _check_identity(party, where)
    _check_texts(party, _PARTY_TEXTS, where)


def _check_resource(value: JsonValue) -> None:
    resource = _require_object(value, "/data/resource")
    _check_identity(resource, "/data/resource")
    _check_texts(resource, _RESOURCE_TEXTS, "/data/resource")


def _check_changes(value: JsonValue) -> None:
    if not isinstance(value, list) or len(value) > MAX_CHANGES:
        fail("/data/changes", f"must be an array of at most {MAX_CHANGES} objects")
    for position, item in enumerate(value):
        where = f"/data/changes/{position}"
        _check_texts(_require_object(item, where), _CHANGE_TEXTS, where)


def _check_outcome(value: JsonValue) -> None:
    outcome = _require_object(value, "/data/outcome")
    result = outcome.get("result")
    if not isinstance(result, str) or result not in RESULTS:
        fail("/data/outcome/result", f"must be one of {', '.join(sorted(RESULTS))}")
    _check_texts(outcome, ("reason",), "/data/outcome")


def _check_context(value: JsonValue) -> None:
    context = _require_object(value, "/data/context")
    _check_texts(context, _CONTEXT_TEXTS, "/data/context")


def _check_original(value: JsonValue) -> None:
    where = "/data/original"
    original = _require_object(value, where)
    for name in original:
        if name not in _ORIGINAL_MEMBERS:
            fail(pointer(where, name), f"is none of {', '.join(_ORIGINAL_MEMBERS)}")
    if not isinstance(original.get("media_type"), str):
        fail(f"{where}/media_type", "must be a string")
    bodies = [name for name in ("body", "body_base64") if name in original]
    if len(bodies) != 1:
        fail(where, "must hold either body or body_base64")
    body = original[bodies[0]]
    if not isinstance(body, str):
        fail(f"{where}/{bodies[0]}", "must be a string")
    if bodies == ["body_base64"]:
        _check_base64(body, f"{where}/body_base64")
    if "redacted" in original:
        _check_redacted(original["redacted"], f"{where}/redacted")


def _check_redacted(value: JsonValue, where: str) -> None:
    """Check what a submitter says it has cut out of the body itself."""
    pointers = value if isinstance(value, list) else []
    told = {each for each in pointers if isinstance(each, str) and _is_pointer(each)}
    if not 1 <= len(pointers) <= MAX_POINTERS or len(told) < len(pointers):
        fail(
            where,
            f"must be an array of 1 to {MAX_POINTERS} different JSON pointers of at "
            f"most {MAX_POINTER_LENGTH} characters",
        )


def _is_pointer(text: str) -> bool:
    escaped = text.replace("~0", "").replace("~1", "")
    return (
        len(text) <= MAX_POINTER_LENGTH
        and "~" not in escaped
        and (text == "" or text.startswith("/"))
    )


def _check_base64(text: str, where: str) -> None:
    # The try is for non-ASCII text, which base64 refuses with a ValueError of its own.
    try:
        decode_base64(text)
    except (MalformedError, ValueError):
        fail(where, "must be canonical standard base64 with padding")


_CHECKS: dict[str, Callable[[JsonValue], None]] = {
    "actor": _check_actor,
    "target": _check_target,
    "resource": _check_resource,
    "changes": _check_changes,
    "outcome": _check_outcome,
    "context": _check_context,
    "original": _check_original,
}
