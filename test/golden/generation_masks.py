"""Writes generation_masks.json: what Transformers renders and masks for templates with {% generation %} blocks.

    python3 test/golden/generation_masks.py          (Transformers 5.12 made the file that is here)

The tokenizer is the built-in starter's, so that the test needs nothing else. No block ends with a character of several
tokens: of those Transformers' mask has the first only.
"""

import json
from pathlib import Path

from transformers import AutoTokenizer
from transformers.utils.chat_template_utils import render_jinja_template

HERE = Path(__file__).resolve().parent

TEMPLATES = {
    "content and end of turn": (
        "{% for message in messages %}<|{{ message.role }}|>\n"
        "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|end|>{% endgeneration %}"
        "{% else %}{{ message.content }}<|end|>{% endif %}\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
    "content alone, trimmed": (
        "{%- for message in messages -%}\n"
        "  {%- if message['role'] == 'assistant' -%}\n"
        "    {{- 'A: ' -}}\n"
        "    {%- generation -%}\n"
        "      {{- message['content'] | trim -}}\n"
        "    {%- endgeneration -%}\n"
        "    {{- '\\n' -}}\n"
        "  {%- else -%}\n"
        "    {{- message['role'] + ': ' + message['content'] + '\\n' -}}\n"
        "  {%- endif -%}\n"
        "{%- endfor -%}"
    ),
    "lines that are trimmed as blocks": (
        "{% for message in messages %}\n"
        "{% if message.role == 'assistant' %}\n"
        "  {% generation %}\n"
        "  {{ message.content }}\n"
        "  {% endgeneration %}\n"
        "{% else %}\n"
        "  {{ message.content }}\n"
        "{% endif %}\n"
        "{% endfor %}\n"
    ),
    "a scope of its own": (
        "{% set end = '<|end|>' %}{% set ns = namespace(n=0) %}"
        "{% for message in messages %}{% if message.role == 'assistant' %}"
        "{% generation %}{% set end = '!' %}{% set ns.n = ns.n + 1 %}{{ loop.index }}{{ message.content }}{{ end }}{% endgeneration %}"
        "{{ end }}{{ ns.n }}{% else %}{{ message.content }}{{ end }}{% endif %}{% endfor %}"
    ),
    "the last answer only": (
        "{% for message in messages %}{% if message.role == 'assistant' and loop.last %}"
        "{% generation %}{{ message.content }}{% endgeneration %}{% else %}{{ message.content }}{% endif %}<|end|>{% endfor %}"
    ),
}

CONVERSATIONS = [
    [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two,\n\nplease?"},
        {"role": "assistant", "content": " na\u00efve 2 \n"},
    ],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello \U0001F642."}],
]


def main():
    tokenizer = AutoTokenizer.from_pretrained(HERE.parents[1] / "public/models/starter")
    cases = []
    for name, template in TEMPLATES.items():
        for messages in CONVERSATIONS:
            texts, spans = render_jinja_template(
                [messages], chat_template=template, return_assistant_tokens_mask=True, **tokenizer.special_tokens_map
            )
            coded = tokenizer.apply_chat_template(
                messages, chat_template=template, return_assistant_tokens_mask=True, return_dict=True
            )
            cases.append(
                {
                    "name": name,
                    "template": template,
                    "messages": messages,
                    "text": texts[0],
                    "generated": [texts[0][start:end] for start, end in spans[0]],
                    "input_ids": coded["input_ids"],
                    "mask": coded["assistant_masks"],
                }
            )
    text = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "generation_masks.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
