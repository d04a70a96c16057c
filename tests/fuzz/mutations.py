"""Mutations of files by what they are, and of texts. Each takes the random numbers it needs, and names itself."""

from __future__ import annotations

import ast
import io
import json
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
import yaml
from PIL import Image

Bytes = Callable[[bytes, random.Random], bytes]
INTEGERS = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 32, 64, 127, 128, 255, 256, 257, 1000, 4095, 32767, 32768, 65535, 65536, 1 << 20,
            (1 << 24) - 1, 1 << 30, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 32) - 16)  # fmt: skip
NUMBERS = ("0", "-0", "-1", "1", "2", "3", "7", "0.5", "0.001", "1e-9", "1e-320", "-0.1", "1.0000001", "nan", "NAN", "inf", "-inf",
           "1e6", "1e30", "1e38", "1e39", "1e300", "1e400", "255", "65536", "2147483648", str(2**63), str(2**64), str(10**30),
           "9" * 400, "9" * 5000, "0x10", "1_000", "1,5", "1.5.2", "１２", "²", "٣", "+3", " 3 ", "3.0", "1e2", "true", "None",
           "1/2", "3j", "--3", "")  # fmt: skip
TEXTS = ("", " ", "none", "auto", "None", "null", ":", ",", "=", "::::", "a=b=c", ",,,,", "=1", "a:b:c:d:e", "*", "%s%n", "{}", "{0.a}",
         "[red]x[/red]", "[/]", "[bold", "$HOME", "~", "../..", "\\", "'", '"', "<script>", "é", "💥", "ｎａｔｕｒａｌ", "\u202ex\u202c",
         "\u0301" * 50, "\u0000".join("ab").replace("\u0000", "\u0001"), "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "a\nb", "a\rb",
         "a\tb", "\x7f", "\x85", "\x9b31m", "\udcff", "x" * 300, "x" * 9000, "(" * 3000, "[" * 3000, "{" * 3000, "a:" * 3000,
         "a(" * 2000 + ")" * 2000, "denoise:" * 500, "1" * 20000)  # fmt: skip
DTYPES = ("|b1", "|u1", "|i1", "<u2", ">u2", "<i2", "<f2", ">f4", "<f4", "<f8", ">f8", "<f16", "<c8", "<c16", "<i8", "<u8", "|O", "<U4",
          "|S4", "|V8", "<M8[s]", "<m8[ns]", "zzz", "", "|V0", "|S0")  # fmt: skip
SHAPES = ((), (0,), (1,), (480,), (0, 20), (24, 0), (1, 1), (1, 20), (24, 1), (2, 2), (3, 3), (24, 20, 1), (24, 20, 2), (24, 20, 4),
          (24, 20, 9), (1, 24, 20), (2, 24, 20), (3, 24, 20), (5, 24, 20), (3, 3, 3), (1, 1, 24, 20), (2, 3, 4, 5, 6), (23, 20),
          (20, 24), (4, 4), (3, 1000), (70, 70))  # fmt: skip


# Any bytes.


def flip_bytes(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16, 64)) if out else 0):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def flip_bit(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    if out:
        out[rng.randrange(min(len(out), rng.choice((64, 256, 1 << 30))))] ^= 1 << rng.randrange(8)
    return bytes(out)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.choice((rng.randrange(len(data) + 1), rng.randrange(min(64, len(data)) + 1), len(data) - 1))]


def empty(data: bytes, rng: random.Random) -> bytes:
    return b""


def append(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice((b"\0", b"\0" * 5000, rng.randbytes(300), data))


def move_block(data: bytes, rng: random.Random) -> bytes:
    a, b, n = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1), rng.randrange(1, 200)
    how = rng.randrange(4)
    if how == 0:
        return data[:a] + data[a + n :]
    if how == 1:
        return data[:a] + data[b : b + n] + data[a:]
    return data[:a] + (b"\0" if how == 2 else b"\xff") * min(n, len(data) - a) + data[a + n :]


