"""Okta's event types for provisioning, access and governance, and what each becomes.

The names are those of Okta's catalogue ("Event Types", its CSV of August 2026), spelled
as there. Those with a counterpart in provlog's vocabulary stand in `COUNTERPARTS`; the
others are listed by name so that it is said of each that it has none. A type that is in
neither becomes `other.…` as well.

Why some have none:

- `application.provision.*`, `app.user_management.*`, `app.realtimesync.*`,
  `application.account.*`, `application.user_membership.provision` and `.deprovision`
  tell of an account or a group inside an application. `account.*` and `group.*` are
  those at Okta: under them a search for an account's deletion would find one that is
  alive. How a record names the foreign account the catalogue does not say.
- `system.import.*`, `scheduled_action.*` and `app.access_request.grant` are steps of a
  job or a request. Taken for the change itself, which has a type of its own
  (`user.lifecycle.create`, `application.user_membership.add`), it could count twice.
- `access.*`, `certification.*` and `iam.role.*` tell of requests, reviews and of what a
  role is, not of who holds it.
- Orgs, agents, workload principals and devices are no accounts here.
"""

from typing import Final

from provlog.server.intake.connectors.type_tables import table

COUNTERPARTS: Final[dict[str, str]] = {
    "app.keys.clone": "credential.create",
    "app.keys.generate": "credential.create",
    "app.keys.rotate": "credential.update",
    "app.oauth2.client.privilege.grant": "role.assign",
    "app.oauth2.client.privilege.revoke": "role.revoke",
    "app.oauth2.credentials.lifecycle.activate": "credential.update",
    "app.oauth2.credentials.lifecycle.create": "credential.create",
    "app.oauth2.credentials.lifecycle.deactivate": "credential.update",
    "app.oauth2.credentials.lifecycle.delete": "credential.revoke",
    "app.policy.sign_on.update": "policy.update",
    "application.policy.sign_on.rule.create": "policy.update",
    "application.policy.sign_on.rule.delete": "policy.update",
    "application.policy.sign_on.update": "policy.update",
    "application.registration_policy.lifecycle.create": "policy.create",
    "application.registration_policy.lifecycle.update": "policy.update",
    "application.user_membership.add": "app.assign",
    "application.user_membership.approve": "app.assign",
    "application.user_membership.remove": "app.unassign",
    "application.user_membership.restore": "app.assign",
    "application.user_membership.revoke": "app.unassign",
    "credential.register": "credential.create",
    "credential.revoke": "credential.revoke",
    "device.assurance.policy.add": "policy.create",
    "device.assurance.policy.delete": "policy.delete",
    "device.assurance.policy.update": "policy.update",
    "group.application_assignment.add": "app.assign",
    "group.application_assignment.remove": "app.unassign",
    "group.lifecycle.create": "group.create",
    "group.lifecycle.delete": "group.delete",
    "group.privilege.grant": "role.assign",
    "group.privilege.revoke": "role.revoke",
    "group.profile.update": "group.update",
    "group.user_membership.add": "group.member.add",
    "group.user_membership.remove": "group.member.remove",
    "iam.policy.assignee_configuration.update": "policy.update",
    "iam.policy.configuration.update": "policy.update",
    "iam.resourceset.bindings.add": "role.assign",
    "iam.resourceset.bindings.delete": "role.revoke",
    "pam.apikey.delete": "credential.revoke",
    "pam.apikey.rotate": "credential.update",
    "pam.client_enrollment_policies.create": "policy.create",
    "pam.client_enrollment_policies.delete": "policy.delete",
    "pam.client_enrollment_policies.update": "policy.update",
    "pam.security_policy.create": "policy.create",
    "pam.security_policy.delete": "policy.delete",
    "pam.security_policy.update": "policy.update",
    "pam.workload_connection.api_key.create": "credential.create",
    "pam.workload_connection.api_key.revoke": "credential.revoke",
    "pam.workload_connection.api_key.update": "credential.update",
    "policy.lifecycle.activate": "policy.update",
    "policy.lifecycle.create": "policy.create",
    "policy.lifecycle.deactivate": "policy.update",
    "policy.lifecycle.delete": "policy.delete",
    "policy.lifecycle.overwrite": "policy.update",
    "policy.lifecycle.update": "policy.update",
    "policy.mapping.create": "policy.update",
    "policy.rule.activate": "policy.update",
    "policy.rule.add": "policy.update",
    "policy.rule.deactivate": "policy.update",
    "policy.rule.delete": "policy.update",
    "policy.rule.invalidate": "policy.update",
    "policy.rule.update": "policy.update",
    "system.api_token.create": "credential.create",
    "system.api_token.enable": "credential.update",
    "system.api_token.revoke": "credential.revoke",
    "system.api_token.update": "credential.update",
    "system.idp.key.create": "credential.create",
    "system.idp.key.delete": "credential.revoke",
    "system.idp.key.update": "credential.update",
    "user.account.expire_password": "credential.update",
    "user.account.lock": "account.lock",
    "user.account.lock.limit": "account.lock",
    "user.account.privilege.grant": "role.assign",
    "user.account.privilege.revoke": "role.revoke",
    "user.account.reset_password": "credential.update",
    "user.account.unlock": "account.unlock",
    "user.account.unlock_by_admin": "account.unlock",
    "user.account.update_password": "credential.update",
    "user.account.update_primary_email": "account.update",
    "user.account.update_profile": "account.update",
    "user.account.update_secondary_email": "account.update",
    "user.account.update_user_type": "account.update",
    "user.credential.enroll": "credential.create",
    "user.import.password": "credential.update",
    "user.lifecycle.activate": "account.enable",
    "user.lifecycle.create": "account.create",
    "user.lifecycle.deactivate": "account.disable",
    "user.lifecycle.delete.completed": "account.delete",
    "user.lifecycle.reactivate": "account.enable",
    "user.lifecycle.suspend": "account.disable",
    "user.lifecycle.unsuspend": "account.enable",
    "user.mfa.factor.activate": "credential.create",
    "user.mfa.factor.deactivate": "credential.revoke",
    "user.mfa.factor.reset_all": "credential.revoke",
    "user.mfa.factor.suspend": "credential.update",
    "user.mfa.factor.unsuspend": "credential.update",
    "user.mfa.factor.update": "credential.update",
    "workflows.user.role.group.add": "role.assign",
    "workflows.user.role.group.remove": "role.revoke",
    "workflows.user.role.user.add": "role.assign",
    "workflows.user.role.user.remove": "role.revoke",
    "workload_principal.ai_agent.credential.activate": "credential.update",
    "workload_principal.ai_agent.credential.create": "credential.create",
    "workload_principal.ai_agent.credential.deactivate": "credential.update",
    "workload_principal.ai_agent.credential.delete": "credential.revoke",
}

