"""Train the starter's tokenizer: a byte-level BPE, so that any text makes the round trip.

    python3 tokenizer.py --corpus ../shared/corpus --out build/tokenizer

Reads the corpus (plain or gzipped), trains a vocabulary of 3,072 tokens and writes tokenizer.json,
tokenizer_config.json (with the chat template) and special_tokens_map.json in the Hub's layout.
"""
import argparse
import gzip
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

# In the order of their ids, 0 to 5. <|end|> ends the assistant's turn and is the eos token; <|endoftext|> ends
# a plain document; <|pad|> is a token of its own, so that padding is never mistaken for either.
SPECIAL = ["<|pad|>", "<|endoftext|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]

# <|user|>question<|assistant|>answer<|end|> : three tokens of overhead for a question and its answer.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def read(corpus: Path, name: str) -> str:
    """The text of a corpus file, which may be stored gzipped."""
    packed = corpus / (name + ".gz")
    return gzip.open(packed, "rt").read() if packed.exists() else (corpus / name).read_text()


def texts(corpus: Path):
    """Everything the vocabulary is made from. The plain technical and official prose counts four times: it is
    a twentieth of the text, and closest to what people will fine-tune on."""
    for name, times in (("books_children.txt", 1), ("storybooks_asp_pb.txt", 1), ("docs_plain.txt", 4)):
        for document in read(corpus, name).split("\n<|endoftext|>\n"):
            for _ in range(times):
                yield document
    for name in ("fairytaleqa.jsonl", "smalltalk.jsonl", "gsm8k_train.jsonl"):
        for line in read(corpus, name).splitlines():
            row = json.loads(line)
            for message in row.get("messages", []):
                yield message["content"]
            if "question" in row:
                yield row["question"]
                yield row["answer"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--out", type=Path, default=Path("build/tokenizer"))
    parser.add_argument("--vocab", type=int, default=3072)
    args = parser.parse_args()

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts(args.corpus), trainers.BpeTrainer(
        vocab_size=args.vocab, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    assert [tokenizer.token_to_id(token) for token in SPECIAL] == list(range(len(SPECIAL)))
    for text in ("Fees: $12.50 (21 days)\n\n\ttabs  and  spaces", "na\u00efve \u4f60\u597d \U0001f600"):
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text

    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(args.out / "tokenizer.json"))
    described = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    config = {
        "added_tokens_decoder": {str(id): {"content": token, **described} for id, token in enumerate(SPECIAL)},
        "additional_special_tokens": ["<|system|>", "<|user|>", "<|assistant|>"],
        "bos_token": None,
        "eos_token": "<|end|>",
        "pad_token": "<|pad|>",
        "unk_token": None,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
    }
    special = {"eos_token": "<|end|>", "pad_token": "<|pad|>",
               "additional_special_tokens": config["additional_special_tokens"]}
    for name, value in (("tokenizer_config.json", config), ("special_tokens_map.json", special)):
        (args.out / name).write_text(json.dumps(value, indent=2) + "\n")


if __name__ == "__main__":
    main()
