"""OneLogin's event types: numbers, what they stand for, and what they are here.

`CODES` has a line for each number whose meaning is known; the words are ours. A number
without a line becomes `other.` and the number.

`about` says whom or what such an event is about. It matters because OneLogin fills
`user_id` with the actor where the event is about no account, as when a role is created.

Sources: the descriptions that OneLogin's Get Event Types API gives and its API clients
list (1 to 553), and records of accounts (600 to 3022).
"""

from typing import NamedTuple


class Code(NamedTuple):
    """One event type. `name` is in words of ours, `type` what it becomes here.

    `about` is the kind of the target, None where there is no target. `failed` is True
    where the event says that something did not happen.
    """

    name: str
    type: str
    about: str | None = "user"
    failed: bool = False


def _other(name: str, about: str | None = None, *, failed: bool = False) -> Code:
    return Code(name, f"other.{name}", about, failed)


def _policy(name: str, done: str = "update") -> Code:
    return Code(name, f"policy.{done}", None)


def _failed(name: str, kind: str) -> Code:
    return Code(name, kind, "user", failed=True)


CODES: dict[int, Code] = {
    1: Code("app_added_to_role", "app.assign", "role"),
    2: Code("app_removed_from_role", "app.unassign", "role"),
    3: _other("user_assumed", "user"),
    4: Code("role_assigned_to_user", "role.assign"),
    5: _other("user_logged_in", "user"),
    6: _other("user_login_failed", "user", failed=True),
    7: _other("user_logged_out", "user"),
    8: _other("user_logged_in_to_app", "user"),
    10: _other("new_password_requested", "user"),
    11: Code("password_changed", "credential.update"),
    12: Code("user_unlocked", "account.unlock"),
    13: Code("user_created", "account.create"),
    14: Code("user_updated", "account.update"),
    15: Code("user_deactivated", "account.disable"),
    16: Code("user_activated", "account.enable"),
    17: Code("user_deleted", "account.delete"),
    18: _other("password_request_approved", "user"),
    19: Code("user_locked", "account.lock"),
    20: _other("user_limit_reached"),
    21: Code("user_suspended", "account.disable"),
    22: Code("otp_device_registered", "credential.create"),
    23: _other("bulk_operation_started"),
    24: Code("otp_device_deregistered", "credential.revoke"),
    25: _other("provisioning_exception", "user", failed=True),
    26: _other("provisioning_event", "user"),
    27: _other("browser_certificate_downloaded", "user"),
    28: _other("user_recently_removed", "user"),
    29: _other("user_logged_out_of_app", "user"),
    32: Code("user_reactivated", "account.enable"),
    33: _other("user_imported_from_directory", "user"),
    34: _other("app_access_requested", "user"),
    35: _other("user_locked_out_of_app", "user"),
    36: _other("otp_device_lost", "user"),
    37: _other("join_requested", "user"),
    38: _other("app_user_limit_reached"),
    39: _other("connector_broken"),
    40: _other("otp_device_unlocked", "user"),
    48: _other("user_imported", "user"),
    49: _failed("user_update_failed", "account.update"),
    50: _other("user_rejected", "user"),
    51: _other("user_created_in_app", "user"),
    52: _other("user_updated_in_app", "user"),
    53: _other("user_suspended_in_app", "user"),
    54: _other("user_reactivated_in_app", "user"),
    55: _other("user_deleted_in_app", "user"),
    56: _other("users_unmatched"),
    59: _other("user_linked_in_app", "user"),
    60: _other("deprovisioning_does_nothing", "user"),
    61: _other("user_suspension_failed_in_app", "user", failed=True),
    62: _other("user_reactivation_failed_in_app", "user", failed=True),
    63: _other("user_deletion_failed_in_app", "user", failed=True),
    64: _other("user_creation_failed_in_app", "user", failed=True),
    65: _other("user_update_failed_in_app", "user", failed=True),
    66: _other("no_users_to_import"),
    67: _other("directory_import_exception", failed=True),
    70: _other("privilege_granted_to_account"),
    71: _other("privilege_revoked_from_account"),
    72: Code("privilege_granted_to_user", "entitlement.grant"),
    73: Code("privilege_revoked_from_user", "entitlement.revoke"),
    74: _policy("trusted_idp_added", "create"),
    75: _policy("trusted_idp_removed", "delete"),
    76: _policy("trusted_idp_modified"),
    79: _other("user_provisioning_in_directory_failed", "user", failed=True),
    80: _other("user_created_in_directory", "user"),
    81: _other("user_updated_in_directory", "user"),
    82: _other("user_suspended_in_directory", "user"),
    83: _other("user_reactivated_in_directory", "user"),
    84: _other("user_deleted_in_directory", "user"),
    90: _other("app_access_refused", "user", failed=True),
    100: _other("self_registration_requested", "user"),
    101: _other("self_registration_approved", "user"),
    102: _other("self_registration_denied", "user"),
    110: _other("user_login_information_updated", "user"),
    111: _other("user_login_information_update_tried", "user"),
    112: _policy("default_trusted_idp_changed"),
    113: _other("directory_import_started"),
    114: _other("directory_import_finished"),
    115: _other("user_invited", "user"),
    116: _failed("user_creation_failed", "account.create"),
    119: _policy("default_trusted_idp_removed"),
    120: _other("user_unlocked_in_directory", "user"),
    125: _other("entitlements_created_in_service"),
    131: _other("directory_export_started"),
    132: _other("directory_export_finished"),
    133: _other("directory_export_exception", failed=True),
    137: _other("app_request_approved", "user"),
    138: _other("app_request_denied", "user"),
    145: _other("smart_password_updated", "user"),
    146: _other("smart_password_update_failed", "user", failed=True),
    147: Code("user_manually_added_to_role", "role.assign"),
    148: Code("user_manually_removed_from_role", "role.revoke"),
    149: Code("user_automatically_added_to_role", "role.assign"),
    150: Code("user_automatically_removed_from_role", "role.revoke"),
    151: Code("role_management_granted", "entitlement.grant"),
    152: Code("role_management_revoked", "entitlement.revoke"),
    156: _policy("policy_created", "create"),
    157: _policy("policy_updated"),
    158: _policy("policy_deleted", "delete"),
    161: _policy("radius_configuration_created", "create"),
    162: _policy("radius_configuration_updated"),
    163: _policy("radius_configuration_deleted", "delete"),
    170: _other("authentication_factor_created", "user"),
    171: _other("authentication_factor_updated", "user"),
    172: _other("authentication_factor_deleted", "user"),
    173: _other("security_questions_updated", "user"),
    177: Code("certificate_created", "credential.create", None),
    178: Code("certificate_deleted", "credential.revoke", None),
    179: Code("api_credential_created", "credential.create", None),
    180: Code("api_credential_deleted", "credential.revoke", None),
    181: Code("api_credential_enabled", "credential.update", None),
    182: Code("api_credential_disabled", "credential.update", None),
    189: _policy("mapping_added", "create"),
    190: _policy("mapping_deleted", "delete"),
    191: _policy("mapping_disabled"),
    192: _policy("mapping_enabled"),
    193: _policy("mapping_updated"),
    194: _other("user_field_added"),
    195: _other("user_field_deleted"),
    197: _policy("account_settings_updated"),
    198: _other("directory_created"),
    199: _other("directory_destroyed"),
    202: _other("mappings_reapplied"),
    203: _policy("self_registration_profile_created", "create"),
    204: _policy("self_registration_profile_updated"),
    205: _policy("self_registration_profile_deleted", "delete"),
    206: _other("login_manually_added", "user"),
    207: _other("login_manually_removed", "user"),
    240: _other("app_password_revealed", "user"),
    510: Code("password_set_with_salt", "credential.update"),
    511: Code("password_set", "credential.update"),
    512: Code("custom_attribute_set", "account.update"),
    513: Code("role_added_to_user", "role.assign"),
    514: Code("role_removed_from_user", "role.revoke"),
    517: _failed("password_set_with_salt_failed", "credential.update"),
    518: _failed("password_set_failed", "credential.update"),
    519: _failed("custom_attribute_set_failed", "account.update"),
    520: _failed("role_added_to_user_failed", "role.assign"),
    521: _failed("role_removed_from_user_failed", "role.revoke"),
    524: _failed("user_deletion_failed", "account.delete"),
    525: _other("user_invitation_failed", "user", failed=True),
    526: _failed("user_lock_failed", "account.lock"),
    529: Code("user_updated_by_api", "account.update"),
    530: Code("user_destroyed_by_api", "account.delete"),
    531: Code("user_locked_by_api", "account.lock"),
    532: _failed("user_update_by_api_failed", "account.update"),
    533: Code("user_created_by_api", "account.create"),
    534: _failed("user_creation_by_api_failed", "account.create"),
    551: Code("user_suspended_by_api", "account.disable"),
    553: Code("user_locked_by_api", "account.lock"),
    600: _other("app_created"),
    601: _other("app_updated"),
    602: _other("app_deleted"),
    1801: _other("role_created", "role"),
    1802: _other("role_deleted", "role"),
    3020: Code("group_created", "group.create", "group"),
    3021: Code("group_updated", "group.update", "group"),
    3022: Code("group_deleted", "group.delete", "group"),
}

TYPES: dict[str, str] = {str(number): code.type for number, code in CODES.items()}
"""OneLogin's numbers, as text, and what they become here."""
