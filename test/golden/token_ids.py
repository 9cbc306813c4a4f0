"""Ids that the Rust tokenizers library (0.23.1) gives for random texts under many settings of tokenizer.json.

Usage: python3 token_ids.py CORPUS CASES SEED > token_ids.json
CORPUS is a text to train four small models on (the committed file: this project's ARCHITECTURE.md, 72 cases, seed 1).
A case is a model, keys of tokenizer.json that are set, added tokens, texts, and the ids of each text without special
tokens around it.
"""

import json
import random
import sys

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

MARK = "\u2581"
FRAGMENTS = [
    "the", "The", "graph", "engine's", "don't", "WE'LL", "a", "b", "tide", "tides", "ebbtide", "token", "tool",
    " ", " ", " ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u200b", "\u0085", "\ufeff",
    ".", ",", "!?", "...", "-", "_", "(", ")", "\"", "'", "$", "^", "`", "<", ">", "|", "/", "\u2014", "\u00bf",
    "0", "7", "42", "1234", "12345678", "3.14", "\u0663", "\u00b2", "\u2460", "\u216b",
    "caf\u00e9", "cafe\u0301", "\u00c9", "\u00df", "\u03a3\u03a3", "\u0130", "\u01c5", "na\u00efve", "\u212b", "\ufb01",
    "\u6f22\u5b57", "\u65e5\u672c\u8a9e", "\u304b\u3099", "\ud55c\uad6d", "\u1112\u1161\u11ab", "\u043f\u0440\u0438\u0432\u0435\u0442",
    "\u0627\u0644", "\u0939\u093f", "\u0e01\u0e33", "\U0001f642", "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    MARK, "<s>", "</s>", "<think>", "</think>", "<tool>", "<tool>s", "<|im_end|>", "<|im", "[UNK]", "##a", "\u0120",
]
CONTENTS = [
    "tide", "<think>", "</think>", "<tool>", "<tool>s", "ool>", "<|im_end|>", "<|im", "|>", "the", " the", "Token",
    "\n\n", "\n", "  ", "caf\u00e9", "\u6f22", "12", "ab", "b", "\u2460", "_", "'ll", MARK + "a", "\u03a3",
    "\U0001f642", "-", " a", "a ", "S",
]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def byte_level(rng, regex=None):
    return {
        "type": "ByteLevel",
        "add_prefix_space": rng.random() < 0.4,
        "trim_offsets": True,
        "use_regex": rng.random() < 0.6 if regex is None else regex,
    }


def metaspace(rng):
    scheme = rng.choice(["always", "first", "never"])
    return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": rng.random() < 0.5}


def split(rng):
    pattern = rng.choice(
        [{"Regex": GPT2}, {"Regex": LLAMA3}, {"Regex": QWEN2}, {"Regex": O200K}, {"Regex": r"\s+"}, {"Regex": r"\p{L}+"},
         {"Regex": r"[\r\n]"}, {"Regex": r"\b\w"}, {"Regex": "[0-9][0-9][0-9]"}, {"String": " "}, {"String": "."},
         {"String": "to"}, {"String": MARK}]
    )
    return {"type": "Split", "pattern": pattern, "behavior": rng.choice(BEHAVIORS), "invert": rng.random() < 0.2}


def cutter(rng):
    return rng.choice(
        [split(rng), split(rng), metaspace(rng), {"type": "Digits", "individual_digits": rng.random() < 0.5},
         {"type": "Punctuation", "behavior": rng.choice(BEHAVIORS)}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
         {"type": "BertPreTokenizer"}, {"type": "CharDelimiterSplit", "delimiter": "-"},
         {"type": "FixedLength", "length": rng.randint(1, 9)}]
    )


def pre_tokenizer(rng, model):
    if model == "bytes":
        steps = rng.choice(
            [[], [{"type": "Digits", "individual_digits": True}], [split(rng)], [split(rng), split(rng)],
             [{"type": "Split", "pattern": {"Regex": rng.choice([LLAMA3, QWEN2, O200K])}, "behavior": "Isolated", "invert": False}],
             [cutter(rng)]]
        )
        steps = steps + [byte_level(rng, False if len(steps) > 1 else None)]
    elif model == "wordpiece":
        steps = rng.choice([[{"type": "BertPreTokenizer"}], [{"type": "Whitespace"}], [cutter(rng)]])
    else:
        steps = rng.choice([[], [metaspace(rng)], [metaspace(rng)], [{"type": "WhitespaceSplit"}, metaspace(rng)],
                            [cutter(rng)], [cutter(rng), metaspace(rng)], [cutter(rng), cutter(rng)]])
    if not steps:
        return None
    return steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps}


