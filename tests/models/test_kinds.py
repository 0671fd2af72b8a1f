"""Handwritten models of each kind in `public.py`: their inputs, stubs and pages."""

import public
import pytest
from lupa.luajit21 import LuaRuntime


def model(properties, *, required=(), given=None, output=None, **facts):
    schemas = {
        "Input": {"type": "object", "title": "Input", "properties": properties, "required": list(required)},
        "Output": output or {"type": "string", "title": "Output"},
        "size": {"title": "size", "type": "integer", "enum": [256, 512, 768], "description": "An enumeration."},
        "word": {"title": "word", "type": "string", "enum": [f"w{n}, of a list" for n in range(1001)]},
    }
    version = {"id": "a" * 64, "openapi_schema": {"components": {"schemas": schemas}}}
    example = {"version": "a" * 64, "status": "succeeded", "input": given or {}, "error": "", "output": "x"}
    made = {"owner": "a", "name": "b", "description": None, "visibility": "public", "run_count": 1}
    return {**made, "latest_version": version, "default_example": example, **facts}


SIZE = {"allOf": [{"$ref": "#/components/schemas/size"}], "default": 512, "x-order": 0}
WORD = {"allOf": [{"$ref": "#/components/schemas/word"}], "default": "w1, of a list"}
URI = {"type": "string", "format": "uri"}
SECRET = {"type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True}
NUMBER, TEXT = {"type": "number"}, {"type": "string"}
KINDS = {
    "numbers as text": model({"w": SIZE, "n": NUMBER}, given={"w": "512", "n": "7.5"}),
    "null": model({"n": NUMBER, "image": {"anyOf": [URI, {"type": "null"}]}}, given={"n": None, "image": None}),
    "another type": model({"flag": {"type": "boolean", "enum": ["True", "False"]}}, given={"flag": True}),
    "one of two types": model({"text": {"anyOf": [TEXT, {"type": "array", "items": TEXT}]}}, given={"text": ["a"]}),
    "a secret": model({"key": SECRET}, required=["key"], given={"key": "[REDACTED]"}),
    "removed": model({"text": TEXT}, data_removed=True),
    "a long enum": model({"word": WORD}, given={"word": "w900, of a list"}),
    "any": model({"x": {}}, required=["x"], given={"x": {"a": [1, None]}}),
    "no inputs": model({}),
    "odd names": model({"end": TEXT, "a b": TEXT, "7": TEXT, '"]]': TEXT}, given={"end": "x"}),
    "a large seed": model({"seed": {"type": "integer", "maximum": 18446744073709552000}}, given={"seed": 2**64 - 1}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_model(kind):
    """The model's input is valid, its stubs load, its page can be printed, and its example is a command."""
    loads = LuaRuntime().eval("function(text) return load(text, '=stub', 't') ~= nil end")

    assert public.checked(KINDS[kind])["pass"]
    assert loads(public.stub(KINDS[kind]))
    assert all(c.isprintable() or c == "\n" for c in public.page(KINDS[kind]))
    assert public.is_command(KINDS[kind])


def inputs(properties, **options):
    """The input rows of the page, and the example."""
    table = public.page(model(properties, **options)).partition("inputs\n")[2]
    return [" ".join(line.split()) for line in table.partition("\n\n")[0].splitlines()]


@pytest.mark.parametrize(
    ("schema", "row"),
    [
        ({**TEXT, "default": "\n\n"}, r'x string "\n\n"'),
        ({**TEXT, "default": " "}, 'x string " "'),
        ({**TEXT, "default": ""}, 'x string ""'),
        ({**TEXT, "default": "\x1b[2J"}, r'x string "\u001b[2J"'),
        ({**TEXT, "default": "a" * 40}, f'x string "{"a" * 29}…'),
        ({"type": "integer", "minimum": 1.0, "maximum": 4.0}, "x integer optional From 1 to 4."),
        ({**NUMBER, "exclusiveMinimum": 0, "maximum": 1.5}, "x number optional Of at most 1.5, above 0."),
        ({"type": "integer", "multipleOf": 8}, "x integer optional In multiples of 8."),
        ({**TEXT, "pattern": "^[a-z]+$"}, 'x string optional Matching "^[a-z]+$".'),
        ({**TEXT, "deprecated": True, "description": "Old."}, "x string optional Deprecated. Old."),
        ({**TEXT, "enum": ["a, b", "c"]}, 'x string optional One of "a, b", "c".'),
        ({**TEXT, "enum": ["\n", ""]}, r'x string optional One of "\n", "".'),
        ({"type": "array", "items": {"enum": [1, 2]}}, "x list optional One of 1, 2."),
        ({"allOf": [{"$ref": "#/components/schemas/size"}]}, "x integer optional One of 256, 512, 768."),
    ],
)
def test_how_a_page_describes_an_input(schema, row):
    """The page shows values as JSON and bounds in words."""
    assert [row] == inputs({"x": schema})


def test_a_long_enum():
    """The page shows the first twelve values and the count; --all shows the rest."""
    short, whole = (public.shown(public.data(KINDS["a long enum"], whole=each), whole=each) for each in (False, True))

    assert '"w11, of a list" and 989 more: see --all.' in " ".join(short.split())
    assert "w12, of a list" not in short
    assert '"w1000, of a list".' in " ".join(whole.split())


@pytest.mark.parametrize(
    ("schema", "given", "value"),
    [
        (TEXT, None, "x='<x>'"),
        (TEXT, "two  blanks", "x='two  blanks'"),
        (TEXT, "two\nlines", "x='two\nlines'"),
        (TEXT, "\t\x1b\u202e", "x='<x>'"),
        (TEXT, "long " * 30, "x='<x>'"),
        (TEXT, "", "x='<x>'"),
        (SECRET, "[REDACTED]", "x='<x>'"),
        (URI, "cat.png", "x=@photo.png"),
        (URI, "https://replicate.delivery/cat.png", "x='https://replicate.delivery/cat.png'"),
        ({"type": "array", "items": URI}, None, "x=@photo.png"),
        ({"type": "array", "items": TEXT}, None, """'{"x":["<x>"]}'"""),
        ({"type": "array", "items": TEXT}, ["a", "b"], """'{"x":["a","b"]}'"""),
        ({"type": "object"}, None, "x='<x>'"),
        ({"type": "integer", "minimum": 3}, "12", "x=3"),
        ({"type": "integer", "exclusiveMinimum": 0, "multipleOf": 8}, None, "x=8"),
        ({"type": "boolean"}, None, "x=true"),
        (SIZE | {"default": None}, 5, "x=256"),
    ],
)
def test_the_value_in_an_example(schema, given, value):
    """The example has the model's own value if that is valid; otherwise it has a placeholder, which is rejected before
    sending.
    """
    made = model({"x": {name: fact for name, fact in schema.items() if name != "default"}}, required=["x"],
                 given={"x": given})  # fmt: skip
    problems = public.version_of(made).inputs.check({"x": ["<x>"] if "[" in value else "<x>"})

    assert f"kosmo run --write allow a/b {value}" == public.data(made)["example"]
    assert "<x>" not in value or problems


def test_files_in_an_example():
    """Files are paths with the right suffix; values that are not plain words go into a JSON object."""
    fields = {"style": {"type": "object"}, "image": URI, "voice_audio": URI, "source_video": URI}
    made = model(fields | {"tags": {"type": "array", "items": TEXT}}, required=[*fields, "tags"])

    assert (
        """kosmo run --write allow a/b '{"style":"<style>","tags":["<tags>"]}' """
        "image=@photo.png voice_audio=@sound.mp3 source_video=@film.mp4"
    ) == public.data(made)["example"]
