"""Networks between hosts that the harness can cut.

`netns` is the kernel's own network and needs Linux; `proxy` needs no rights and runs anywhere.
"""

__all__: list[str] = []
