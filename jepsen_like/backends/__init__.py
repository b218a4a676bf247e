"""Networks between hosts that the harness can cut: `proxy` needs no rights and runs anywhere."""