def header_field(data: bytes, rng: random.Random) -> bytes:
    """An integer that is often wrong, of 1 to 8 bytes, in the first bytes."""
    size = rng.choice((1, 2, 2, 4, 4, 8))
    if len(data) <= size:
        return data
    at = rng.randrange(min(len(data) - size, rng.choice((32, 128, 600))))
    value = (rng.choice(INTEGERS) & ((1 << 8 * size) - 1)).to_bytes(size, rng.choice(("little", "big")))  # type: ignore[arg-type]
    return data[:at] + value + data[at + size :]


def another_kind(data: bytes, rng: random.Random) -> bytes:
    """What the name does not say."""
    starts = (b"II*\0", b"MM\0*", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"\x93NUMPY\x01\0", b"PK\x03\x04", b"GIF89a", b"%PDF-1.4",
              b"hello\n", b"<VRTDataset/>", b"\x80\x04.", b"RIFF\0\0\0\0WEBP", b"{}", b"[", b"\xef\xbb\xbf", b"\xff\xfe")  # fmt: skip
    return rng.choice(starts) + rng.choice((b"", data, rng.randbytes(100)))


# Files by their parts, with check sums and lengths that are right again.


def png_part(data: bytes, rng: random.Random) -> bytes:
    chunks, at = [], 8
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        chunks.append((kind, data[at + 8 : at + 8 + size]))
        at += 12 + size
    i = rng.randrange(len(chunks))
    how = rng.randrange(6)
    if how < 2 and chunks[0][0] == b"IHDR" and len(chunks[0][1]) == 13:
        head = list(struct.unpack(">IIBBBBB", chunks[0][1]))
        k = rng.randrange(7)
        head[k] = rng.choice(INTEGERS) & (0xFFFFFFFF if k < 2 else 0xFF)
        chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", *head))
    elif how == 2:
        del chunks[i]
    elif how == 3:
        chunks.insert(i, rng.choice(chunks))
    elif how == 4:
        kind = rng.choice(
            (b"tRNS", b"gAMA", b"iCCP", b"eXIf", b"tEXt", b"PLTE", b"sBIT", b"acTL", b"zTXt", b"cHRM", b"IDAT")
        )
        chunks.insert(1, (kind, rng.randbytes(rng.choice((0, 1, 2, 4, 6, 40)))))
    else:
        chunks[i] = (chunks[i][0], flip_bytes(chunks[i][1], rng))
    return data[:8] + b"".join(
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks
    )


