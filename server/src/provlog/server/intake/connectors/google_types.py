"""Google's activities that concern accounts, groups and access, and what each becomes.

An activity is named by the application that reports it and its event:
`admin.CREATE_USER`. The names are those of the Reports API's reference ("Admin Audit
Activity Events" for user, group, delegated admin, licence, domain, organisation and
security settings; "Enterprise Groups", "Groups", "User Accounts", "Login" and "OAuth
Token Audit Activity Events").

Those with a counterpart in provlog's vocabulary stand in `COUNTERPARTS`. Others that
concern the same things are listed by name; whatever is in neither becomes `other.…` as
well. Why some have none: invitations and requests change no membership; a bulk upload
names nobody; of a member's role in a group `admin` says from what to what and not
whether that is more; roles and organisational units have no types of their own.
"""

from typing import Final

from provlog.server.intake.connectors.type_tables import table

# Reported by two applications; their messages read "{actor} has …".
_OWN_ACCOUNT: Final = {
    "2sv_disable": "credential.revoke",
    "2sv_enroll": "credential.create",
    "password_edit": "credential.update",
    "recovery_email_edit": "credential.update",
    "recovery_phone_edit": "credential.update",
    "recovery_secret_qa_edit": "credential.update",
    "titanium_enroll": "credential.update",
    "titanium_unenroll": "credential.update",
}

