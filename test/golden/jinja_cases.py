"""Asks jinja2 3.1, set up as Transformers sets it up, what templates print: writes jinja_cases.json beside itself.

    python3 test/golden/jinja_cases.py
"""

import json
from datetime import datetime
from pathlib import Path

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_print"), [], [], body).set_lineno(line)

    def _print(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
)
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception
environment.globals["strftime_now"] = lambda form: datetime(2026, 3, 5, 15, 4, 9).strftime(form)

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_nest",
            "description": "Finds nests of a bird.\nOf any <kind> & 'size'.",
            "parameters": {
                "type": "object",
                "properties": {
                    "bird": {"type": "string", "description": "Its name", "enum": ["wren", "rook"]},
                    "height": {"type": ["number", "null"], "default": 2.5},
                    "where": {
                        "type": "object",
                        "properties": {"wood": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "string"}}},
                    },
                },
                "required": ["bird"],
            },
            "return": {"type": "array", "items": {"type": "integer"}},
        },
    },
    {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {}}},
]
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "call12345", "type": "function", "function": {"name": "find_nest", "arguments": {"bird": "wren", "height": 1.5}}},
        {"id": "call67890", "type": "function", "function": {"name": "now", "arguments": {}}},
    ],
}
CONVERSATIONS = {
    "plain": {
        "messages": [
            {"role": "user", "content": "Which bird builds\r\nno nest? "},
            {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nThe cuckoo \"é😀\"."},
            {"role": "user", "content": "And the rook?"},
            {"role": "assistant", "content": " In trees.\n", "reasoning_content": "\nRooks nest high.\n"},
        ]
    },
    "system": {
        "messages": [
            {"role": "system", "content": " Be brief. /no_think"},
            {"role": "user", "content": [{"type": "text", "text": "One?"}, {"type": "image"}]},
            {"role": "assistant", "content": "1"},
        ],
        "enable_thinking": False,
    },
    "tools": {
        "messages": [
            {"role": "system", "content": "Use tools."},
            {"role": "user", "content": "A wren's nest?"},
            CALL,
            {"role": "tool", "name": "find_nest", "tool_call_id": "call12345", "content": "[3, 4]"},
            {"role": "tool", "name": "now", "tool_call_id": "call67890", "content": "12:00"},
            {"role": "assistant", "content": "Two nests."},
            {"role": "user", "content": "Thanks"},
        ],
        "tools": TOOLS,
        "add_generation_prompt": True,
    },
    "odd": {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
}
DEFAULTS = {"bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None, "add_generation_prompt": False}

# In the manner of published chat templates.
TEMPLATES = Path(__file__).with_name("jinja_templates")

# Single constructs, one JSON string a line, rendered with the conversation "tools".
SNIPPETS = Path(__file__).with_name("jinja_snippets.txt")


def render(template, scope):
    try:
        return {"text": environment.from_string(template).render(**{**DEFAULTS, **scope})}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    templates = {path.name: path.read_bytes().decode() for path in sorted(TEMPLATES.glob("*.jinja"))}
    rendered = [
        {"template": name, "conversation": conversation, **render(text, scope)}
        for name, text in templates.items()
        for conversation, scope in CONVERSATIONS.items()
    ]
    snippets = [json.loads(line) for line in SNIPPETS.read_text().splitlines() if line]
    printed = [{"template": text, **render(text, CONVERSATIONS["tools"])} for text in snippets]
    golden = {"defaults": DEFAULTS, "conversations": CONVERSATIONS, "templates": rendered, "snippets": printed}
    Path(__file__).with_name("jinja_cases.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


main()