def normalizer(rng, model):
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
    kinds = [
        None, None, None, {"type": "NFC"}, {"type": "NFD"}, {"type": "NFKC"}, {"type": "NFKD"}, {"type": "Lowercase"}, {"type": "StripAccents"},
        {"type": "Strip", "strip_left": rng.random() < 0.5, "strip_right": rng.random() < 0.5},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        {"type": "Replace", "pattern": {"String": "``"}, "content": "$&"},
        {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}]},
        {"type": "Prepend", "prepend": MARK},
        {"type": "Nmt"},
    ]
    if model == "wordpiece":
        kinds += [{"type": "BertNormalizer", "clean_text": rng.random() < 0.7, "handle_chinese_chars": rng.random() < 0.7,
                   "strip_accents": rng.choice([None, True, False]), "lowercase": rng.random() < 0.6}] * 6
    if model in ("bpe", "unigram"):
        kinds += [spaces, {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": MARK}, spaces]}] * 3
    return rng.choice(kinds)


def added_tokens(rng, first_id):
    contents = rng.sample(CONTENTS, rng.choice([0, 1, 2, 3, 5]))
    flag = lambda share=0.3: rng.random() < share
    return [
        {"id": first_id + i, "content": content, "single_word": flag(), "lstrip": flag(), "rstrip": flag(),
         # A token of white space that a normalizer takes away would be found everywhere.
         "normalized": flag() and content.strip() != "", "special": flag(0.5)}
        for i, content in enumerate(contents)
    ]


def text(rng):
    return "".join(rng.choice(FRAGMENTS) for _ in range(rng.choice([1, 3, 8, 20])))


def train(corpus):
    trained = {}
    special = ["<unk>", "<s>", "</s>"]
    bpe = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    bpe.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=700, special_tokens=special + names, show_progress=False))
    trained["bpe"] = bpe
    by_bytes = Tokenizer(models.BPE())
    by_bytes.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    by_bytes.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False))
    trained["bytes"] = by_bytes
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.train_from_iterator(
        corpus, trainers.UnigramTrainer(vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False))
    trained["unigram"] = unigram
    word_piece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    word_piece.normalizer = normalizers.BertNormalizer()
    word_piece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    word_piece.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=400, special_tokens=["[UNK]"], show_progress=False))
    trained["wordpiece"] = word_piece
    result = {name: json.loads(tokenizer.to_str())["model"] for name, tokenizer in trained.items()}
    for model in result.values():
        if "merges" in model:
            model["merges"] = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    return result


def main():
    corpus, cases, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    trained = train(open(corpus, encoding="utf8").read().split("\n"))
    rng = random.Random(seed)
    result = []
    while len(result) < cases:
        name = rng.choice(["bpe", "bpe", "bytes", "bytes", "unigram", "wordpiece"])
        options = {}
        if name == "bpe":
            options = {"fuse_unk": rng.random() < 0.5, "byte_fallback": rng.random() < 0.5, "ignore_merges": rng.random() < 0.2,
                       "unk_token": rng.choice(["<unk>", None])}
        elif name == "bytes":
            options = {"ignore_merges": rng.random() < 0.3}
        elif name == "unigram":
            options = {"byte_fallback": rng.random() < 0.3}
        model = {**trained[name], **options}
        entries = model["vocab"].items() if isinstance(model["vocab"], dict) else [(entry[0], i) for i, entry in enumerate(model["vocab"])]
        vocab = dict(entries)
        added = [token for token in added_tokens(rng, max(vocab.values()) + 1)]
        following = max(vocab.values()) + 1
        for token in added:
            known = vocab.get(token["content"])
            token["id"] = following if known is None else known
            following += known is None
        set_keys = {"normalizer": normalizer(rng, name), "pre_tokenizer": pre_tokenizer(rng, name)}
        file = {"version": "1.0", "added_tokens": added, "post_processor": None, "decoder": None, "model": model, **set_keys}
        tokenizer = Tokenizer.from_str(json.dumps(file))
        texts, ids = [], []
        for _ in range(8):
            one = text(rng)
            try:
                ids.append(tokenizer.encode(one, add_special_tokens=False).ids)
                texts.append(one)
            except BaseException as error:  # the library panics where tokens overlap
                print(name, repr(one), error, file=sys.stderr)
        result.append({"model": name, "options": options, "set": set_keys, "added_tokens": added, "texts": texts, "ids": ids})
    models_text = json.dumps(trained, ensure_ascii=False)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in result)
    print(f'{{"models": {models_text},\n"cases": [\n{lines}\n]}}')


main()