COUNTERPARTS: Final[dict[str, str]] = {
    "admin.ADD_DISPLAY_NAME": "account.update",
    "admin.ADD_NICKNAME": "account.update",
    "admin.ADD_RECOVERY_EMAIL": "credential.update",
    "admin.ADD_RECOVERY_PHONE": "credential.update",
    "admin.ARCHIVE_USER": "account.disable",
    "admin.CHANGE_DISPLAY_NAME": "account.update",
    "admin.CHANGE_FIRST_NAME": "account.update",
    "admin.CHANGE_LAST_NAME": "account.update",
    "admin.CHANGE_PASSWORD": "credential.update",
    "admin.CHANGE_PASSWORD_ON_NEXT_LOGIN": "credential.update",
    "admin.CHANGE_RECOVERY_EMAIL": "credential.update",
    "admin.CHANGE_RECOVERY_PHONE": "credential.update",
    "admin.CHANGE_USER_ADDRESS": "account.update",
    "admin.CHANGE_USER_CUSTOM_FIELD": "account.update",
    "admin.CHANGE_USER_EXTERNAL_ID": "account.update",
    "admin.CHANGE_USER_GENDER": "account.update",
    "admin.CHANGE_USER_IM": "account.update",
    "admin.CHANGE_USER_KEYWORD": "account.update",
    "admin.CHANGE_USER_LANGUAGE": "account.update",
    "admin.CHANGE_USER_LOCATION": "account.update",
    "admin.CHANGE_USER_ORGANIZATION": "account.update",
    "admin.CHANGE_USER_PHONE_NUMBER": "account.update",
    "admin.CHANGE_USER_RELATION": "account.update",
    "admin.CREATE_USER": "account.create",
    "admin.DELETE_2SV_SCRATCH_CODES": "credential.revoke",
    "admin.DELETE_PROFILE_PHOTO": "account.update",
    "admin.DELETE_USER": "account.delete",
    "admin.GENERATE_2SV_SCRATCH_CODES": "credential.create",
    "admin.GRANT_ADMIN_PRIVILEGE": "role.assign",
    "admin.GRANT_DELEGATED_ADMIN_PRIVILEGES": "role.assign",
    "admin.MOVE_USER_TO_ORG_UNIT": "account.update",
    "admin.PASSKEY_REVOKED": "credential.revoke",
    "admin.REMOVE_DISPLAY_NAME": "account.update",
    "admin.REMOVE_NICKNAME": "account.update",
    "admin.REMOVE_RECOVERY_EMAIL": "credential.update",
    "admin.REMOVE_RECOVERY_PHONE": "credential.update",
    "admin.RENAME_USER": "account.update",
    "admin.REVOKE_3LO_DEVICE_TOKENS": "credential.revoke",
    "admin.REVOKE_3LO_TOKEN": "credential.revoke",
    "admin.REVOKE_ADMIN_PRIVILEGE": "role.revoke",
    "admin.REVOKE_ASP": "credential.revoke",
    "admin.REVOKE_SECURITY_KEY": "credential.revoke",
    "admin.SECURITY_KEY_REGISTERED_FOR_USER": "credential.create",
    "admin.SUSPEND_USER": "account.disable",
    "admin.TURN_OFF_2_STEP_VERIFICATION": "credential.revoke",
    "admin.UNARCHIVE_USER": "account.enable",
    "admin.UNDELETE_USER": "account.enable",
    "admin.UNENROLL_USER_FROM_STRONG_AUTH": "credential.revoke",
    "admin.UNENROLL_USER_FROM_TITANIUM": "credential.update",
    "admin.UNSUSPEND_USER": "account.enable",
    "admin.UPDATE_BIRTHDATE": "account.update",
    "admin.UPDATE_PROFILE_PHOTO": "account.update",
    "admin.UPDATE_PUBLIC_KEY_CERTIFICATE": "credential.update",
    "admin.UPDATE_PUBLIC_KEY_CERTIFICATE_STATUS": "credential.update",
    "admin.USER_CREATED_PASSKEY_REVOKE": "credential.revoke",
    "admin.USER_ENROLLED_IN_TWO_STEP_VERIFICATION": "credential.create",
    # Group settings
    "admin.ADD_GROUP_MEMBER": "group.member.add",
    "admin.CHANGE_GROUP_DESCRIPTION": "group.update",
    "admin.CHANGE_GROUP_EMAIL": "group.update",
    "admin.CHANGE_GROUP_NAME": "group.update",
    "admin.CHANGE_GROUP_SETTING": "group.update",
    "admin.CREATE_GROUP": "group.create",
    "admin.DELETE_GROUP": "group.delete",
    "admin.REMOVE_GROUP_MEMBER": "group.member.remove",
    # Delegated admins, licences
    "admin.ASSIGN_ROLE": "role.assign",
    "admin.UNASSIGN_ROLE": "role.revoke",
    "admin.CHANGE_LICENSE_AUTO_ASSIGN": "policy.update",
    "admin.CHROME_APP_USER_LICENSE_ASSIGNED": "entitlement.grant",
    "admin.CHROME_APP_USER_LICENSE_REVOKED": "entitlement.revoke",
    "admin.ORG_ALL_USERS_LICENSE_ASSIGNMENT": "entitlement.grant",
    "admin.ORG_LICENSE_REVOKE": "entitlement.revoke",
    "admin.ORG_USERS_LICENSE_ASSIGNMENT": "entitlement.grant",
    "admin.TEMPORARY_LICENSE_ASSIGNMENT": "entitlement.grant",
    "admin.TEMPORARY_LICENSE_REVOKE": "entitlement.revoke",
    "admin.UPDATE_DYNAMIC_LICENSE": "policy.update",
    "admin.USER_LICENSE_ASSIGNMENT": "entitlement.grant",
    "admin.USER_LICENSE_REASSIGNMENT": "entitlement.grant",
    "admin.USER_LICENSE_REVOKE": "entitlement.revoke",
    # What an application may do in the whole domain; who has to sign in how
    "admin.AUTHORIZE_API_CLIENT_ACCESS": "entitlement.grant",
    "admin.REMOVE_API_CLIENT_ACCESS": "entitlement.revoke",
    "admin.ALLOW_STRONG_AUTHENTICATION": "policy.update",
    "admin.CHANGE_ALLOWED_TWO_STEP_VERIFICATION_METHODS": "policy.update",
    "admin.CHANGE_CAA_APP_ASSIGNMENTS": "policy.update",
    "admin.CHANGE_PASSWORD_MAX_LENGTH": "policy.update",
    "admin.CHANGE_PASSWORD_MIN_LENGTH": "policy.update",
    "admin.CHANGE_SESSION_LENGTH": "policy.update",
    "admin.CHANGE_SSO_SETTINGS": "policy.update",
    "admin.CHANGE_TWO_STEP_VERIFICATION_ENROLLMENT_PERIOD_DURATION": "policy.update",
    "admin.CHANGE_TWO_STEP_VERIFICATION_FREQUENCY": "policy.update",
    "admin.CHANGE_TWO_STEP_VERIFICATION_GRACE_PERIOD_DURATION": "policy.update",
    "admin.CHANGE_TWO_STEP_VERIFICATION_START_DATE": "policy.update",
    "admin.ENABLE_NON_ADMIN_USER_PASSWORD_RECOVERY": "policy.update",
    "admin.ENFORCE_STRONG_AUTHENTICATION": "policy.update",
    "admin.SESSION_CONTROL_SETTINGS_CHANGE": "policy.update",
    "admin.TOGGLE_ALLOW_ADMIN_PASSWORD_RESET": "policy.update",
    "admin.TOGGLE_CAA_ENABLEMENT": "policy.update",
    "admin.TOGGLE_SERVICE_ENABLED": "policy.update",
    "admin.TOGGLE_SSO_ENABLED": "policy.update",
    "admin.WEAK_PROGRAMMATIC_LOGIN_SETTINGS_CHANGED": "policy.update",
    # Groups, of Cloud Identity and of Google Groups
    "groups_enterprise.accept_invitation": "group.member.add",
    "groups_enterprise.add_dynamic_group_query": "group.update",
    "groups_enterprise.add_info_setting": "group.update",
    "groups_enterprise.add_member": "group.member.add",
    "groups_enterprise.add_member_role": "role.assign",
    "groups_enterprise.add_security_setting": "group.update",
    "groups_enterprise.add_service_account_permission": "role.assign",
    "groups_enterprise.approve_join_request": "group.member.add",
    "groups_enterprise.ban_member_with_moderation": "group.member.remove",
    "groups_enterprise.change_dynamic_group_query": "group.update",
    "groups_enterprise.change_info_setting": "group.update",
    "groups_enterprise.change_security_setting": "group.update",
    "groups_enterprise.change_security_setting_state": "group.update",
    "groups_enterprise.create_group": "group.create",
    "groups_enterprise.delete_group": "group.delete",
    "groups_enterprise.join": "group.member.add",
    "groups_enterprise.remove_info_setting": "group.update",
    "groups_enterprise.remove_member": "group.member.remove",
    "groups_enterprise.remove_member_role": "role.revoke",
    "groups_enterprise.remove_security_setting": "group.update",
    "groups_enterprise.remove_service_account_permission": "role.revoke",
    "groups.accept_invitation": "group.member.add",
    "groups.add_info_setting": "group.update",
    "groups.add_user": "group.member.add",
    "groups.approve_join_request": "group.member.add",
    "groups.ban_user_with_moderation": "group.member.remove",
    "groups.change_acl_permission": "group.update",
    "groups.change_basic_setting": "group.update",
    "groups.change_identity_setting": "group.update",
    "groups.change_info_setting": "group.update",
    "groups.change_new_members_restrictions_setting": "group.update",
    "groups.change_post_replies_setting": "group.update",
    "groups.change_spam_moderation_setting": "group.update",
    "groups.change_topic_setting": "group.update",
    "groups.create_group": "group.create",
    "groups.delete_group": "group.delete",
    "groups.join": "group.member.add",
    "groups.join_via_mail": "group.member.add",
    "groups.remove_info_setting": "group.update",
    "groups.remove_user": "group.member.remove",
    "groups.unsubscribe_via_mail": "group.member.remove",
    # What users do to their own accounts, and Google to them
    "login.account_disabled_generic": "account.disable",
    "login.account_disabled_hijacked": "account.disable",
    "login.account_disabled_password_leak": "account.disable",
    "login.account_disabled_spamming": "account.disable",
    "login.account_disabled_spamming_through_relay": "account.disable",
    "login.passkey_enrolled": "credential.create",
    "login.passkey_removed": "credential.revoke",
    "token.authorize": "entitlement.grant",
    "token.revoke": "entitlement.revoke",
} | {
    f"{application}.{name}": ours
    for application in ("login", "user_accounts")
    for name, ours in _OWN_ACCOUNT.items()
}

