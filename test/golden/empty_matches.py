"""Ids that the Rust tokenizers library (0.23.1) gives where a Split pattern matches between two characters.

Usage: python3 empty_matches.py public/models/starter/tokenizer.json > empty_matches.json
"""

import json
import sys

from tokenizers import Tokenizer

PATTERNS = [r"(?=(\d{3})+(?!\d))", r"(?<=\d)(?=\d)", r"\b", r"(?=\S)", r"\d*", r"\s*", r"(?<=.)"]
BEHAVIORS = ["Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"]
TEXTS = ["1234567 in 2024", "ab cd", "a1b22 c333"]

base = json.load(open(sys.argv[1]))
cases = []
for regex in PATTERNS:
    for behavior in BEHAVIORS:
        split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": False}
        spell = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        pre_tokenizer = {"type": "Sequence", "pretokenizers": [split, spell]}
        tokenizer = Tokenizer.from_str(json.dumps({**base, "pre_tokenizer": pre_tokenizer}))
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
        cases.append({"regex": regex, "behavior": behavior, "texts": TEXTS, "ids": ids})
print(json.dumps(cases, ensure_ascii=False, separators=(",", ":")))
