"""Alerts by mail: one message for each, handed to a mail server on a thread.

The connection is encrypted with STARTTLS, or from its start, and the server's
certificate is verified; plain text is for a server on this machine alone. A password
is sent over an encrypted connection only.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, Literal

from provlog.client.addresses import is_loopback
from provlog.client.alerting.alerts import Alert, Severity
from provlog.client.alerting.sending import DeliveryError
from provlog.client.errors import UsageError

TIMEOUT: Final = 20.0
MAX_RECIPIENTS: Final = 50

Encryption = Literal["starttls", "implicit", "none"]


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Which mail server, from whom and to whom. Raises `UsageError` for what is amiss.

    `password` goes with `user`; both or none.
    """

    host: str
    sender: str
    recipients: tuple[str, ...]
    port: int = 587
    encryption: Encryption = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.recipients) <= MAX_RECIPIENTS:
            raise UsageError(f"mail: has 1 to {MAX_RECIPIENTS} receivers")
        for address in (self.sender, *self.recipients):
            if "@" not in address or not address.isprintable() or " " in address:
                raise UsageError("mail: an address is not of the form name@host")
        if (self.user is None) != (self.password is None):
            raise UsageError("mail: a user needs a password file, and the other way")
        if self.encryption != "none":
            return
        if self.user is not None:
            raise UsageError("mail: a password is not sent without encryption")
        if not is_loopback(self.host):
            raise UsageError(
                "mail: alerts would travel unencrypted; leave out encryption = 'none'"
            )


class Mail:
    """Mails alerts of severity `least` and worse."""

    name = "mail"

    def __init__(
        self,
        settings: MailSettings,
        least: Severity = "warning",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._context = context
        self.least: Severity = least

    async def deliver(self, alert: Alert) -> None:
        """Hand one alert to the mail server; raises `DeliveryError` unless it took it.

        One receiver that was taken is enough: sent again, the others would not have
        it, and that one twice.
        """
        try:
            await asyncio.to_thread(self._send, self._message(alert))
        except smtplib.SMTPResponseException as error:
            alone = isinstance(error, smtplib.SMTPDataError)
            text = f"the mail server answered {error.smtp_code}"
            raise DeliveryError(text, alone=alone) from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise DeliveryError(f"not handed over ({type(error).__name__})") from None

    async def close(self) -> None:
        """Nothing is kept open."""

    def _message(self, alert: Alert) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._settings.sender
        message["To"] = ", ".join(self._settings.recipients)
        message["Subject"] = alert.headline()
        message["Date"] = format_datetime(datetime.fromtimestamp(alert.at / 1000, UTC))
        host = self._settings.sender.rpartition("@")[2]
        # The same for each attempt, so that a repetition can be recognised.
        message["Message-ID"] = f"<{alert.to_json()['id']}@{host}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(alert.message())
        return message

    def _send(self, message: EmailMessage) -> None:
        with self._connected() as server:
            if self._settings.user is not None and self._settings.password is not None:
                server.login(self._settings.user, self._settings.password)
            server.send_message(message)

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        host, port = self._settings.host, self._settings.port
        context = self._context or ssl.create_default_context()
        if self._settings.encryption == "implicit":
            with smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=context) as safe:
                yield safe
            return
        with smtplib.SMTP(host, port, timeout=TIMEOUT) as server:
            if self._settings.encryption == "starttls":
                server.starttls(context=context)
            yield server
