"""Mutate inputs at random: bytes of any file, cells of a table, values of a YAML or JSON tree."""

import copy
import csv
import io
import random
from collections.abc import Sequence
from typing import Any

import yaml

ODD_BYTES = (0, 1, 0x0A, 0x0D, 0x20, 0x22, 0x7F, 0x80, 0xC3, 0xED, 0xFE, 0xFF)
ODD_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
ODD_CELLS = (
    "", " ", "nan", "NaN", "inf", "-1", "0", "1e400", "9" * 400, "0x10", "1_000", "1,5", "½", "٣",
    "None", "null", "TRUE", "new_whale", "unknown", "Unknown", "a" * 5000, "../../etc/passwd", "/",
    ".", "..", "C:\\fotos\\a.jpg", "a\nb", "a\r\nb", '"', '""', "'", "\x00", "\u202e", "\ufeff",
    "e\u0301", "\u00e9", "\U0001f40b", "=1+1", "@SUM(A1)", "a,b", "a;b", "a\tb", "[1, 2, 3, 4]",
    "[nan, nan, nan, nan]", "[" * 200, "(" * 3000, "{}", "1 2 3 4", "new whale", "\\N", "\u2028",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 10**6, 10**30, -(10**30), 1e308, float("nan"), float("inf"),
    -0.0, 0.5, "", " ", "a", "nan", "1", "no", "2020-01-01", "../x", "/", "\x00", "a\nb", "é",
    "e\u0301", "a" * 5000, [], [1], [None], [[]], {}, {"a": 1}, {"": None}, [{"name": "arcface"}],
    {"share": 2}, {"false_new": float("nan")}, [0.5, 1], ["a", "a"], b"\xff\x00", "s3://u:p@h/x",
    "http://a?b=c", "file:///etc/passwd", "memory://x", "package:os", "${HOME}", "~", "[" * 50,
)  # fmt: skip


