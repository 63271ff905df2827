"""What a monitor is told to do: a TOML file, or the options of one log.

Everything that can be found out without asking anybody is found out here: keys,
policies, files of secrets. Paths are relative to the folder of the file.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from provlog.client.alerting.alerts import SEVERITIES, Severity
from provlog.client.alerting.mail import Encryption, MailSettings
from provlog.client.errors import UsageError
from provlog.client.memory import default_folder
from provlog.client.monitoring.alarms import REPEAT
from provlog.client.monitoring.freshness import Freshness
from provlog.client.monitoring.symptoms import PATIENCE
from provlog.client.monitoring.tables import Table
from provlog.client.secret_files import read_secret
from provlog.merkle.errors import MerkleError
from provlog.merkle.policy import MAX_POLICY_SIZE
from provlog.merkle.trust import Trust

MAX_LOGS: Final = 1000
TOLERANCE: Final = 300.0
MAX_AGE: Final = 86_400.0
MIN_SECRET: Final = 16


@dataclass(frozen=True, slots=True)
class LogConfig:
    """One log to follow. Times are in seconds.

    `pause` is the least time between two looks, `wait` how long the log may hold an
    answer back. `full` reads every entry; `mirror` and `rules` need that.
    """

    url: str
    log: str
    trust: Trust
    token: str | None = field(default=None, repr=False)
    insecure: bool = False
    pause: float = 10.0
    wait: float = 30.0
    full: bool = False
    mirror: Path | None = None
    rules: Path | None = None
    freshness: Freshness = field(default_factory=lambda: Freshness(MAX_AGE, TOLERANCE))
    unreachable_after: float = PATIENCE

    @property
    def origin(self) -> str:
        """The log's origin."""
        return self.trust.origin


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """A webhook for alerts of severity `least` and worse."""

    url: str
    secret: str | None = field(repr=False)
    least: Severity


@dataclass(frozen=True, slots=True)
class MailConfig:
    """A mail server for alerts of severity `least` and worse."""

    settings: MailSettings
    least: Severity


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """Which logs, where the state is kept, who is told, and where it is shown.

    `parallel` is how many downloads of entries run at a time for each of at most
    `passes` logs that are read at a time.
    """

    logs: tuple[LogConfig, ...]
    state: Path
    listen: str | None = None
    insecure_listen: bool = False
    repeat: float = REPEAT
    webhook: WebhookConfig | None = None
    mail: MailConfig | None = None
    parallel: int = 4
    passes: int = 8


def read_config(path: Path) -> MonitorConfig:
    """Return what a file says; raises `UsageError`, which says where it is wrong."""
    table = Table.read(path)
    logs = tuple(_log(each) for each in table.tables("log", MAX_LOGS))
    if not logs:
        raise table.fault("log", "no log to follow: write [[log]]")
    _require_distinct(table, logs)
    alerts = table.table("alerts")
    config = MonitorConfig(
        logs,
        table.path("state") or default_folder(),
        table.text("listen"),
        table.flag("insecure_listen"),
        (alerts.span("repeat") if alerts else None) or REPEAT,
        _webhook(alerts.table("webhook") if alerts else None),
        _mail(alerts.table("mail") if alerts else None),
        table.whole("parallel", 4, 1, 64),
        table.whole("passes", 8, 1, 64),
    )
    if alerts is not None:
        alerts.finish()
    table.finish()
    return config


def _log(table: Table) -> LogConfig:
    token_file = table.path("token_file")
    mirror, rules = table.path("mirror"), table.path("rules")
    config = LogConfig(
        table.need("url"),
        table.text("log") or "main",
        _trust(table),
        None if token_file is None else read_secret(token_file, MIN_SECRET),
        table.flag("insecure"),
        table.span("interval") or 10.0,
        30.0,
        table.flag("full") or mirror is not None or rules is not None,
        mirror,
        rules,
        Freshness(
            table.span("max_age") or MAX_AGE, table.span("tolerance") or TOLERANCE
        ),
        table.span("unreachable_after") or PATIENCE,
    )
    table.finish()
    return config


def _trust(table: Table) -> Trust:
    key, policy, origin = (
        table.text("log_key"),
        table.path("policy"),
        table.text("origin"),
    )
    if (key is None) == (policy is None):
        raise table.fault("log_key", "give the log's key, or a policy, and not both")
    try:
        if policy is None:
            return Trust.from_log_key(key or "", origin)
        with policy.open("rb") as file:
            return Trust.from_policy(file.read(MAX_POLICY_SIZE + 1), origin)
    except MerkleError as error:
        name = "log_key" if policy is None else "policy"
        raise table.fault(name, str(error)) from None
    except OSError as error:
        raise table.fault("policy", f"{policy}: {error.strerror}") from None


def _require_distinct(table: Table, logs: tuple[LogConfig, ...]) -> None:
    for origin, count in Counter(each.origin for each in logs).items():
        if count > 1:
            raise table.fault(
                "log",
                f"{origin} twice: follow its mirror with another monitor, which has "
                "another state",
            )
    places = Counter((each.mirror, each.log) for each in logs if each.mirror)
    for (folder, name), count in places.items():
        if count > 1:
            raise table.fault(
                "log", f"two logs named {name} would be copied to one place in {folder}"
            )


def _webhook(table: Table | None) -> WebhookConfig | None:
    if table is None:
        return None
    secret = table.path("secret_file")
    config = WebhookConfig(
        table.need("url"),
        None if secret is None else read_secret(secret, MIN_SECRET),
        _least(table),
    )
    table.finish()
    return config


def _mail(table: Table | None) -> MailConfig | None:
    if table is None:
        return None
    password = table.path("password_file")
    encryption = table.choice(
        "encryption", ("starttls", "implicit", "none"), "starttls"
    )
    port = {"starttls": 587, "implicit": 465, "none": 25}[encryption]
    try:
        settings = MailSettings(
            table.need("host"),
            table.need("from"),
            table.texts("to"),
            table.whole("port", port, 1, 65535),
            cast("Encryption", encryption),
            table.text("user"),
            None if password is None else read_secret(password),
        )
    except UsageError as error:
        if str(error).startswith("mail: "):
            raise table.fault("mail", str(error).removeprefix("mail: ")) from None
        raise
    config = MailConfig(settings, _least(table))
    table.finish()
    return config


def _least(table: Table) -> Severity:
    return cast("Severity", table.choice("severity", SEVERITIES, "warning"))