def tiff_tag(data: bytes, rng: random.Random) -> bytes:
    """One entry of the first directory of a classic little-endian TIFF."""
    if data[:4] != b"II*\0" or len(data) < 10:
        return header_field(data, rng)
    at = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[at : at + 2])[0] if at + 2 <= len(data) else 0
    out = bytearray(data)
    if not count or at + 2 + 12 * count + 4 > len(data):
        return header_field(data, rng)
    i = at + 2 + 12 * rng.randrange(count)
    where, size = rng.choice(((0, 2), (2, 2), (4, 4), (8, 4), (8, 4), (8, 4), (8, 2)))
    value = rng.choice(
        (254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 317, 320, 322, 338, 339, 33550, 34735, 42113, 50844)
    )
    value = value if where == 0 else rng.choice((*range(1, 19), *INTEGERS))
    out[i + where : i + where + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    return bytes(out)


def npy_head(data: bytes, rng: random.Random) -> bytes:
    if data[:6] != b"\x93NUMPY" or len(data) < 10:
        return header_field(data, rng)
    size = struct.unpack("<H", data[8:10])[0]
    try:
        head = ast.literal_eval(data[10 : 10 + size].decode("latin1").strip())
    except (ValueError, SyntaxError):
        return header_field(data, rng)
    how = rng.randrange(6)
    if how < 2:
        head["descr"] = rng.choice((*DTYPES, [("a", "<f4"), ("b", "<f4")]))
    elif how < 4:
        huge = (
            (1 << 40, 20),
            (-1, 20),
            (24, -20),
            (1 << 62, 4),
            (1 << 32, 1 << 32),
            (24, 20, 1 << 30),
            (24.0, 20),
            ("24", 20),
        )
        head["shape"] = rng.choice((*SHAPES, *huge))
    elif how == 4:
        head["fortran_order"] = rng.choice((True, 1, None, "yes"))
    else:
        head.pop(rng.choice(sorted(head)))
    text = repr(head).encode("latin1", "replace")
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return data[:8] + struct.pack("<H", len(text)) + text + data[10 + size :]


def zip_member(data: bytes, rng: random.Random) -> bytes:
    """Another list of members, each whole but one."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(n, archive.read(n)) for n in archive.namelist()]
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        return flip_bytes(data, rng)
    i, how = rng.randrange(len(members)), rng.randrange(6)
    name, content = members[i]
    if how == 0:
        change = BY_SUFFIX.get(name.rpartition(".")[2], (flip_bytes,))
        members[i] = (name, rng.choice((*change, cut, empty, another_kind))(content, rng))
    elif how == 1:
        odd = ("../up.png", "/abs.png", "a/b/c.png", "é.png", "\x1b[31m.png", "a\nb.png", ".png", "", "x" * 250 + ".png", "C:\\x.png",
               "__MACOSX/._0.png", "0.txt", "0.PNG", "dir/", "k", "k.npy.npy")  # fmt: skip
        members[i] = (rng.choice(odd), content)
    elif how == 2:
        members.append(members[i])
    elif how == 3:
        members = members[: rng.choice((0, 1, 2))]
    elif how == 4:
        members.append(("note.txt", b"hello"))
    held = io.BytesIO()
    how_packed = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with warnings.catch_warnings(), zipfile.ZipFile(held, "w", how_packed) as archive:
        warnings.simplefilter("ignore")  # of one name twice
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    out = held.getvalue()
    return flip_bytes(out, rng) if how == 5 else out


def change_tree(tree: Any, rng: random.Random) -> Any:
    """One value somewhere in nested dicts and lists: dropped, of another type, of another size."""
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = rng.choice(sorted(tree, key=str))
        how = rng.random()
        if how < 0.12:
            return {k: v for k, v in tree.items() if k != key}
        if how < 0.2:
            return {**tree, rng.choice(("extra", "", "é", "\x1b[31m", key + "_")): 1}
        return {**tree, key: change_tree(tree[key], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.8:
        i = rng.randrange(len(tree))
        new = change_tree(tree[i], rng)
        return rng.choice(([*tree[:i], new, *tree[i + 1 :]], tree[:i] + tree[i + 1 :], tree + tree[:1], []))
    if isinstance(tree, str) and tree[:1] == "{" and rng.random() < 0.9:  # JSON in JSON
        try:
            return json.dumps(change_tree(json.loads(tree), rng))
        except ValueError:
            pass
    nested: Any = 1
    for _ in range(rng.choice((3, 50, 400))):
        nested = [nested]
    values = (None, True, False, 0, -1, 1, 3, 0.5, -0.5, 1e-30, 1e38, 1e300, 2**31, 2**63, 2**64, 10**30, float("nan"), float("inf"), "", "1",
              "nan", "x" * 2000, "é", "\x1b[31m", "\udcff", "a\nb", [], {}, [1], [[]], {"a": 1}, nested, [0] * 100)  # fmt: skip
    return rng.choice(values)


def json_value(data: bytes, rng: random.Random) -> bytes:
    try:
        return json.dumps(change_tree(json.loads(data), rng)).encode("utf-8", "replace")
    except ValueError:
        return flip_bytes(data, rng)


def yaml_value(data: bytes, rng: random.Random) -> bytes:
    try:
        return yaml.safe_dump(change_tree(yaml.safe_load(data), rng)).encode("utf-8", "replace")
    except (yaml.YAMLError, UnicodeDecodeError):
        return flip_bytes(data, rng)


def tensors_head(data: bytes, rng: random.Random) -> bytes:
    """The header of a safetensors file: what tensors there are, and what it says of them."""
    size = int.from_bytes(data[:8], "little")
    try:
        head = json.loads(data[8 : 8 + size])
    except ValueError:
        return header_field(data, rng)
    if "__metadata__" in head and rng.random() < 0.6:
        head["__metadata__"] = change_tree(head["__metadata__"], rng)
    else:
        head = change_tree(head, rng)
    text = json.dumps(head).encode("utf-8", "replace")
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def tensors_values(data: bytes, rng: random.Random) -> bytes:
    size = 8 + int.from_bytes(data[:8], "little")
    value = struct.pack("<f", rng.choice((float("nan"), float("inf"), 3e38, -3e38, 0.0, 1e-40)))
    body, n = data[size:], len(data) - size
    at = 4 * rng.randrange(max(1, n // 4))
    return data[:size] + (value * (n // 4) if rng.random() < 0.4 else body[:at] + value + body[at + 4 :])


def token(data: bytes, rng: random.Random) -> bytes:
    """A number or a word of a text."""
    text = data.decode("utf-8", "replace")
    found = list(re.finditer(r"[-+.\w]+", text))
    if not found:
        return flip_bytes(data, rng)
    one = rng.choice(found)
    new = rng.choice((*NUMBERS, *TEXTS))
    return (text[: one.start()] + new + text[one.end() :]).encode("utf-8", "replace")


# Pictures and arrays that are well-formed, and say nothing, or too much.


def odd_array(rng: random.Random) -> np.ndarray:
    shape = rng.choice((*SHAPES, *(((24, 20),) * 20), *(((24, 20, 3),) * 10)))
    x = np.asarray(np.random.default_rng(rng.randrange(1 << 30)).random(shape), np.float32)
    kind = rng.choice(
        (
            "plain",
            "nan",
            "all nan",
            "inf",
            "huge",
            "tiny",
            "negative",
            "constant",
            "zero",
            "one point",
            "integers",
            "range",
        )
    )
    at = tuple(rng.randrange(n) for n in shape) if x.size else ()
    if kind in ("nan", "inf", "one point") and x.size:
        x = np.zeros_like(x) if kind == "one point" else x
        x[at] = {"nan": np.nan, "inf": rng.choice((np.inf, -np.inf)), "one point": 1}[kind]
    elif kind == "all nan":
        x = np.full_like(x, np.nan)
    elif kind in ("huge", "tiny", "negative", "range"):
        x = {"huge": x * 3.4e38, "tiny": x * np.float32(1e-42), "negative": -x, "range": x * 1.24}[kind]
    elif kind in ("constant", "zero"):
        x = np.full_like(x, 0.5 if kind == "constant" else 0)
    elif kind == "integers":
        x = (x * 255).astype(rng.choice(("u1", "u2", "i2", "i4", "u4", "i8", "u8", "i1")))
    return x.astype(np.float64) if kind != "integers" and rng.random() < 0.2 else x


def odd_npy(data: bytes, rng: random.Random) -> bytes:
    x, held = odd_array(rng), io.BytesIO()
    with np.errstate(all="ignore"):
        kinds = ("f2", ">f4", "c8", "?", "u1", "f8", "U3", "M8[s]", "i8")
        x = x.astype(rng.choice(kinds)) if rng.random() < 0.3 else x
    np.save(held, np.asfortranarray(x) if rng.random() < 0.2 else x)
    return held.getvalue()


def odd_tiff(data: bytes, rng: random.Random) -> bytes:
    x, held = odd_array(rng), io.BytesIO()
    if x.ndim < 2 or not x.size:
        x = np.ones((1, 1), np.float32)
    tile = (16, 16) if rng.random() < 0.3 else None
    tags = (
        [(42113, "s", 0, rng.choice(("nan", "0", "-9999", "1e400", "abc", "", "255", "1e39")), True)]
        if rng.random() < 0.4
        else []
    )
    compression = rng.choice((None, None, "deflate"))
    tifffile.imwrite(held, x, tile=tile, compression=compression, extratags=tags, photometric="minisblack")
    return held.getvalue()


def odd_png(data: bytes, rng: random.Random) -> bytes:
    h, w = rng.choice(((1, 1), (1, 20), (24, 1), (2, 2), (3, 3), (4, 4), (24, 20), (23, 20), (20, 24), (5, 400)))
    mode, values = rng.choice((("L", (h, w)), ("RGB", (h, w, 3)), ("RGBA", (h, w, 4)), ("LA", (h, w, 2))))
    x = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 256, values, np.uint8)
    x = rng.choice((x, x, np.zeros_like(x), np.full_like(x, 255), np.full_like(x, 7), (x > 127).astype(np.uint8)))
    held = io.BytesIO()
    Image.fromarray(x, mode).convert(rng.choice((mode, mode, mode, "1", "P"))).save(held, "PNG")
    return held.getvalue()


ANY: tuple[Bytes, ...] = (flip_bytes, flip_bit, cut, empty, append, move_block, header_field, another_kind)
BY_SUFFIX: dict[str, tuple[Bytes, ...]] = {
    "png": (png_part, png_part, odd_png, odd_png), "tif": (tiff_tag, tiff_tag, odd_tiff, odd_tiff), "msk": (tiff_tag, odd_tiff),
    "npy": (npy_head, npy_head, odd_npy, odd_npy, odd_npy), "npz": (zip_member,), "zip": (zip_member, zip_member),
    "json": (json_value, json_value, json_value, token), "yaml": (yaml_value, yaml_value, yaml_value, token),
    "safetensors": (tensors_head, tensors_head, tensors_values), "csv": (token, token), "hdr": (token, token), "xml": (token,),
    "tfw": (token,),
}  # fmt: skip


def mutated(data: bytes, name: str, rng: random.Random) -> tuple[str, bytes]:
    """(name of the mutation, the new content) of a file of that name."""
    suffix = name.rpartition(".")[2]
    own = BY_SUFFIX.get(suffix, ())
    change = rng.choice(own) if own and rng.random() < 0.65 else rng.choice(ANY)
    return f"{suffix} {change.__name__}", change(data, rng)


def mutated_text(text: str, rng: random.Random) -> tuple[str, str]:
    """(name, new text) of a value of an option such as blur:kernel=motion:5:30,boundary=circular."""
    numbers = list(re.finditer(r"\d[\d.e-]*", text))
    how = rng.choice(("number", "number", "text", "insert", "drop", "repeat", "setting", "replace"))
    if how == "number" and numbers:
        one = rng.choice(numbers)
        return "number", text[: one.start()] + rng.choice(NUMBERS) + text[one.end() :]
    if how in ("insert", "number"):
        at = rng.randrange(len(text) + 1)
        return "insert", text[:at] + rng.choice((*TEXTS, *":,=./0- ")) + text[at:]
    if how == "drop" and text:
        at = rng.randrange(len(text))
        return "drop", text[:at] + text[at + rng.randrange(1, 8) :]
    if how == "repeat":
        return "repeat", rng.choice((":", ",", "=", "")).join([text] * rng.choice((2, 3, 200)))
    if how == "setting":
        return (
            "setting",
            f"{text}{rng.choice(',:')}{rng.choice(('x', 'factor', 'seed', 'kernel', 'mask', '_', 'é'))}={rng.choice(NUMBERS)}",
        )
    return "replace", rng.choice((*NUMBERS, *TEXTS))
