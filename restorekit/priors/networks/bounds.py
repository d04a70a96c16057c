"""Settings of networks have ranges."""

from __future__ import annotations


def at_least(config: object, **least: float) -> None:
    """Raise ValueError where a setting of `config`, or one of several numbers of it, is no number or below its `least`."""
    for name, lowest in least.items():
        value = getattr(config, name)
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers or not all(isinstance(n, int | float) and n >= lowest for n in numbers):
            shown = list(value) if isinstance(value, tuple) else value
            raise ValueError(f"{name}={shown} must be {'positive' if lowest == 1 else f'at least {lowest:g}'}")
