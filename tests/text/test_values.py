"""Values in text."""

import pytest

from restorekit.errors import BadInput
from restorekit.text.values import box, grain, looks, numbers, shape, size, span

WRONG = [
    (numbers, "0"), (numbers, "1,x"), (numbers, ""), (span, "1"), (span, "2,1"), (span, "nan,1"), (size, "0x4"), (size, "4x4x4"),
    (size, "-4"), (size, "9" * 5000), (numbers, "9" * 5000), (shape, "3x8x-1"), (shape, "3x8"), (looks, "0"), (looks, "inf"), (looks, "many"), (grain, "0.5"), (grain, "a,b"), (grain, "0.5,0.6,0.7"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), WRONG)
def test_what_is_not_understood_names_the_setting(value, text: str) -> None:
    with pytest.raises(BadInput, match=r"^`\w+` ") as raised:
        value(text)
    assert raised.value.argument is not None
    assert "\n" not in str(raised.value)


def test_boxes() -> None:
    assert box("1, 2,3,4", "region") == (1, 2, 3, 4)
    for text in ("1,2,3", "1,2,3,-4", "a,b,c,d"):
        with pytest.raises(BadInput, match="`region`"):
            box(text, "region")


@pytest.mark.parametrize("value", [numbers, span, size, looks, grain])
def test_nothing_given(value) -> None:
    assert value(None) is None
