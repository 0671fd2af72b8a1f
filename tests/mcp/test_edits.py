"""Configuration files keep their comments, order, commas and line ends when an entry is set or removed."""

import json
from random import Random

import pytest

from kosmolua.mcp import blocks, jsonc

ENTRY = {"command": "x", "args": ["y"]}
SHORT = {"a": 1}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "s": {\n    "n": {\n      "a": 1\n    }\n  }\n}\n'),
        ("\ufeff{}", '\ufeff{\n  "s": {\n    "n": {\n      "a": 1\n    }\n  }\n}'),
        (
            '// mine\n{\n\t"x": [1, 2,], // two\n\t/* none */\n}\n',
            '// mine\n{\n\t"x": [1, 2,], // two\n\t/* none */\n\t"s": {\n\t\t"n": {\n\t\t\t"a": 1\n\t\t}\n\t},\n}\n',
        ),
        (
            '{\n    "s": {\n        "o": {} // the other\n    }\n}',
            '{\n    "s": {\n        "o": {}, // the other\n        "n": {\n            "a": 1\n        }\n    }\n}',
        ),
        ('{"s": {"n": 1, "o": 2}}', '{"s": {"n": {\n  "a": 1\n}, "o": 2}}'),
        ('{"s": {"n": 1, "n": 2}}', '{"s": {"n": 1, "n": {\n  "a": 1\n}}}'),
        (
            '{\r\n  "a//": 1\r\n}\r\n',
            '{\r\n  "a//": 1,\r\n  "s": {\r\n    "n": {\r\n      "a": 1\r\n    }\r\n  }\r\n}\r\n',
        ),
        ('{"s": {"n": {"a": 1}} /* as it is */}', '{"s": {"n": {"a": 1}} /* as it is */}'),
    ],
)
def test_an_entry_is_set_and_the_rest_is_unchanged(before, after):
    """Setting an entry leaves all other bytes unchanged."""
    assert after == jsonc.with_entry(before, "s", "n", SHORT)
    assert after == jsonc.with_entry(after, "s", "n", SHORT)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '{\n  "s": {\n    "o": 1, // the other\n    "n": {\n      "a": 1\n    }\n  }\n}',
            '{\n  "s": {\n    "o": 1 // the other\n  }\n}',
        ),
        ('{\n  "s": {\n    "n": 1, // mine\n    "o": 2\n  }\n}', '{\n  "s": {\n    // mine\n    "o": 2\n  }\n}'),
        ('{"s": {"n": 1}}', '{"s": {}}'),
        ('{"s": {"n": 1, "o": 2}}', '{"s": {"o": 2}}'),
        ('{"s": {"o": 1, "n": 2}}', '{"s": {"o": 1 }}'),
        ('{"t": {"n": 1}}', '{"t": {"n": 1}}'),
        ("", ""),
    ],
)
def test_an_entry_is_removed_and_the_rest_is_unchanged(before, after):
    """An entry is removed with its comma, and with its line if the line would be empty."""
    assert after == jsonc.without_entry(before, "s", "n")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{", "line 1, column 2"),
        ('{\n  "a": 1\n  "b": 2}', "expected a comma at line 3, column 3"),
        ("{'a': 1}", "line 1, column 2"),
        ('{"a": 01}', "line 1, column 7"),
        ('{"a": 1} x', "line 1, column 10"),
        ('{"a": 1 /* open', "line 1, column 9"),
        ("[" * 5000, "more than 100 levels"),
    ],
)
def test_invalid_json_is_refused_with_its_place(text, where):
    """The error for invalid JSON names the line and column."""
    with pytest.raises(ValueError, match=where.replace(".", r"\.")):
        jsonc.with_entry(text, "s", "n", ENTRY)


GAPS = ("", "", "", " ", "\n", "\n  ", " // it's {\n", "/* , \n } */", "\t")
WORDS = ("a", "b", "//", 'q"', "é", "\\")


