"""Which of Entra's audit activities have a counterpart in provlog's vocabulary.

The names are those of Microsoft's reference of audit activities, as of
`activityDisplayName`; "Add app role assignment grant to user" is not in it, though the
directory writes it. They are compared without regard to case, to what is blank, to a
stop at the end and to the kind of a dash.

Of PIM what came about counts: what was asked for, denied or called off stays `other.…`.
To be eligible for a role is an entitlement; to hold it is the role. A restore is the
counterpart of a delete, so it is a create.
"""

from typing import Final

from provlog.server.intake.connectors.building import other_type

AUDIT_TYPES: Final = {
    # Core Directory: users
    "Add user": "account.create",
    "Change user license": "account.update",
    "Change user password": "credential.update",
    "Convert federated user to managed": "account.update",
    "Create application password for user": "credential.create",
    "Delete application password for user": "credential.revoke",
    "Delete user": "account.delete",
    "Disable account": "account.disable",
    "Disable Strong Authentication": "account.update",
    "Enable account": "account.enable",
    "Enable Strong Authentication": "account.update",
    "Hard Delete user": "account.delete",
    "Reset password": "credential.update",
    "Restore user": "account.create",
    "Set force change user password": "credential.update",
    "Set user manager": "account.update",
    "Update user": "account.update",
    # Core Directory: groups
    "Add group": "group.create",
    "Add member to group": "group.member.add",
    "Add owner to group": "entitlement.grant",
    "Delete group": "group.delete",
    "Hard Delete group": "group.delete",
    "Remove member from group": "group.member.remove",
    "Remove owner from group": "entitlement.revoke",
    "Restore group": "group.create",
    "Set group license": "group.update",
    "Set group to be managed by user": "group.update",
    "Update group": "group.update",
    # Core Directory: roles
    "Add eligible member to role": "entitlement.grant",
    "Add EligibleRoleAssignment to RoleDefinition": "entitlement.grant",
    "Add member to role": "role.assign",
    "Add member to role scoped over Restricted Management Administrative Unit": (
        "role.assign"
    ),
    "Add role assignment to role definition": "role.assign",
    "Add scoped member to role": "role.assign",
    "Remove eligible member from role": "entitlement.revoke",
    "Remove EligibleRoleAssignment from RoleDefinition": "entitlement.revoke",
    "Remove member from role": "role.revoke",
    "Remove member from role scoped over Restricted Management Administrative Unit": (
        "role.revoke"
    ),
    "Remove role assignment from role definition": "role.revoke",
    "Remove scoped member from role": "role.revoke",
    # Core Directory: applications
    "Add app role assignment grant to user": "app.assign",
    "Add app role assignment to group": "app.assign",
    "Add app role assignment to service principal": "entitlement.grant",
    "Add delegated permission grant": "entitlement.grant",
    "Add owner to application": "entitlement.grant",
    "Add owner to service principal": "entitlement.grant",
    "Add service principal": "account.create",
    "Add service principal credentials": "credential.create",
    "Consent to application": "entitlement.grant",
    "Grant contextual consent to application": "entitlement.grant",
    "Hard delete service principal": "account.delete",
    "Remove app role assignment from group": "app.unassign",
    "Remove app role assignment from service principal": "entitlement.revoke",
    "Remove app role assignment from user": "app.unassign",
    "Remove delegated permission grant": "entitlement.revoke",
    "Remove owner from application": "entitlement.revoke",
    "Remove owner from service principal": "entitlement.revoke",
    "Remove service principal": "account.delete",
    "Remove service principal credentials": "credential.revoke",
    "Restore service principal": "account.create",
    "Update application - Certificates and secrets management": "credential.update",
    "Update service principal": "account.update",
    # Core Directory and Conditional Access: policies
    "Add Conditional Access policy": "policy.create",
    "Add named location": "policy.create",
    "Add permission grant policy": "policy.create",
    "Add policy": "policy.create",
    "Authentication Methods Policy Reset": "policy.update",
    "Authentication Methods Policy Update": "policy.update",
    "Delete Conditional Access policy": "policy.delete",
    "Delete named location": "policy.delete",
    "Delete permission grant policy": "policy.delete",
    "Delete policy": "policy.delete",
    "Set password policy": "policy.update",
    "Update authorization policy": "policy.update",
    "Update Conditional Access policy": "policy.update",
    "Update named location": "policy.update",
    "Update permission grant policy": "policy.update",
    "Update policy": "policy.update",
    "Update security defaults": "policy.update",
    # Privileged Identity Management
    "Add eligible member to role in PIM completed (permanent)": "entitlement.grant",
    "Add eligible member to role in PIM completed (timebound)": "entitlement.grant",
    "Add member to role completed (PIM activation)": "role.assign",
    "Add member to role in PIM completed (permanent)": "role.assign",
    "Add member to role in PIM completed (timebound)": "role.assign",
    "Add member to role outside of PIM (permanent)": "role.assign",
    "Remove eligible member from role in PIM completed (permanent)": (
        "entitlement.revoke"
    ),
    "Remove eligible member from role in PIM completed (timebound)": (
        "entitlement.revoke"
    ),
    "Remove member from role (PIM activation expired)": "role.revoke",
    "Remove member from role completed (PIM deactivate)": "role.revoke",
    "Remove member from role in PIM completed (permanent)": "role.revoke",
    "Remove member from role in PIM completed (timebound)": "role.revoke",
    "Remove permanent direct role assignment": "role.revoke",
    "Remove permanent eligible role assignment": "entitlement.revoke",
    "Update role setting in PIM": "policy.update",
    # Entitlement management
    "Add Entitlement Management role assignment": "role.assign",
    "Create access package assignment policy": "policy.create",
    "Delete access package assignment policy": "policy.delete",
    "Fulfill access package resource assignment": "entitlement.grant",
    "Remove access package resource assignment": "entitlement.revoke",
    "Remove Entitlement Management role assignment": "role.revoke",
    "Update access package assignment policy": "policy.update",
    # Authentication methods, device registration, self-service passwords
    "Add FIDO2 security key": "credential.create",
    "Add passwordless phone sign-in credential": "credential.create",
    "Add platform credential": "credential.create",
    "Add users strong authentication phone app detail": "credential.create",
    "Add Windows Hello for Business credential": "credential.create",
    "Admin deleted security info": "credential.revoke",
    "Admin registered security info": "credential.create",
    "Admin updated security info": "credential.update",
    "Change password (self-service)": "credential.update",
    "Delete FIDO2 security key(s)": "credential.revoke",
    "Delete passwordless phone sign-in credential": "credential.revoke",
    "Delete platform credential": "credential.revoke",
    "Delete Windows Hello for Business credential": "credential.revoke",
    "Remove users strong authentication phone app detail": "credential.revoke",
    "Reset password (by admin)": "credential.update",
    "Reset password (self-service)": "credential.update",
    "Unlock user account (self-service)": "account.unlock",
    "User deleted security info": "credential.revoke",
    "User registered security info": "credential.create",
    "User updated security info": "credential.update",
}

