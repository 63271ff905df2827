"""The event URIs of security event tokens, and what they are called here.

Compared without case: older transmitters write ``urn:ietf:params:SCIM:event:``.
Sources: RFC 9967 sections 2.3 to 2.5 (SCIM), OpenID CAEP 1.0, OpenID RISC 1.0, OpenID
SSF 1.0 (``ssf``), and the two of OAuth's that transmitters of RISC send.

A SCIM event is told of a user, a group or another resource; `TYPES` has what it becomes
for a user, and `scim_type` the rest.
"""

from typing import Final

SCIM: Final = "urn:ietf:params:scim:event:"
CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
RISC: Final = "https://schemas.openid.net/secevent/risc/event-type/"
OAUTH: Final = "https://schemas.openid.net/secevent/oauth/event-type/"
SSF: Final = "https://schemas.openid.net/secevent/ssf/event-type/"

ASYNC_RESPONSE: Final = f"{SCIM}misc:asyncresp"
CREDENTIAL_CHANGE: Final = f"{CAEP}credential-change"

TYPES: Final[dict[str, str]] = {
    f"{SCIM}feed:add": "other.scim.feed.add",
    f"{SCIM}feed:remove": "other.scim.feed.remove",
    f"{SCIM}prov:create:full": "account.create",
    f"{SCIM}prov:create:notice": "account.create",
    f"{SCIM}prov:patch:full": "account.update",
    f"{SCIM}prov:patch:notice": "account.update",
    f"{SCIM}prov:put:full": "account.update",
    f"{SCIM}prov:put:notice": "account.update",
    f"{SCIM}prov:delete": "account.delete",
    f"{SCIM}prov:activate": "account.enable",
    f"{SCIM}prov:deactivate": "account.disable",
    ASYNC_RESPONSE: "other.scim.asyncresp",
    f"{CAEP}assurance-level-change": "other.caep.assurance-level-change",
    CREDENTIAL_CHANGE: "credential.update",
    f"{CAEP}device-compliance-change": "other.caep.device-compliance-change",
    f"{CAEP}risk-level-change": "other.caep.risk-level-change",
    f"{CAEP}session-established": "other.caep.session-established",
    f"{CAEP}session-presented": "other.caep.session-presented",
    f"{CAEP}session-revoked": "other.caep.session-revoked",
    f"{CAEP}token-claims-change": "other.caep.token-claims-change",
    f"{RISC}account-credential-change-required": (
        "other.risc.account-credential-change-required"
    ),
    f"{RISC}account-disabled": "account.disable",
    f"{RISC}account-enabled": "account.enable",
    f"{RISC}account-purged": "account.delete",
    f"{RISC}credential-compromise": "other.risc.credential-compromise",
    f"{RISC}identifier-changed": "account.update",
    f"{RISC}identifier-recycled": "other.risc.identifier-recycled",
    f"{RISC}opt-in": "other.risc.opt-in",
    f"{RISC}opt-out-cancelled": "other.risc.opt-out-cancelled",
    f"{RISC}opt-out-effective": "other.risc.opt-out-effective",
    f"{RISC}opt-out-initiated": "other.risc.opt-out-initiated",
    f"{RISC}recovery-activated": "other.risc.recovery-activated",
    f"{RISC}recovery-information-changed": "other.risc.recovery-information-changed",
    f"{RISC}sessions-revoked": "other.risc.sessions-revoked",
    f"{RISC}verification": "other.risc.verification",
    f"{OAUTH}token-revoked": "credential.revoke",
    f"{OAUTH}tokens-revoked": "credential.revoke",
    f"{SSF}stream-updated": "other.ssf.stream-updated",
    f"{SSF}verification": "other.ssf.verification",
}

CREDENTIAL_TYPES: Final = {
    "create": "credential.create",
    "update": "credential.update",
    "revoke": "credential.revoke",
    "delete": "credential.revoke",
}
"""What a CAEP credential-change becomes, by its `change_type`."""

METHODS: Final = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "update",
    "DELETE": "delete",
}
"""What an asynchronous request did (RFC 9967 section 2.5), by its `method`."""

_GROUP_VERBS: Final = frozenset({"create", "update", "delete"})
_PROVISIONING: Final = f"{SCIM}prov:"


def type_of(uri: str, kind: str | None) -> str | None:
    """Return the type of an event URI for a resource of a kind, None if unknown."""
    known = TYPES.get(uri.lower())
    if known is None or not uri.lower().startswith(_PROVISIONING):
        return known
    return scim_type(known.partition(".")[2], kind)


def scim_type(verb: str, kind: str | None) -> str:
    """Return the type of something done to a SCIM resource.

    `kind` is the part of its URI that says what it is, None where there is none.
    """
    match kind:
        case "Users" | "Me":
            return f"account.{verb}"
        case "Groups" if verb in _GROUP_VERBS:
            return f"group.{verb}"
    name = "".join(each for each in (kind or "").lower() if each.isascii())
    fitting = name if name.replace("-", "").replace("_", "").isalnum() else "unknown"
    return f"other.scim.{fitting[:64]}.{verb}"
