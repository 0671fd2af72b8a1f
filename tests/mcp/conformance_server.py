"""The server that the official conformance suite tests, behind the HTTP transport of the product:

    python tests/mcp/conformance_server.py PORT

It provides the tools, resources and prompts that the suite expects. The product does not offer logging, completion,
sampling, subscriptions, or forms other than the gate's question, so this server does not either.
"""

import sys

from kosmolua.mcp import http
from kosmolua.mcp.protocol import invalid
from kosmolua.mcp.service import Options, Service
from kosmolua.mcp.work import Current, Work

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
TEXT = {"type": "text", "text": "This is a simple text response for testing."}
IMAGE = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": SOUND, "mimeType": "audio/wav"}
EMBEDDED = {
    "type": "resource",
    "resource": {
        "uri": "test://embedded-resource",
        "mimeType": "text/plain",
        "text": "This is an embedded resource content.",
    },
}
CONTENT = {
    "test_simple_text": [TEXT],
    "test_image_content": [IMAGE],
    "test_audio_content": [AUDIO],
    "test_embedded_resource": [EMBEDDED],
    "test_multiple_content_types": [TEXT, IMAGE, EMBEDDED],
    "test_error_handling": [{"type": "text", "text": "This tool intentionally returns an error for testing"}],
    "test_tool_with_progress": [TEXT],
}
RESOURCES = {
    "test://static-text": {"mimeType": "text/plain", "text": "This is the content of the static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": PIXEL},
}
TEMPLATE = "test://template/{id}/data"


def said(content):
    return {"role": "user", "content": content}


class Fixture(Service):
    """The suite's tools, resources and prompts instead of the product's."""

    def __init__(self):
        super().__init__(None, Current(), Options(tools=(), code=False, max_chars=1000))
        self._methods = {
            "tools/list": lambda _: {
                "tools": [
                    {"name": name, "description": name, "inputSchema": {"type": "object", "properties": {}}}
                    for name in CONTENT
                ]
            },
            "resources/list": lambda _: {"resources": [{"uri": uri, "name": uri} for uri in RESOURCES]},
            "resources/templates/list": lambda _: {
                "resourceTemplates": [{"uriTemplate": TEMPLATE, "name": "template"}]
            },
            "resources/read": self._read,
            "prompts/list": lambda _: {"prompts": PROMPTS},
            "prompts/get": lambda params: {"messages": MESSAGES[params["name"]](params.get("arguments") or {})},
        }

    def left(self):
        return None

    def call(self, params, peer):
        name = params["name"]
        if name not in CONTENT:
            raise invalid(f"unknown tool {name}")
        work = Work(peer, {})

        def action():
            for step in ("begun", "half", "done") if name == "test_tool_with_progress" else ():
                peer.progress(step)
            return {"content": CONTENT[name], "isError": name == "test_error_handling"}

        work.start(action, lambda: None)
        return work

    def _read(self, params):
        uri = params["uri"]
        if uri in RESOURCES:
            return {"contents": [{"uri": uri, **RESOURCES[uri]}]}
        identifier = uri.removeprefix("test://template/").removesuffix("/data")
        text = f'{{"id": "{identifier}", "templateTest": true, "data": "Data for ID: {identifier}"}}'
        return {"contents": [{"uri": uri, "mimeType": "application/json", "text": text}]}


def argument(name):
    return {"name": name, "description": name, "required": True}


PROMPTS = [
    {"name": "test_simple_prompt", "description": "simple"},
    {"name": "test_prompt_with_arguments", "description": "two", "arguments": [argument("arg1"), argument("arg2")]},
    {"name": "test_prompt_with_embedded_resource", "description": "one", "arguments": [argument("resourceUri")]},
    {"name": "test_prompt_with_image", "description": "an image"},
]
MESSAGES = {
    "test_simple_prompt": lambda _: [said({"type": "text", "text": "This is a simple prompt for testing."})],
    "test_prompt_with_arguments": lambda given: [
        said({"type": "text", "text": f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'"})
    ],
    "test_prompt_with_embedded_resource": lambda given: [
        said({"type": "resource", "resource": {"uri": given["resourceUri"], "mimeType": "text/plain", "text": "text"}}),
        said({"type": "text", "text": "Please process the embedded resource above."}),
    ],
    "test_prompt_with_image": lambda _: [
        said(IMAGE),
        said({"type": "text", "text": "Please analyze the image above."}),
    ],
}


def main():
    endpoint = http.Endpoint(host="127.0.0.1", port=int(sys.argv[1]), token=None)
    sessions = http.Sessions(lambda _shared: Fixture(), lambda _: None)
    http.serve(sessions, endpoint, "", lambda url: print(url, flush=True))


if __name__ == "__main__":
    main()
