"""Telling people that a log is not as it should be: what is told, and by which way.

An alert is put on disk before anybody is told, and stays there until each way it is to
go has taken it: a receiver that is down, or a monitor that is killed, delays it.
"""

from provlog.client.alerting.alerts import Alert, Phase, Severity, trial_alert
from provlog.client.alerting.backlog import Backlog
from provlog.client.alerting.mail import Mail, MailSettings
from provlog.client.alerting.sending import Channel, DeliveryError, Sender
from provlog.client.alerting.webhook import Webhook

__all__ = [
    "Alert",
    "Backlog",
    "Channel",
    "DeliveryError",
    "Mail",
    "MailSettings",
    "Phase",
    "Sender",
    "Severity",
    "Webhook",
    "trial_alert",
]