def some(random, depth=0):
    """Arbitrary data built from a few words."""
    kind = random.randrange(7 if depth < 3 else 5)
    if kind == 5:
        return [some(random, depth + 1) for _ in range(random.randrange(4))]
    if kind == 6:
        return {random.choice(WORDS): some(random, depth + 1) for _ in range(random.randrange(4))}
    return (None, True, random.randrange(-99, 99), 1.5, random.choice(WORDS))[kind]


def written(random, value):
    """The value as people may write it, with comments, extra spaces and trailing commas."""
    if not isinstance(value, dict | list) or not value:
        return json.dumps(value)
    pairs = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    shown = []
    for key, item in pairs:
        name = f"{json.dumps(key)}{random.choice(GAPS)}:" if key is not None else ""
        inner = f"{random.choice(GAPS)}{written(random, item)}{random.choice(GAPS)}"
        shown.append(f"{random.choice(GAPS)}{name}{inner}")
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return f"{begin}{','.join(shown)}{random.choice(['', ','])}{random.choice(GAPS)}{end}"


def comments(text):
    return text.count("it's {"), text.count(", \n }")


@pytest.mark.parametrize("seed", range(8))
def test_any_file_keeps_its_data_and_comments(seed):
    """Setting an entry adds exactly this entry, and removing it removes exactly this entry; other comments are kept."""
    random = Random(seed)
    for _ in range(100):
        servers = {name: some(random) for name in ("n", "o", "p") if random.random() < 0.5}
        data = {random.choice(WORDS): some(random), "s": servers, random.choice(WORDS): some(random)}
        text = written(random, data)
        made = jsonc.with_entry(text, "s", "new", ENTRY)
        left = jsonc.without_entry(made, "s", "new")

        assert {**data, "s": {**servers, "new": ENTRY}} == jsonc.parse(made).data
        assert data == jsonc.parse(left).data == jsonc.parse(text).data
        assert comments(text) == comments(made) == comments(left)


LINE = '  n: {"a":1}\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "s:\n" + LINE),
        ("# mine\nx: 1\n", "# mine\nx: 1\ns:\n" + LINE),
        ("s: {}  # none\nx: 1\n", "s: # none\n" + LINE + "x: 1\n"),
        ("s:\n    o:\n        a: 1\n\nx: 1\n", 's:\n    n: {"a":1}\n    o:\n        a: 1\n\nx: 1\n'),
        ("s:\n  n:\n    b: 2\n    c: 3\n\n  o: 1\nx: 1\n", "s:\n" + LINE + "\n  o: 1\nx: 1\n"),
        ('s:\n  "n": {"b": 2}\n', "s:\n" + LINE),
    ],
)
def test_an_entry_of_a_yaml_file_is_set(before, after):
    """Setting an entry of a YAML file leaves all other lines unchanged."""
    assert after == blocks.with_entry(before, "s", "n", SHORT)
    assert after == blocks.with_entry(after, "s", "n", SHORT)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("s:\n  n:\n    b: 2\n  o: 1\nx: 1\n", "s:\n  o: 1\nx: 1\n"),
        ("s:\n" + LINE + "x: 1\n", "s: {}\nx: 1\n"),
        ("x: 1\n", "x: 1\n"),
        ("s:\n  o: 1\n", "s:\n  o: 1\n"),
    ],
)
def test_an_entry_of_a_yaml_file_is_removed(before, after):
    """Removing the last entry leaves an empty section in a YAML file."""
    assert after == blocks.without_entry(before, "s", "n")


@pytest.mark.parametrize(
    "text", ["{}", "s: [1]\n", "s: &x\n", "a: 1\n---\nb: 1\n---\n", "s:\n- a\n", "s: !t\n  n: 1\n"]
)
def test_a_complex_yaml_file_is_refused(text):
    """A YAML file with complex syntax is refused, since its meaning would be a guess."""
    with pytest.raises(ValueError, match=r"not a|more than|expected"):
        blocks.with_entry(text, "s", "n", SHORT)
