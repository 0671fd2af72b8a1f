"""Text from the command line is converted to an input value by the model's schema."""

import pytest

from kosmolua.cli import values
from kosmolua.replicate.shape import Shape

STRING = Shape(kinds=("string",))
FILE = Shape(kinds=("string",), format="uri")
INTEGER = Shape(kinds=("integer",))
NUMBER = Shape(kinds=("number",))
BOOLEAN = Shape(kinds=("boolean",))
OBJECT = Shape(kinds=("object",))


def listed(items):
    return Shape(kinds=("array",), items=items)


@pytest.mark.parametrize(
    ("shape", "text", "value"),
    [
        (STRING, "1984", "1984"),
        (STRING, "null", "null"),
        (STRING, "true", "true"),
        (STRING, '["a"]', '["a"]'),
        (STRING, '{"a": 1}', '{"a": 1}'),
        (STRING, "", ""),
        (FILE, "https://example.com/a.png", "https://example.com/a.png"),
        (INTEGER, "7", 7),
        (INTEGER, "-7", -7),
        (INTEGER, "+7", 7),
        (INTEGER, "007", 7),
        (INTEGER, "123456789012345678901234567890", 123456789012345678901234567890),
        (INTEGER, "7.5", 7.5),
        (INTEGER, "seven", "seven"),
        (NUMBER, "0.5", 0.5),
        (NUMBER, "1e3", 1000.0),
        (NUMBER, "3", 3),
        (NUMBER, "nan", "nan"),
        (BOOLEAN, "true", True),
        (BOOLEAN, "False", False),
        (BOOLEAN, "yes", "yes"),
        (OBJECT, '{"a": [1, null]}', {"a": [1, None]}),
        (OBJECT, "{a}", "{a}"),
        (listed(STRING), '["a", "b"]', ["a", "b"]),
        (listed(STRING), "a,b", ["a,b"]),
        (listed(STRING), "1984", ["1984"]),
        (listed(INTEGER), "7", [7]),
        (listed(listed(NUMBER)), "[[1, 2.5]]", [[1, 2.5]]),
        (Shape(kinds=("string",), enum=("1", "2")), "1", "1"),
        (Shape(kinds=("integer",), enum=(1, 2)), "2", 2),
        (Shape(enum=("True", "False")), "True", "True"),
        (Shape(enum=(True, 1)), "true", True),
        (Shape(enum=(True, 1)), "1", 1),
        (Shape(kinds=("integer",), enum=(1, 2)), "x", "x"),
        (Shape(kinds=("integer",), nullable=True), "null", None),
        (Shape(kinds=("string",), nullable=True), "null", "null"),
        (Shape(either=(INTEGER, STRING)), "5", "5"),
        (Shape(either=(INTEGER, BOOLEAN)), "5", 5),
        (Shape(either=(STRING, listed(STRING))), "a", "a"),
        (Shape(either=(STRING, listed(STRING))), '["a"]', ["a"]),
        (None, "1984", 1984),
        (None, "a b", "a b"),
        (None, '["a"]', ["a"]),
        (None, "[not json", "[not json"),
        (Shape(), '{"a": 1}', {"a": 1}),
    ],
)
def test_a_value_is_read_by_its_shape(shape, text, value):
    """Text is not converted if the schema accepts text. Text that does not match the schema is not converted either, so
    that the check can report it."""
    found = values.read(shape, text)

    assert (type(value), value) == (type(found), found)


@pytest.mark.parametrize(
    ("shape", "texts", "value"),
    [
        (listed(INTEGER), ["1", "2"], [1, 2]),
        (listed(STRING), ["1", "2"], ["1", "2"]),
        (STRING, ["1"], "1"),
        (Shape(either=(STRING, listed(STRING))), ["1", "2"], ["1", "2"]),
        (None, ["1", "a"], [1, "a"]),
    ],
)
def test_a_repeated_name_makes_a_list(shape, texts, value):
    """Values of a repeated name become a list, and are converted by the schema of the list's items."""
    assert value == values.read_all(shape, texts)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (FILE, True),
        (listed(FILE), True),
        (Shape(either=(FILE, INTEGER)), True),
        (STRING, False),
        (INTEGER, False),
        (listed(STRING), False),
        (None, True),
    ],
)
def test_a_file_is_sent_as_a_file_or_as_text(shape, expected):
    """A file is sent as a file if the schema has a file type or is unknown; otherwise its text becomes the value."""
    assert expected is values.wants_file(shape)
