"""Load a configuration from a YAML file and `key=value` overrides.

Unknown keys and values are refused with the nearest known names.  A file may build on another
with `extends: other.yaml`, looked up in its own folder: mappings are merged key by key, lists and
scalars replaced.  Defaults are written in the sections of this package alone.
"""

from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from flukeprint.config.schema import Config
from flukeprint.config.yaml_tree import parse_tree, read_tree
from flukeprint.errors import FlukeprintError, nearest

CONFIGS = Path("configs")
SHORT_FORMS = {"pretrain": "method"}  # section: the key that its value alone stands for
MOST_PROBLEMS = 20  # named in one message


def load_config(name: str | Path | None, overrides: tuple[str, ...] | list[str] = ()) -> Config:
    """Read a configuration from a file, with overrides from the command line.

    Args:
        name: a path, or a bare file name that is looked up in `configs/`; `.yaml` may be left out.
            None: the defaults alone.
        overrides: `section.key=value`, the value written as in YAML.

    Raises:
        FlukeprintError: missing file, bad YAML, or unknown keys and values, all named at once.
    """
    path = None if name is None else _find(Path(name))
    tree = {} if path is None else _read(path, seen=())
    tree.setdefault("name", "defaults" if path is None else path.stem)
    for override in overrides:
        _override(tree, override)
        _expand(tree)
    return parse_config(tree, where="the settings" if path is None else str(path))


def parse_config(tree: dict[str, Any], where: str) -> Config:
    """Validate a mapping against the schema; `where` names its source in messages."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        found = [_explain(problem) for problem in error.errors()]
        more = len(found) - MOST_PROBLEMS
        problems = "; ".join(found[:MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
        raise FlukeprintError(f"{where}: {problems}") from None


def _find(path: Path) -> Path:
    tries = [path, path.with_name(path.name + ".yaml")]
    if path.parent == Path():
        tries += [CONFIGS / candidate for candidate in tries]
    for candidate in tries:
        if candidate.is_file():
            return candidate
    known = [file.stem for file in CONFIGS.glob("*.yaml")]
    hint = nearest(path.stem, known) if known else f"there is no folder {CONFIGS}/ here"
    raise FlukeprintError(f"no configuration {path}: {hint}")


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise FlukeprintError(f"{path}: `extends` goes round in a circle")
    try:
        if seen and not path.exists():
            raise FlukeprintError(f"no configuration {path}, named by `extends` in {seen[-1]}")
        tree = read_tree(path)
    except OSError as error:
        raise FlukeprintError(f"{path} cannot be read: {error.strerror}") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise FlukeprintError(f"{path}: expected keys with values, found {type(tree).__name__}")
    _expand(tree)
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise FlukeprintError(f"{path}: `extends` is the name of one file, such as whales.yaml")
    base = _read(path.parent / parent, (*seen, path.resolve()))
    base.pop("name", None)
    return _merge(base, tree)


def _merge(base: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in delta.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            value = _merge(merged[key], value)
        merged[key] = value
    return merged


def _expand(tree: dict[str, Any]) -> None:
    """Write short forms out, such as `pretrain: simclr`, so that further keys can be set."""
    for section, key in SHORT_FORMS.items():
        if isinstance(tree.get(section), str):
            tree[section] = {key: tree[section]}


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise FlukeprintError(f"override {shortened(override)} is not of the form key=value")
    value = parse_tree(text, f"override {shortened(override)}")
    node: Any = tree
    *sections, last = key.split(".")
    for section in sections:
        if isinstance(node, list):
            node = _item(node, section, override)
            continue
        node = node.setdefault(section, {})
        if not isinstance(node, dict | list):
            raise FlukeprintError(
                f"override {shortened(override)}: {section} holds a value, not a section"
            )
    if isinstance(node, list):
        raise FlukeprintError(f"override {shortened(override)}: name a key of the list's item")
    node[last] = value


def _item(items: list[Any], index: str, override: str) -> Any:
    if not index.isdigit() or int(index) >= len(items):
        raise FlukeprintError(
            f"override {shortened(override)}: the list has items 0 to {len(items) - 1}"
        )
    return items[int(index)]


def _explain(problem: Any) -> str:
    """One pydantic error as `key: what is wrong, what would be right`."""
    place = problem["loc"]
    key = ".".join(str(part) for part in place) or "configuration"
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}: {nearest(str(place[-1]), _keys_beside(place))}"
    if problem["type"] == "literal_error":
        return f"{key}={shortened(problem['input'])}: expected {problem['ctx']['expected']}"
    return f"{key}={shortened(problem['input'])}: {problem['msg'].removeprefix('Value error, ')}"


def shortened(value: object) -> str:
    """The `repr` of a value, without its middle where it is long.

    >>> shortened("a" * 500)[:12], len(shortened("a" * 500))
    ("'aaaaaaaaaaa", 120)
    """
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]} ... {text[-15:]}"


def _keys_beside(place: tuple[Any, ...]) -> list[str]:
    """The keys of the section that the last of `place` was looked for in."""
    model: type[BaseModel] = Config
    for part in place[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[str(part)].annotation
        items = get_args(annotation)  # of a tuple of sections
        if items and isinstance(items[0], type):
            annotation = items[0]
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
