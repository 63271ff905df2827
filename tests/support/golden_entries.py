"""The entries of the golden files: one of each kind, made from fixed values."""

from collections.abc import Mapping

from provlog.merkle.disclosures import disclosure_digest, make_disclosure
from provlog.merkle.encoding import JsonValue, encode_base64url
from provlog.merkle.entries import build_entry, event_template
from provlog.merkle.labels import (
    LabelKind,
    entry_id,
    epoch_key_commitment,
    id_key_commitment,
    label,
    tag,
)

ORIGIN = "log.example.com/main"
LOG_KEY = "log.example.com/main+00000000+AQ=="
ID_KEY = bytes(range(32))
EPOCH_KEY = bytes(range(32, 64))
NONCE = bytes(range(16))
RECORDED = "2026-11-21T17:53:56.001Z"
HASH = encode_base64url(bytes(range(64, 96)))
SUITES: dict[str, JsonValue] = {"1": 1, "2": 1, "7": 1}
LABELS = (
    (LabelKind.TARGET, label(EPOCH_KEY, LabelKind.TARGET, "urn:okta:acme", "00u9")),
    (LabelKind.ACTOR, label(EPOCH_KEY, LabelKind.ACTOR, "urn:okta:acme", "00u1")),
    (LabelKind.RESOURCE, label(EPOCH_KEY, LabelKind.RESOURCE, "urn:hr", "Zoë")),
)
MEMBERS: dict[str, JsonValue] = {
    "actor": {"id": "00u1", "ns": "urn:okta:acme", "type": "user"},
    "actor_details": {"name": "bob@example.com"},
    "target": {"id": "00u9", "ns": "urn:okta:acme", "type": "user"},
    "event": {"id": "9f2c", "time": "2026-11-21T17:53:55.516Z"},
}


def disclosures(members: Mapping[str, JsonValue] | None = None) -> list[str]:
    """Return the disclosure strings of the golden event, with fixed salts."""
    chosen = MEMBERS if members is None else members
    return [
        make_disclosure(bytes((place,)) * 16, name, value)
        for place, (name, value) in enumerate(chosen.items())
    ]


def digests() -> dict[str, str]:
    """Return the member digests of the golden event."""
    return {
        name: disclosure_digest(text)
        for name, text in zip(MEMBERS, disclosures(), strict=True)
    }


def event_leaf(epoch: int = 1, n: int = 0, seq: int | None = 17) -> bytes:
    """Return the golden event's leaf, or one like it."""
    template = event_template(
        entry_id=encode_base64url(entry_id(ID_KEY, "urn:okta:acme", "9f2c")),
        members=digests(),
        source="urn:okta:acme",
        tags=[encode_base64url(tag(NONCE, item)) for _, item in LABELS],
        time="2026-11-21T17:53:55.516Z",
        type="role.assign",
        seq=seq,
    )
    return template.finish(epoch, n, RECORDED)


def _build(kind: str, body: Mapping[str, JsonValue], n: int = 5) -> bytes:
    return build_entry(kind, epoch=1, n=n, recorded=RECORDED, body=body)


def params_leaf(origin: str = ORIGIN, **more: JsonValue) -> bytes:
    """Return the golden parameters' leaf, or one like it."""
    versions: list[JsonValue] = [1]
    body: dict[str, JsonValue] = {
        "origin": origin,
        "log_key": LOG_KEY,
        "leaf_versions": versions,
        "map_version": 1,
        "lateness_ms": 3_600_000,
        "suites": SUITES,
        "commit_e": encode_base64url(epoch_key_commitment(1, EPOCH_KEY)),
        "commit_id": encode_base64url(id_key_commitment(ID_KEY)),
    }
    return _build("params", {**body, **more}, n=0)


def golden_leaves() -> dict[str, bytes]:
    """Return one leaf of each kind, by the name of its golden file."""
    previous: JsonValue = {"origin": "log.example.com/old", "size": 9, "root": HASH}
    successor: JsonValue = {"origin": "log.example.com/new", "log_key": LOG_KEY}
    members: dict[str, JsonValue] = {**digests()}
    root: dict[str, JsonValue] = {
        "index_size": 7,
        "label_count": 3,
        "map_root": HASH,
        "log_root": HASH,
    }
    return {
        "event": event_leaf(n=1234),
        "event-without-seq": event_leaf(epoch=2, n=1234, seq=None),
        "params": params_leaf(),
        "params-of-a-successor": params_leaf(previous=previous),
        "epoch": _build("epoch", {"commit_e": HASH, "suites": {**SUITES}}),
        "root": _build("root", root),
        "erasure": _build("erasure", {"count": 2, "tree": HASH, "members": members}),
        "admin": _build("admin", {"action": "token.create", "members": members}),
        "key": _build("key", {"log_key": LOG_KEY, "replaces": LOG_KEY}),
        "freeze": _build("freeze", {}),
        "freeze-with-successor": _build("freeze", {"successor": successor}),
    }