def mutated(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Some bytes changed, put in, taken out or doubled; or the end cut off."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        size = len(found)
        # Headers decide most, so half of the places lie in the first bytes.
        at = rng.randrange(max(1, min(size, 200) if rng.random() < 0.5 else size))
        way = rng.randrange(10)
        if way == 0:
            found[at : at + 1] = bytes([found[at] ^ (1 << rng.randrange(8))]) if size else b"\0"
        elif way == 1:
            found[at : at + 1] = bytes([rng.choice(ODD_BYTES)])
        elif way == 2:
            length = rng.choice((2, 4))
            number = rng.choice(ODD_NUMBERS) & ((1 << (8 * length)) - 1)
            found[at : at + length] = number.to_bytes(length, rng.choice(("big", "little")))
        elif way == 3:
            found[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16, 100)))
        elif way == 4:
            del found[at : at + rng.choice((1, 2, 4, 16, 100))]
        elif way == 5:
            length = rng.randrange(1, 1 + max(1, size // 4))
            found[at:at] = found[at : at + length] * rng.choice((1, 1, 2, 5))
        elif way == 6:
            del found[at:]
        elif way == 7 and others:
            other = rng.choice(others)
            found[at:] = other[rng.randrange(1 + len(other)) :]
        elif way == 8:
            length = rng.choice((1, 4, 16, 64))
            found[at : at + length] = bytes([rng.choice(ODD_BYTES)]) * length
        else:
            found[at : at + 8] = rng.randbytes(8)
        if len(found) > 1 << 20:
            del found[1 << 20 :]
    return bytes(found)


def mutated_table(text: str, rng: random.Random) -> bytes:
    """A CSV table with odd cells, rows, columns, separators, quotes or an odd encoding."""
    rows = list(csv.reader(io.StringIO(text)))
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        row = rng.choice(rows) if rows else []
        way = rng.randrange(9)
        if way <= 2 and row:
            row[rng.randrange(len(row))] = rng.choice(ODD_CELLS)
        elif way == 3 and row:
            column = rng.randrange(len(row))
            cell = row[column]
            row[column] = rng.choice((cell.upper(), cell + " ", f"{cell}é", cell[::-1], cell * 2))
        elif way == 4 and rows:
            rows.insert(rng.randrange(len(rows) + 1), list(rng.choice(rows)))
        elif way == 5 and len(rows) > 1:
            del rows[rng.randrange(len(rows))]
        elif way == 6 and row:
            row.append(rng.choice(ODD_CELLS))
        elif way == 7 and row:
            row.pop()
        elif rows:
            column = rng.randrange(1 + max(map(len, rows)))
            for other in rows:
                other.insert(column, rng.choice(("", rng.choice(ODD_CELLS))))
    separator = rng.choice((",", ",", ",", ",", ";", "\t", "|"))
    end = rng.choice(("\n", "\n", "\n", "\r\n", "\r", "\n\n"))
    file = io.StringIO(newline="")
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    writer = csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows(rows)
    written = file.getvalue()
    if rng.random() < 0.1:
        written = "sep=" + separator + end + written
    encoding = rng.choice(
        ("utf-8",) * 8 + ("utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252")
    )
    data = written.encode(encoding, "replace")
    return mutated(data, rng) if rng.random() < 0.4 else data


def mutated_tree(tree: Any, rng: random.Random) -> Any:
    """A tree of mappings and lists in which some values are others."""
    found = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(found))
        if not places:
            return rng.choice(ODD_VALUES)
        holder, key = rng.choice(places)
        way = rng.randrange(8)
        if way <= 4:
            holder[key] = copy.deepcopy(rng.choice(ODD_VALUES))
        elif way == 5:
            del holder[key]
        elif way == 6 and isinstance(holder, dict):
            holder[rng.choice((f"{key}s", "", "extends", 1, None, True, "a.b"))] = holder.pop(key)
        else:
            other, name = rng.choice(places)
            with_other = other[name] if _has(other, name) else None
            holder[key] = copy.deepcopy(with_other)
    return found


def mutated_yaml(tree: Any, rng: random.Random) -> bytes:
    """A YAML file of a mutated tree, or one with what only YAML has."""
    way = rng.randrange(10)
    plain = yaml.safe_dump(tree, sort_keys=False)
    if way <= 4:
        try:
            text = yaml.safe_dump(mutated_tree(tree, rng), sort_keys=False, allow_unicode=True)
        except (yaml.YAMLError, RecursionError):
            text = plain
        data = text.encode("utf-8", "replace")
    elif way == 5:
        lines = plain.split("\n")
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(ODD_LINES))
        data = "\n".join(lines).encode("utf-8", "surrogatepass")
    elif way == 6:
        lines = plain.split("\n")
        at = rng.randrange(len(lines))
        lines[at] = lines[at].replace(": ", rng.choice((":", ": *", ": &a ", ": !!int ", ": |\n ")))
        data = "\n".join(lines).encode()
    elif way == 7:
        data = plain.encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037")))
    else:
        data = mutated(plain.encode(), rng)
    return data


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
)
ODD_LINES = (
    BOMB, "name: *nowhere", "data: &d {root: *d}", "x: &x [*x]", "<<: {name: a}", "<<: 1",
    "<<: [{name: a}, 2]", "&a a: *a", "data: {root: a}", "train: {epochs: 3, epochs: 4}",
    "name: !!python/object/apply:os.system [ls]", "name: !!binary /w==", "name: !!set {a, b}",
    "data: " + "{a: " * 200 + "1" + "}" * 200, "data: " + "[" * 2000, "name: " + "x" * 100_000,
    "train: {epochs: " + "9" * 5000 + "}", "train: {lr: .nan}", "train: {lr: .inf}",
    "train: {lr: 1e999}", "train: {epochs: 0x10}", "train: {seed: 0b11}", "train: {seed: 1:30:00}",
    "train: {epochs: 1_0}", "---", "--- a", "...", "%YAML 9.9\n---", "\t", "? [a, b]\n: c",
    "? {a: b}\n: c", "2020-01-01: 1", "2020-99-99: 1", "name: 2020-99-99", "null: 1", "1: 2",
    "name: \"\\ud800\"", "name: \"\\0\"", "extends: .", "extends: ..", "extends: [a]",
    "extends: /dev/null", "extends: tiny.yaml", "extends: \"\\0\"", "extends: " + "a" * 5000,
    "losses: {name: arcface}", "losses: []", "name: a/../../b", "name: /", "name: ..", "name: ''",
    "!!map {a: 1}", "!x {a: 1}", "runs: \"\\0\"", "# \ud800",
)  # fmt: skip


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            found += [(node, key) for key in node]
            stack += node.values()
        elif isinstance(node, list):
            found += [(node, at) for at in range(len(node))]
            stack += node
    return found


def _has(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else key < len(holder)
