"""Settings from text, for dataclasses and for functions."""

from dataclasses import dataclass
from typing import Literal

import pytest

from restorekit.errors import BadInput
from restorekit.text.grammar import build, split


@dataclass(frozen=True)
class Thing:
    size: int
    kind: Literal["a", "b"] = "a"
    lambda_: float = 1.0

    def __post_init__(self) -> None:
        if self.size > 9:
            raise ValueError(f"size={self.size} is above 9")


def thing(given: int, size: int, kind: Literal["a", "b"] = "a", pair: tuple[int, ...] | None = None) -> tuple:
    return given, size, kind, pair


def made(text: str, target, **given):
    return build(target, *split(text), **given)


def test_dataclasses_and_functions_are_built_alike() -> None:
    assert made("thing:3,kind=b,lambda=0.5", Thing) == Thing(3, "b", 0.5)
    assert made("thing:3,kind=b,pair=4x5", thing, given=7) == (7, 3, "b", (4, 5))
    assert made("thing:size=3,pair=none", thing, given=7) == (7, 3, "a", None)


@pytest.mark.parametrize("target", [Thing, thing])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thing", "size is needed, as in thing:size=..."),
        ("thing:x", "size='x' is not a int"),
        ("thing:3,kind=c", "it is a or b"),
        ("thing:3,colour=red", "unknown setting 'colour'; thing takes size, kind"),
        ("thing:1,a,2,3,4,5", "too many values"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_known(target, text: str, said: str) -> None:
    with pytest.raises(BadInput, match="thing: ") as raised:
        made(text, target, **({"given": 7} if target is thing else {}))
    assert said in str(raised.value)


def test_what_a_class_refuses_reads_as_its_own_message() -> None:
    with pytest.raises(BadInput, match=r"^thing: size=10 is above 9$"):
        made("thing:10", Thing)
