"""A table that grows: what is no table is refused in one line, and stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restorekit.errors import BadInput
from restorekit.files.journal import Rows
from restorekit.files.nodata import Empty
from restorekit.files.picture import Picture
from restorekit.tasks.ranges import used


def test_a_table_that_is_no_text_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"a,b\n1,\x89\n")
    with pytest.raises(BadInput, match=r"rows\.csv is no table, or damaged; move it away"):
        Rows(tmp_path / "rows.csv", ("a",), ("b",))
    assert (tmp_path / "rows.csv").read_bytes() == b"a,b\n1,\x89\n"


def test_a_picture_without_any_data_uses_no_range() -> None:
    empty = Empty(np.ones((3, 3), bool), np.zeros((1, 9), np.float32))
    assert used(Picture(np.zeros((1, 3, 3), np.float32), "uint16", (0.0, 65535.0), empty=empty)) is None
