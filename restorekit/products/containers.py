"""Arrays in a container, HDF5 (netCDF 4 too), netCDF 3 or Zarr, with their attributes and dimensions, by name.

Only what lies in the container itself is seen: links of HDF5 to other files are left out, and datasets whose bytes lie elsewhere are
refused. Of Zarr, arrays are read whose codecs unpack numbers alone (one of its codecs runs code).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import BadInput
from restorekit.files import drivers
from restorekit.files.atomic import one_line
from restorekit.products.product import needs

HDF5 = b"\x89HDF\r\n\x1a\n"
NETCDF3 = (b"CDF\x01", b"CDF\x02")  # with offsets of 32 and of 64 bits
ZARR = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
CODECS = {
    "bytes", "blosc", "gzip", "zlib", "zstd", "lz4", "bz2", "lzma", "transpose", "sharding_indexed", "crc32c", "crc32", "adler32", "fletcher32",
    "shuffle", "delta", "fixedscaleoffset", "astype", "quantize", "bitround", "packbits", "scale_offset", "cast_value",
}  # fmt: skip
DEEPEST = 24  # groups in groups


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array of a container: its path in it, shape, type, attributes, and the names of its dimensions."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any]
    dimensions: tuple[str, ...]

    @property
    def own(self) -> str:
        """Return the last part of the path."""
        return self.name.rpartition("/")[2]

    @property
    def group(self) -> str:
        """Return the path of the group, "" for the root."""
        return self.name.rpartition("/")[0]

    @property
    def complex(self) -> bool:
        """Return True for complex numbers, also where they are stored as pairs."""
        return self.dtype.kind == "c" or _pair(self.dtype) is not None

    @property
    def numbers(self) -> bool:
        """Return True where it holds numbers."""
        return self.dtype.kind in "iufc" or self.complex

    def text(self, *keys: str) -> str:
        """Return the first of some attributes that is there, as text; "" without one."""
        for key in keys:
            if (value := self.attributes.get(key)) is not None:
                value = value[0] if isinstance(value, np.ndarray) and value.size == 1 else value
                return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        return ""


def is_zarr(path: Path) -> bool:
    """Return True for a folder that is a Zarr group or array."""
    return path.is_dir() and any((path / name).is_file() for name in ZARR)


def is_container(start: bytes) -> bool:
    """Return True for the first bytes of HDF5 or netCDF 3."""
    return start.startswith((HDF5, *NETCDF3))


def kind_of(path: Path) -> str:
    """Return what a container is called: Zarr, netCDF 3 or HDF5."""
    return "Zarr" if path.is_dir() else "netCDF 3" if _is_netcdf3(path) else "HDF5"


def _is_netcdf3(path: Path) -> bool:
    with open(path, "rb") as handle:
        return handle.read(4) in NETCDF3


def entries(path: Path) -> dict[str, StoredArray]:
    """Return the arrays of a container by their paths. Raises BadInput for a damaged one, and for what points elsewhere."""
    try:
        with _opened(path) as root:
            if path.is_dir():
                found = list(_zarr_entries(path, root))
            else:
                found = list(_netcdf3_entries(root) if _is_netcdf3(path) else _hdf5_entries(root))
    except BadInput:
        raise
    except Exception as error:  # noqa: BLE001 (of h5py, scipy and zarr, by several names)
        raise BadInput(f"{path}: {kind_of(path)} that cannot be read ({one_line(error)}); get a fresh copy") from None
    return {entry.name: entry for entry in found}


def read(path: Path, name: str, at: tuple[slice | int, ...]) -> NDArray[Any]:
    """Return a part of an array; stored pairs as complex64. Raises BadInput where it is damaged."""
    try:
        with _opened(path) as root:
            if path.is_file() and _is_netcdf3(path):
                return np.array(root.variables[name][at])  # a copy, as the file is mapped, and closed before it is used
            return joined(np.asarray(root[name][at] if name or not path.is_dir() else root[at]))
    except BadInput:
        raise
    except Exception as error:  # noqa: BLE001 (of h5py, scipy and zarr, by several names)
        raise BadInput(f"{path}: {name} is damaged ({one_line(error)}); copy it again") from None


def joined(x: NDArray[Any]) -> NDArray[Any]:
    """Return stored pairs of floats, of 16 bits too, as complex numbers; others as they are."""
    names = _pair(x.dtype)
    if names is None:
        return x
    real, imaginary = (x[n].astype(np.float32) for n in names)
    return (real + 1j * imaginary).astype(np.complex64)


def _pair(dtype: np.dtype[Any]) -> tuple[str, str] | None:
    names = dtype.names or ()
    known = next((p for p in (("r", "i"), ("real", "imag"), ("re", "im")) if set(p) == set(names)), None)
    return known if known is not None and all(dtype[n].kind in "fi" for n in names) else None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if path.is_dir():
        needs("zarr", path, "Zarr")
        import zarr
        from zarr.storage import LocalStore

        yield zarr.open(LocalStore(path, read_only=True), mode="r", use_consolidated=False)
        return
    if _is_netcdf3(path):
        from scipy.io import netcdf_file

        with netcdf_file(path, "r", mmap=True, maskandscale=False) as file:
            yield file
        return
    needs("h5py", path, "HDF5")
    import h5py

    if drivers.elsewhere(path):
        raise BadInput(f"{path} is HDF5 with datasets in other files, which are not read; {drivers.way_out(path)}")
    with h5py.File(path, "r") as file:
        yield file


def _netcdf3_entries(root: Any) -> Iterator[StoredArray]:
    for name, v in root.variables.items():
        yield StoredArray(name, tuple(v.shape), np.dtype(v.data.dtype), dict(v._attributes), tuple(v.dimensions))


def _hdf5_entries(root: Any) -> Iterator[StoredArray]:
    import h5py

    def walk(group: Any, prefix: str, depth: int) -> Iterator[StoredArray]:
        for name in group:
            if group.get(name, getclass=True, getlink=True) is not h5py.HardLink or depth > DEEPEST:
                continue
            item, where = group[name], f"{prefix}{name}"
            if isinstance(item, h5py.Group):
                yield from walk(item, f"{where}/", depth + 1)
            elif isinstance(item, h5py.Dataset) and item.shape is not None:
                yield StoredArray(where, item.shape, item.dtype, dict(_attributes(item)), _dimensions(item))

    yield from walk(root, "", 0)


def _attributes(item: Any) -> Iterator[tuple[str, Any]]:
    for key in item.attrs:
        try:
            yield key, item.attrs[key]
        except (OSError, TypeError, ValueError):  # of a type that numpy does not have
            continue


def _dimensions(item: Any) -> tuple[str, ...]:
    """Return the names of the arrays along each dimension; "" where there is none."""
    names = list[str]()
    for dimension in item.dims:
        scales = [scale.name.rpartition("/")[2] for scale in dimension.values()]
        names.append(scales[0] if scales else dimension.label or "")
    return tuple(names)


def _zarr_entries(path: Path, root: Any) -> Iterator[StoredArray]:
    import zarr

    for where in sorted({p.parent for name in ("zarr.json", ".zarray") for p in path.rglob(name)}):
        inside = where.relative_to(path).as_posix()
        name = "" if inside == "." else inside
        if not _is_array(where):
            continue
        _check_codecs(path, where)
        array = root[name] if name else root
        if isinstance(array, zarr.Array):
            attributes = dict(array.attrs)
            given: Any = getattr(array.metadata, "dimension_names", None) or attributes.get("_ARRAY_DIMENSIONS") or ()
            yield StoredArray(name, array.shape, np.dtype(array.dtype), attributes, tuple(str(d or "") for d in given))


def _is_array(folder: Path) -> bool:
    if (folder / ".zarray").is_file():
        return True
    return json.loads((folder / "zarr.json").read_text(encoding="utf-8")).get("node_type") == "array"


def _check_codecs(path: Path, folder: Path) -> None:
    """Raise BadInput for an array whose codecs do more than unpack numbers, before zarr sees it."""
    old = folder / ".zarray"
    said = json.loads((old if old.is_file() else folder / "zarr.json").read_text(encoding="utf-8"))
    used = [said.get("compressor"), *(said.get("filters") or ())] if old.is_file() else said.get("codecs", [])
    for name in _codecs(used):
        if name.removeprefix("numcodecs.") not in CODECS:
            raise BadInput(
                f"{path}: {folder.name} is packed by {name!r}, which is not read; write it anew with another codec"
            )


def _codecs(used: Any) -> Iterator[str]:
    """Yield the names of codecs, those inside of others too."""
    for codec in used if isinstance(used, list) else ():
        if isinstance(codec, dict):
            yield str(codec.get("id", codec.get("name", "")))
            inner = codec.get("configuration") or {}
            if isinstance(inner, dict):
                yield from _codecs(inner.get("codecs"))
                yield from _codecs(inner.get("index_codecs"))
