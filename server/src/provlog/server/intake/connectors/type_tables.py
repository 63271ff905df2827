"""Tables of a provider's types: those with a counterpart, and those without one."""

from collections.abc import Mapping

from provlog.server.intake.connectors.building import other_type


def table(counterparts: Mapping[str, str], without: str) -> dict[str, str]:
    """Return what becomes of each type: its counterpart, or `other.…`.

    `without` is a text of lines `family: a b …`, which may go on in the next line, for
    the types `family.a` and `family.b`. It is not to name a type that has a
    counterpart.
    """
    return {name: other_type(name) for name in _names(without)} | dict(counterparts)


def _names(listed: str) -> list[str]:
    names: list[str] = []
    family = ""
    for word in listed.split():
        if word.endswith(":"):
            family = word[:-1]
        else:
            names.append(f"{family}.{word}")
    return names
