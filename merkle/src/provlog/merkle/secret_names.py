"""Which members of a provider's record are secrets: the rule of names.

Server and client share it. A server replaces what it names before anything is logged,
and a client accepts a kept record in which nothing else differs from the one it sent.

A name is compared in lower case, without hyphens, underscores and blanks. It is secret
if it is one of `NAMES` or ends in one of `SUFFIXES`, and is not one of `HARMLESS`. Of a
path (`passwordProfile.password`, `urn:…:User:password`) each part is looked at. Three
names say something only where they stand: `WITHIN`.

The lists follow the records of Okta (`credentials.password`, `recovery_question`),
Keycloak (`credentials[].value`, `secretData`), Entra (`passwordProfile`,
`passwordCredentials`), Auth0 (`details.request`), SCIM (`password`) and the headers of
HTTP. Ids, counters, times and types of secrets (`requestApiTokenId`, `tokenType`,
`passwordChanged`) are none.
"""

import re
from typing import Final

SUFFIXES: Final = (
    "accesskey",
    "apikey",
    "assertion",
    "cookie",
    "encryptionkey",
    "masterkey",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "passworddigest",
    "passwordhash",
    "passwordsalt",
    "privatekey",
    "pwd",
    "secret",
    "secretkey",
    "sharedkey",
    "signingkey",
    "symmetrickey",
    "token",
)
NAMES: Final = frozenset(
    {
        "authorization",
        "authorizationcode",
        "backupcodes",
        "bearer",
        "bindingcode",
        "codeverifier",
        "cookies",
        "devicecode",
        "hashedsaltedvalue",
        "hotp",
        "mfacode",
        "onetimecode",
        "onetimepassword",
        "oobcode",
        "otp",
        "otpcode",
        "passwordprofile",
        "passwords",
        "pin",
        "privatekeypem",
        "proxyauthorization",
        "recoverycode",
        "recoverycodes",
        "recoverykey",
        "salt",
        "samlresponse",
        "secretdata",
        "secrethash",
        "secrets",
        "secrettext",
        "secretvalue",
        "securityanswer",
        "tokens",
        "totp",
        "totpcode",
        "usercode",
        "userpin",
        "verificationcode",
        "xauthorization",
    }
)
HARMLESS: Final = frozenset(
    {
        "continuationtoken",
        "deltatoken",
        "nextpagetoken",
        "nexttoken",
        "pagetoken",
        "synctoken",
    }
)
"""Names of places in a list, which open nothing."""
WITHIN: Final = {
    "answer": frozenset({"recoveryquestion", "securityquestion"}),
    "hint": frozenset({"passwordcredentials"}),
    "value": frozenset({"credentials"}),
}
"""Names that are secret inside members of these names."""

LABELS: Final = frozenset(
    {
        "attribute",
        "attributename",
        "displayname",
        "field",
        "fieldname",
        "header",
        "headername",
        "key",
        "name",
        "parameter",
        "path",
        "property",
        "propertyname",
        "type",
    }
)
"""Members that name what the `VALUES` beside them are of."""
VALUES: Final = frozenset(
    {
        "after",
        "before",
        "current",
        "currentvalue",
        "defaultvalue",
        "from",
        "intvalue",
        "msgvalue",
        "multiintvalue",
        "multimsgvalue",
        "multivalue",
        "new",
        "newvalue",
        "newvalues",
        "old",
        "oldvalue",
        "oldvalues",
        "previous",
        "previousvalue",
        "stringvalue",
        "to",
        "value",
        "values",
    }
)

_FOLDED = bytes(range(256)).translate(
    bytes.maketrans(
        bytes(range(ord("A"), ord("Z") + 1)), bytes(range(ord("a"), ord("z") + 1))
    )
)
_FOLDED_TEXT = str.maketrans(
    {chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)}
    | dict.fromkeys("-_ ")
)
_PARTS = re.compile(r"[][.:/$@\"'\\()]+")
MAX_NAME: Final = 256
"""How long a name may be, in characters, of which the end is looked at."""

# Every name holds one of these. They are few, as each is looked for in every record.
_SIGNS = (
    b"answer",
    b"assertion",
    b"authorization",
    b"bearer",
    b"code",
    b"cookie",
    b"key",
    b"otp",
    b"pass",
    b"pin",
    b"pwd",
    b"salt",
    b"saml",
    b"secret",
    b"token",
)
_NAMES_WITH = {
    sign: [
        (name, re.compile(name + rb"(?:[^a-z0-9]|\Z)"))
        for name in sorted(each.encode() for each in {*SUFFIXES, *NAMES})
        if sign in name
    ]
    for sign in _SIGNS
}
_WITHIN = tuple(
    (holder.encode(), name.encode())
    for name, holders in WITHIN.items()
    for holder in sorted(holders)
)
_SCHEMES = (b"bearer", b"basic", b"ssws", b"dpop", b"eyj")
# A letter, a hyphen or a blank of a name may be spelled with an escape.
_ESCAPED = re.compile(rb"\\u00(?:[4-7]|20|2d|5f)", re.IGNORECASE)


def normalise(name: str) -> str:
    """Return a name in lower case, without hyphens, underscores and blanks."""
    return name[-MAX_NAME:].translate(_FOLDED_TEXT)


def is_secret_name(name: str) -> bool:
    """Tell whether the value of a member of this name is a secret.

    `name` may be a path, of which each part is a name. What only booleans and null say
    is never a secret, whatever the name: that is for the caller to see.
    """
    return any(
        part in NAMES or (part.endswith(SUFFIXES) and part not in HARMLESS)
        for part in _PARTS.split(normalise(name))
    )


def is_secret_within(name: str, outer: str) -> bool:
    """Tell whether a member is a secret because of the member it stands in."""
    holders = WITHIN.get(normalise(name))
    return holders is not None and normalise(outer) in holders


def may_hold_secrets(data: bytes) -> bool:
    """Tell quickly whether there may be a secret in a text; false is certain.

    Most records have none, and are looked at no further.
    """
    if b"\\" in data and _ESCAPED.search(data):
        return True
    folded = data.translate(_FOLDED, b"-_ \0")
    for sign, names in _NAMES_WITH.items():
        if sign in folded:
            for name, at_its_end in names:
                if name in folded and at_its_end.search(folded) is not None:
                    return True
    for holder, name in _WITHIN:
        if holder in folded and name in folded:
            return True
    return any(scheme in folded for scheme in _SCHEMES)
