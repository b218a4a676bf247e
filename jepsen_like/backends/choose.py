"""Opening a backend by its name, or the strongest one that can do what is needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from jepsen_like.backends.abilities import (
    AUTO,
    BACKENDS,
    CAN,
    INSTANT,
    PROXY,
    ROUTERS_APART,
    SHAPING,
    SIM,
)
from jepsen_like.backends.backend import Backend, BackendError
from jepsen_like.backends.netns import Netns
from jepsen_like.backends.proxy import Mesh
from jepsen_like.backends.simulated import SimulatedNetwork

__all__ = ["open_backend"]


async def open_backend(
    name: str,
    hosts: Sequence[str],
    needs: Collection[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Backend:
    """A network between `hosts` whose links allow what `needs` names (see CAN).

    AUTO says of the stronger ones why they were not taken. Raises BackendError, before anything
    is made, if the backend cannot do what is needed.
    """
    if name not in BACKENDS:
        raise BackendError(f"there is no backend {name!r}; there are {', '.join(BACKENDS)}.")
    needed = frozenset(needs)
    able = [one for one, can in CAN.items() if needed <= can]
    if name != AUTO:
        if name not in able:
            raise BackendError(_cannot(name, needed, able))
        return await _open(name, hosts, needed)
    refused = []
    for one in able:
        if one == SIM:
            continue
        try:
            return await _open(one, hosts, needed)
        except BackendError as exc:
            say(f"not {one}: {exc}")
            refused.append(f"{one}: {exc}")
    if not refused:
        raise BackendError(f"no backend can do {_listed(needed)} in one test.")
    raise BackendError(f"no backend that can do {_listed(needed)} works here: {'; '.join(refused)}")


async def _open(name: str, hosts: Sequence[str], needed: frozenset[str]) -> Backend:
    routers_apart = ROUTERS_APART in needed
    if name in (PROXY, INSTANT):
        return Mesh(hosts, instant=name == INSTANT, routers_apart=routers_apart)
    if name == SIM:
        return SimulatedNetwork(hosts, routers_apart=routers_apart)
    shaped = bool(needed & SHAPING)
    return await Netns.open(hosts, shaped=shaped, routers_apart=routers_apart)


def _cannot(name: str, needed: frozenset[str], able: Sequence[str]) -> str:
    missing = _listed(needed - CAN[name])
    if not able:
        return f"the backend {name} cannot do {missing}, and no other can do all that is asked."
    return f"the backend {name} cannot do {missing}; run it with --backend {able[0]}."


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
