"""The certificate that is served with, taken from two files and renewed with them."""

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from cryptography import x509

from provlog.server.errors import ConfigurationError
from provlog.server.files import is_open_to_others, require_regular

logger = logging.getLogger(__name__)

MAX_FILE: Final = 1 << 20

_WEAK = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")

_Seen: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class ServerCertificate:
    """A chain of certificates and its key, as PEM files that others may renew.

    `context` is what the next connection is to be served with, and `expires` until
    when others accept it, in Unix seconds. Raises `ConfigurationError` where the files
    do not hold a pair.
    """

    def __init__(self, chain: Path, key: Path, client_ca: Path | None = None) -> None:
        self._files = (chain, key)
        self._client_ca = client_ca
        self._seen = self._look()
        self.context = load_context(chain, key, client_ca)
        self.expires = _expires(chain)

    def refresh(self) -> bool:
        """Take up the files if they changed; tell whether there is a new context.

        Files that do not hold a pair are logged, once for each state they are in, and
        the pair before them stays in use.
        """
        # Looked at before they are read: what changes meanwhile is read the next time.
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            context = load_context(*self._files, self._client_ca)
            self.expires = _expires(self._files[0])
            self.context = context
        except ConfigurationError as error:
            logger.error("the certificate in use stays: %s", error)
            return False
        logger.info("%s was renewed, and is in use", self._files[0])
        return True

    def _look(self) -> _Seen:
        return tuple(_mark(path) for path in self._files)


def load_context(
    chain: Path, key: Path, client_ca: Path | None = None
) -> ssl.SSLContext:
    """Return a context that serves TLS 1.2 and later with a pair of PEM files.

    With `client_ca` clients may show a certificate that one of its authorities signed.
    Raises `ConfigurationError` with what is wrong: a file that is not there, damaged,
    or open to others, a key that is encrypted or not the certificate's.
    """
    require_regular(key)
    require_regular(chain)
    _require_private(key)
    leaf = _read_leaf(chain)
    if leaf.not_valid_after_utc < datetime.now(UTC):
        logger.warning("the certificate in %s has expired", chain)
    context = _make_context(client_ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])

    def refuse_password() -> NoReturn:
        # Without this OpenSSL would ask for it on the terminal.
        raise ConfigurationError(f"{key} is encrypted: decrypt it, with mode 0600")

    try:
        context.load_cert_chain(chain, key, refuse_password)
    except ssl.SSLError as error:
        raise ConfigurationError(_explain(error, chain, key)) from None
    except OSError as error:
        raise ConfigurationError(f"{key}: {error.strerror}") from None
    return context


def _make_context(client_ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if client_ca is not None:
        require_regular(client_ca)
        try:
            context.load_verify_locations(client_ca)
        except (ssl.SSLError, OSError):
            raise ConfigurationError(
                f"{client_ca} does not hold certificates in PEM form"
            ) from None
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _explain(error: ssl.SSLError, chain: Path, key: Path) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{key} is not the key of {chain}"
    if error.reason in _WEAK:
        return f"{chain} is too weak to be served with ({error.reason})"
    return f"{key} does not hold a key in PEM form"


def _require_private(key: Path) -> None:
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise ConfigurationError(f"{key}: {error.strerror}") from None
    if is_open_to_others(key, mode):
        raise ConfigurationError(f"{key} is open to others: chmod 600 it")


def _read_leaf(chain: Path) -> x509.Certificate:
    try:
        with chain.open("rb") as file:
            return x509.load_pem_x509_certificates(file.read(MAX_FILE))[0]
    except OSError as error:
        raise ConfigurationError(f"{chain}: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(
            f"{chain} does not hold certificates in PEM form"
        ) from None


def _expires(chain: Path) -> float:
    return _read_leaf(chain).not_valid_after_utc.timestamp()


def _mark(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file, its mode included; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ctime_ns, found.st_size, found.st_ino