_WITHOUT: Final = """\
admin: ACCEPT_USER_INVITATION ADD_APPLICATION ADD_PRIVILEGE BULK_UPLOAD
    CANCEL_USER_INVITE CREATE_DATA_TRANSFER_REQUEST CREATE_ORG_UNIT CREATE_ROLE
    DELETE_ROLE EDIT_ORG_UNIT_DESCRIPTION EDIT_ORG_UNIT_NAME ENABLE_USER_IP_WHITELIST
    GROUP_LIST_DOWNLOAD GROUP_MEMBERS_DOWNLOAD GROUP_MEMBER_BULK_UPLOAD
    MAIL_ROUTING_DESTINATION_ADDED MAIL_ROUTING_DESTINATION_REMOVED MOVE_ORG_UNIT
    REMOVE_APPLICATION REMOVE_ORG_UNIT REMOVE_PRIVILEGE RENAME_ROLE RESEND_USER_INVITE
    RESET_SIGNIN_COOKIES SUPPRESSED_LICENSE_ASSIGNMENT SUPPRESSED_LICENSE_REVOKE
    SUPPRESSED_TO_ASSIGNED_LICENSE_CONVERSION TEMPORARY_TO_ASSIGNED_LICENSE_CONVERSION
    TEMPORARY_TO_SUPPRESSED_LICENSE_CONVERSION UNBLOCK_USER_SESSION
    UNMANAGED_USERS_BULK_UPLOAD UPDATE_GROUP_MEMBER
    UPDATE_GROUP_MEMBER_DELIVERY_SETTINGS
    UPDATE_GROUP_MEMBER_DELIVERY_SETTINGS_CAN_EMAIL_OVERRIDE UPDATE_ROLE
    USERS_BULK_UPLOAD USER_INVITE USER_PUT_IN_TWO_STEP_VERIFICATION_GRACE_PERIOD
    VIEW_TEMP_PASSWORD WHITELISTED_GROUPS_UPDATED
groups_enterprise: add_membership_expiry create_namespace delete_namespace invite_member
    reject_invitation reject_join_request remove_membership_expiry request_to_join
    revoke_invitation unban_member update_membership_expiry
groups: always_post_from_user change_email_subscription_type invite_user
    moderate_message reinvite_user reject_join_request request_to_join
    request_to_join_via_mail revoke_invitation
login: blocked_sender email_forwarding_out_of_domain gov_attack_warning login_challenge
    login_failure login_success login_verification logout suspicious_login
user_accounts: email_forwarding_out_of_domain
token: activity request
"""

TYPES: Final[dict[str, str]] = table(COUNTERPARTS, _WITHOUT)
"""Application and event at Google and the type here, `other.…` without counterpart."""

OF_ACTOR: Final = frozenset(
    {
        "groups.accept_invitation",
        "groups.join",
        "groups.join_via_mail",
        "groups.unsubscribe_via_mail",
        "groups_enterprise.accept_invitation",
        "groups_enterprise.join",
        "login.passkey_enrolled",
        "login.passkey_removed",
        "token.authorize",
        "token.revoke",
        *(f"login.{name}" for name in _OWN_ACCOUNT),
        *(f"user_accounts.{name}" for name in _OWN_ACCOUNT),
    }
)
"""Events whose account, or group's member, is the actor: they name no other."""