_WITHOUT: Final = """
Add administrative unit
Add application
Add eligible member to role in PIM canceled (permanent)
Add eligible member to role in PIM canceled (renew)
Add eligible member to role in PIM canceled (timebound)
Add eligible member to role in PIM requested (permanent)
Add eligible member to role in PIM requested (renew)
Add eligible member to role in PIM requested (timebound)
Add member to administrative unit
Add member to role approval requested (PIM activation)
Add member to role canceled (PIM activation)
Add member to role in PIM canceled (permanent)
Add member to role in PIM canceled (renew)
Add member to role in PIM canceled (timebound)
Add member to role in PIM requested (permanent)
Add member to role in PIM requested (renew)
Add member to role in PIM requested (timebound)
Add member to role request approved (PIM activation)
Add member to role request denied (PIM activation)
Add member to role requested (PIM activation)
Add role definition
Access review ended
Administrator directly assigns user to access package
Administrator directly removes user access package assignment
Apply decision
Apply review
Approve access package assignment request
Approve decision
Auto apply review
Auto approve access package assignment request
Auto review
Bulk Approve decisions
Bulk Deny decisions
Bulk Reset decisions
Cancel access package assignment request
Create access package
Create access package catalog
Create access review
Delete access package
Delete access package assignment request
Delete access package catalog
Delete access review
Delete application
Delete external user
Delete role definition
Deny access package assignment request
Deny decision
Entitlement Management creates access package assignment request for user
Entitlement Management removes access package assignment request for user
Extend access package assignment
Failed access package assignment request
Fulfill access package assignment request
Hard Delete application
Invite external user
PIM activation request expired
Partially fulfill access package assignment request
Ready to fulfill access package assignment request
Redeem external user invite
Remove eligible member from role in PIM requested (permanent)
Remove eligible member from role in PIM requested (timebound)
Remove member from administrative unit
Remove member from role in PIM requested (permanent)
Remove member from role in PIM requested (timebound)
Remove member from role requested (PIM deactivate)
Request approved
Request denied
Request expired
Reset decision
Restore application
Restore eligible member from role in PIM completed
Restore member from role
Restore member from role in PIM completed
Restore permanent direct role assignment
Restore permanent eligible role assignment
Schedule a future access package assignment
Update access package
Update access package assignment request
Update access package catalog
Update access review
Update application
Update role definition
User requests access package assignment
User requests to extend access package assignment
User requests to remove access package assignment
"""
AUDIT_OTHERS: Final = {name: other_type(name) for name in _WITHOUT.strip().splitlines()}
"""What grants, changes or takes nothing yet, or nothing that has a word here."""


def audit_type(activity: str) -> str | None:
    """Return the counterpart of an activity, None where there is none."""
    return _BY_NAME.get(_plain(activity))


def _plain(activity: str) -> str:
    words = activity.lower().translate(_DASHES).rstrip(" .").split()
    return " ".join(words)


# What is written as a hyphen here is an en dash there, and elsewhere an em dash.
_DASHES: Final = {0x2013: "-", 0x2014: "-"}
_BY_NAME: Final = {_plain(name): ours for name, ours in AUDIT_TYPES.items()}