_WITHOUT: Final = """\
user.lifecycle: delete.initiated jit.error.read_only password_mass_expiry
user.account: preference_update report_suspicious_activity_by_enduser
    subscriptions.update unlock_failure unlock_token use_token
user.session.impersonation: end extend grant initiate revoke
group: application_assignment.skip_assignment_reconcile application_assignment.update
    user_membership.rule.add_exclusion user_membership.rule.deactivated
    user_membership.rule.error user_membership.rule.evaluation
    user_membership.rule.invalidate user_membership.rule.trigger
access: request.cancel request.condition.activate request.condition.create
    request.condition.deactivate request.condition.delete request.condition.invalidate
    request.condition.update request.create request.expire request.reject
    request.resolve request.sequence.create request.sequence.delete
    request.sequence.update request.settings.update request.update review.action
    review.close review.create review.remediate review.start review.update
certification: campaign.close campaign.context.update campaign.create campaign.delete
    campaign.item.decide campaign.item.remediate campaign.launch campaign.update
    remediation.open
iam: resourceset.create resourceset.delete resourceset.resources.add
    resourceset.resources.delete resourceset.resources.update resourceset.update
    role.create role.delete role.permission.conditions.add
    role.permission.conditions.delete role.permissions.add role.permissions.delete
    role.subscriptions.update role.update
directory: app_user_profile.bootstrap app_user_profile.update
    external.group.membership.add external.group.membership.remove
    linked_object.create linked_object.delete mapping.update
    non_default_user_profile.create user_profile.bootstrap user_profile.update
application.account: decision.confirm decision.ignore decision.revoke detect
    match.update remove
application.lifecycle: activate create deactivate delete update
application.policy: sign_on.deny_access
application.provision: field_mapping_rule.change group.add group.import group.remove
    group.update group.verify_exists group_membership.add group_membership.import
    group_membership.remove group_membership.update group_push.activate_mapping
    group_push.deactivate_mapping group_push.delete_appgroup
    group_push.mapping.and.groups.deleted.rule.deleted
    group_push.mapping.app.group.renamed group_push.mapping.app.group.renamed.failed
    group_push.mapping.created
    group_push.mapping.created.from.rule.warning.duplicate.name
    group_push.mapping.created.from.rule.warning.duplicate.name.tobecreated
    group_push.mapping.created.from.rule.warning.upsertGroup.duplicate.name
    group_push.mapping.deactivated.source.group.renamed
    group_push.mapping.deactivated.source.group.renamed.failed
    group_push.mapping.update.or.delete.failed
    group_push.mapping.update.or.delete.failed.with.error group_push.push_memberships
    group_push.pushed group_push.removed group_push.updated integration.call_api
    user.activate user.deactivate user.delete user.delete.schedule user.deprovision
    user.import user.import_profile user.password user.push user.push_okta_password
    user.push_password user.push_profile user.reactivate user.remove_entitlements
    user.remove_entitlements.schedule user.sync user.verify_exists
application.user_membership: change_password change_username deprovision provision
    restore_password show_password update
master_application: user_membership.add
app.access_request: approver.approve approver.deny delete deny expire grant request
app.app_instance.provision_sync_job: completed failed started
app.cross_app_access: connection.create connection.delete connection.update
app.interclient_mapping: create delete delete_all
app.oauth2.client.lifecycle: activate create deactivate delete update
app.oauth2.trusted_server: add delete
app.office365.user: delete.success lifecycle.action.failed remove.licenses.success
app.realtimesync: import.details.add_user import.details.delete_user
    import.details.update_user
app: user_management
app.user_management: grouppush.mapping.created.from.rule
    grouppush.mapping.created.from.rule.error.duplicate
    grouppush.mapping.created.from.rule.error.validation
    grouppush.mapping.created.from.rule.errors grouppush.mapping.okta.users.ignored
    import.csv.line.error push_new_user_success update_from_master_failed
    user_group_import.create_failure user_group_import.delete_success
    user_group_import.update_failure user_group_import.upsert_fail
    user_group_import.upsert_success
device.enrollment: create
device.lifecycle: activate deactivate delete suspend unsuspend
device.local_account: create
device.user: add remove
integration.api_service: lifecycle.authorize lifecycle.revoke
oauth2: as.activated as.created as.deactivated as.deleted as.updated claim.created
    claim.deleted claim.updated scope.created scope.deleted scope.updated
pam.user: create remove update
pam.group: bulk_membership_change create delete
pam.member: add remove
pam.permission: change
pam.password: change reset
pam.service_account: assign create delete password.reveal password.update
    password_rotation.end password_rotation.start update
pam.entitlement_sudo: add_to_project create remove remove_from_project update
pam.security_policy: evaluate
pam.project: add_group create delete remove_group update
pam.workload_role: create delete update
pam.workload_connection: api_key.rotation.activate api_key.rotation.create
    api_key.rotation.delete create delete update
policy.rule: action.execute
scheduled_action: user_suspension.canceled user_suspension.completed
    user_suspension.scheduled user_suspension.updated
security.authenticator.lifecycle: activate create deactivate update
self_service: disabled enabled
system.api_token: request_outside_allowed_range
system.idp.lifecycle: activate create deactivate delete read_client_secret update
system.import.user: complete create delete match start suspend unsuspend
    unsuspend_after_confirm update update_user_lifecycle_from_master
system.import.group: complete create delete start update
system.import: entitlement entitlement.mismatch
workload_principal: activate deactivate delegation_link.create delegation_link.delete
    delete register resource_connection.activate resource_connection.create
    resource_connection.deactivate resource_connection.delete
    resource_connection.update sign_on_provider.add sign_on_provider.remove update
zone: activate create deactivate delete make_blacklist remove_blacklist update
"""

TYPES: Final[dict[str, str]] = table(COUNTERPARTS, _WITHOUT)
"""Okta's `eventType` and the type here, `other.…` where there is no counterpart."""
