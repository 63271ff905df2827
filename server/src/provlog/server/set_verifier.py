"""Whether a security event token is one of a source's: issuer, signature, audience.

The `[[issuers]]` of the source's settings say who may issue, for whom, and where the
keys are; the codes of a refusal are those of RFC 8935 section 2.4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from yarl import URL

from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import MalformedError, MerkleError, SignatureError
from provlog.merkle.event_tokens import (
    MAX_AUDIENCES,
    Claims,
    VerifiedSet,
    WrongAudienceError,
    open_unverified,
    verify_opened,
)
from provlog.merkle.jwk import ALGORITHMS
from provlog.merkle.jws import Token
from provlog.server.errors import ConfigurationError, UnavailableError
from provlog.server.hosts import is_loopback
from provlog.server.issuer_keys import FileKeys, KeySource, KnownKeys, RemoteKeys
from provlog.server.service import Service
from provlog.server.source_settings import SourceSettings

MAX_ISSUERS: Final = 100


class SetRefusedError(Exception):
    """A token is not accepted.

    `code` says why in the words of RFC 8935 section 2.4, `description` to a person; it
    repeats nothing of the token.
    """

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description


class IssuerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[issuers]]` of a source's settings.

    `audience` is one or several, of which a token has to name one. The keys are in a
    file beside the settings (JWK Set or PEM), or behind a URL (JWK Set).
    """

    issuer: str
    audience: str | list[str]
    jwks_url: str | None = None
    keys_file: str | None = None
    algorithms: tuple[str, ...] = ALGORITHMS


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who may issue tokens: for which audiences, with which algorithms and keys."""

    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    source: KeySource


class SetVerifier:
    """Verifies the tokens of one source, whose issuers are known by their `iss`."""

    def __init__(self, issuers: Mapping[str, Issuer]) -> None:
        self._issuers = issuers

    async def verify(self, text: str) -> VerifiedSet:
        """Return what a token says, once it is proved who says it.

        Raises `SetRefusedError`, and `KeysUnavailableError` where nothing can be said.
        """
        try:
            token, claims = open_unverified(text)
            issuer = self._issuers.get(claims.iss)
            if issuer is None:
                raise SetRefusedError("invalid_issuer", "no issuer of this source")
            return await _verify(token, claims, issuer)
        except MerkleError as error:
            raise SetRefusedError(_code_of(error), str(error)) from None

    async def verify_named(self, jti: str, text: JsonValue) -> VerifiedSet:
        """Return what a token says that came under a name, which has to be its `jti`.

        Raises as `verify` does.
        """
        if not isinstance(text, str):
            raise SetRefusedError("invalid_request", "no token in compact form")
        found = await self.verify(text)
        if found.claims.jti != jti:
            raise SetRefusedError("invalid_request", "the token has another jti")
        return found

    async def close(self) -> None:
        """End what is under way."""
        for issuer in self._issuers.values():
            await issuer.source.close()


async def _verify(token: Token, claims: Claims, issuer: Issuer) -> VerifiedSet:
    """Return a token that verifies, with keys as new as it takes to say that not."""

    def judge(known: KnownKeys) -> VerifiedSet:
        return verify_opened(
            token,
            claims,
            known.keys,
            audiences=issuer.audiences,
            algorithms=issuer.algorithms,
        )

    known = await issuer.source.keys(token.kid)
    try:
        return judge(known)
    except SignatureError:
        named = any(key.kid == token.kid for key in known.keys)
        accepted = token.algorithm in issuer.algorithms
        if known.current or not accepted or (token.kid is not None and named):
            raise
    return judge(await issuer.source.keys(token.kid, current=True))


class SetVerifiers:
    """What verifies the tokens of each source whose settings name issuers.

    Raises `ConfigurationError` where one of them is not as it has to be.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._verifiers: dict[SourceSettings, SetVerifier] = {}
        for settings in service.settings.sources.values():
            if settings.issuers:
                self._verifiers[settings] = make_verifier(settings)

    def find(self, log: str, source: str) -> SetVerifier:
        """Return the one of a source; `UnavailableError` where nobody may issue yet."""
        settings = self._service.settings.find(log, source)
        if settings is None or not settings.issuers:
            raise UnavailableError("the source's settings name no issuers")
        if settings not in self._verifiers:
            self._verifiers[settings] = make_verifier(settings)
        return self._verifiers[settings]

    async def close(self) -> None:
        """End what is under way."""
        for verifier in self._verifiers.values():
            await verifier.close()


def make_verifier(settings: SourceSettings) -> SetVerifier:
    """Return what verifies a source's tokens.

    Raises `ConfigurationError` where there is no issuer, or one is not as it has to be.
    """
    if not 1 <= len(settings.issuers) <= MAX_ISSUERS:
        raise ConfigurationError(
            f"{settings.path}: 1 to {MAX_ISSUERS} tables [[issuers]] say who issues"
            " tokens"
        )
    made: dict[str, Issuer] = {}
    for place, each in enumerate(settings.issuers, 1):
        where = f"{settings.path}: [[issuers]] {place}"
        try:
            issuer = msgspec.convert(dict(each), IssuerSettings)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        if issuer.issuer in made:
            raise ConfigurationError(f"{where}: the issuer is named twice")
        made[issuer.issuer] = _issuer(issuer, settings, where)
    return SetVerifier(made)


def _issuer(settings: IssuerSettings, source: SourceSettings, where: str) -> Issuer:
    named = settings.audience
    audiences = (named,) if isinstance(named, str) else tuple(named)
    if not 1 <= len(audiences) <= MAX_AUDIENCES or not all(audiences):
        raise ConfigurationError(f"{where}: audience names nobody, or too many")
    algorithms = settings.algorithms
    if not algorithms or not set(algorithms) <= set(ALGORITHMS):
        allowed = ", ".join(ALGORITHMS)
        raise ConfigurationError(f"{where}: algorithms are among {allowed}")
    return Issuer(audiences, algorithms, _keys(settings, source, where))


def _keys(settings: IssuerSettings, source: SourceSettings, where: str) -> KeySource:
    url, name = settings.jwks_url, settings.keys_file
    if (url is None) == (name is None):
        raise ConfigurationError(f"{where}: has jwks_url or keys_file")
    if url is not None:
        require_key_url(url, where)
        return RemoteKeys(url)
    path = source.file(str(name))
    try:
        return FileKeys(path)
    except OSError as error:
        raise ConfigurationError(f"{where}: {path}: {error.strerror}") from None
    except MalformedError as error:
        raise ConfigurationError(f"{where}: {path}: {error}") from None


def require_key_url(url: str, where: str) -> None:
    """Raise `ConfigurationError` unless keys may be fetched from there.

    That is by https, or by http from this machine itself.
    """
    try:
        parsed = URL(url)
    except ValueError:
        raise ConfigurationError(f"{where}: jwks_url is not a URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.user:
        raise ConfigurationError(f"{where}: jwks_url starts with https:// and a host")
    if parsed.scheme == "http" and not is_loopback(parsed.host):
        raise ConfigurationError(
            f"{where}: jwks_url is plain http: whoever is on the way could put keys"
            " of their own; use https"
        )


def _code_of(error: MerkleError) -> str:
    if isinstance(error, SignatureError):
        return "invalid_key"
    return (
        "invalid_audience"
        if isinstance(error, WrongAudienceError)
        else "invalid_request"
    )
