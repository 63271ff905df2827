"""What Keycloak calls its events, and what they are here.

An admin event is named by what was done to what: `resourceType`, a hyphen and
`operationType`. What was done below a resource has the words of the path behind it
(`USER-ACTION/reset-password`), as it is something else than what was done to the
resource itself. An event of a user has Keycloak's name for it; with `_ERROR` behind it,
it is the same type and a failure.

Sources: Keycloak's enumerations `ResourceType`, `OperationType` and `EventType`, and
the admin resources that send the events (paths, and which of them carry what).
"""

_POLICIES = (
    "AUTH_FLOW",
    "AUTHORIZATION_POLICY",
    "CLIENT_ROLE",
    "CLIENT_SCOPE",
    "COMPONENT",
    "IDENTITY_PROVIDER",
    "REALM",
    "REALM_ROLE",
    "USER_FEDERATION_PROVIDER",
)
"""What says what an account may do, or who it is believed to be."""

_PARTS_OF_POLICIES = (
    "AUTHENTICATOR_CONFIG",
    "AUTHORIZATION_RESOURCE",
    "AUTHORIZATION_RESOURCE_SERVER",
    "AUTHORIZATION_SCOPE",
    "AUTH_EXECUTION",
    "AUTH_EXECUTION_FLOW",
    "CLIENT_SCOPE_CLIENT_MAPPING",
    "CLIENT_SCOPE_MAPPING",
    "IDENTITY_PROVIDER_MAPPER",
    "PROTOCOL_MAPPER",
    "REALM_SCOPE_MAPPING",
    "REQUIRED_ACTION",
    "REQUIRED_ACTION_CONFIG",
    "USER_FEDERATION_MAPPER",
    "USER_PROFILE",
)

_DONE = {"CREATE": "create", "UPDATE": "update", "DELETE": "delete"}


def _each(subject: str, *resources: str) -> dict[str, str]:
    return {
        f"{resource}-{theirs}": f"{subject}.{ours}"
        for resource in resources
        for theirs, ours in _DONE.items()
    }


def _parts(*resources: str) -> dict[str, str]:
    return {f"{each}-{done}": "policy.update" for each in resources for done in _DONE}


TYPES: dict[str, str] = {
    **_each("account", "USER"),
    "USER-ACTION/reset-password": "credential.update",
    "USER-ACTION/credentials": "credential.revoke",
    "USER-CREATE/federated-identity": "credential.create",
    "USER-DELETE/federated-identity": "credential.revoke",
    "USER-ACTION/execute-actions-email": "other.user-action_execute-actions-email",
    "USER-ACTION/send-verify-email": "other.user-action_send-verify-email",
    "USER-ACTION/consents": "other.user-action_consents",
    "USER-ACTION/logout": "other.user-action_logout",
    **_each("group", "GROUP"),
    "GROUP_MEMBERSHIP-CREATE": "group.member.add",
    "GROUP_MEMBERSHIP-DELETE": "group.member.remove",
    **_each("group", "ORGANIZATION"),
    "ORGANIZATION_MEMBERSHIP-CREATE": "group.member.add",
    "ORGANIZATION_MEMBERSHIP-DELETE": "group.member.remove",
    "REALM_ROLE_MAPPING-CREATE": "role.assign",
    "REALM_ROLE_MAPPING-DELETE": "role.revoke",
    "CLIENT_ROLE_MAPPING-CREATE": "role.assign",
    "CLIENT_ROLE_MAPPING-DELETE": "role.revoke",
    "CLIENT-CREATE": "other.client-create",
    "CLIENT-UPDATE": "other.client-update",
    "CLIENT-DELETE": "other.client-delete",
    "CLIENT-ACTION/client-secret": "credential.update",
    "CLIENT-ACTION/certificates/generate": "credential.update",
    "CLIENT_INITIAL_ACCESS_MODEL-CREATE": "credential.create",
    "CLIENT_INITIAL_ACCESS_MODEL-DELETE": "credential.revoke",
    "REALM_ROLE-CREATE/composites": "policy.update",
    "REALM_ROLE-DELETE/composites": "policy.update",
    "CLIENT_ROLE-CREATE/composites": "policy.update",
    "CLIENT_ROLE-DELETE/composites": "policy.update",
    **_each("policy", *_POLICIES),
    **_parts(*_PARTS_OF_POLICIES),
    "REGISTER": "account.create",
    "UPDATE_PROFILE": "account.update",
    "UPDATE_EMAIL": "account.update",
    "DELETE_ACCOUNT": "account.delete",
    "USER_DISABLED_BY_PERMANENT_LOCKOUT": "account.lock",
    "USER_DISABLED_BY_TEMPORARY_LOCKOUT": "account.lock",
    "UPDATE_CREDENTIAL": "credential.update",
    "UPDATE_PASSWORD": "credential.update",
    "UPDATE_TOTP": "credential.update",
    "REMOVE_CREDENTIAL": "credential.revoke",
    "REMOVE_TOTP": "credential.revoke",
    "FEDERATED_IDENTITY_LINK": "credential.create",
    "REMOVE_FEDERATED_IDENTITY": "credential.revoke",
}

USER_EVENTS: tuple[str, ...] = tuple(name for name in TYPES if "-" not in name)
"""The user events that have a counterpart: what people did to their own accounts."""
