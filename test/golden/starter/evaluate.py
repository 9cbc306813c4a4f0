"""Held-out losses and sample generations of the finished starter, from the folder as it is shipped.

    python3 evaluate.py --corpus ../shared/corpus --model public/models/starter

The same documents and conversations that pretrain.py holds out, all of them this time, in float32.
"""
import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from pretrain import TEXT_LENGTH, load_chats, load_documents

CHATS = ("Hello!", "How are you?", "What is your name?", "Thank you!", "Why was the princess sad?",
         "Tom has 3 apples and buys 4 more. How many apples does he have?", "Who decides whether a title fee is waived?")
OPENINGS = ("Once upon a time there was a little girl who", "Write short sentences, because")


@torch.no_grad()
def mean_loss(model, rows):
    """(mean cross-entropy per token, tokens) over rows of token ids, one row at a time."""
    total, count = 0.0, 0
    for ids in rows:
        logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
        total += F.cross_entropy(logits, ids[1:], reduction="sum").item()
        count += len(ids) - 1
    return total / count, count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--model", type=Path, default=Path("public/models/starter"))
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32, attn_implementation="eager").eval()

    _, held = load_documents(args.corpus, tokenizer)
    _, chats = load_chats(args.corpus, tokenizer)
    distinct = sorted({tuple(chat[:512]) for chat in chats})
    rows = {kind: list(run.split(TEXT_LENGTH)) for kind, run in held.items()}
    rows["chat"] = [torch.tensor(chat) for chat in distinct]
    for kind, kind_rows in rows.items():
        loss, count = mean_loss(model, [row for row in kind_rows if len(row) > 1])
        print(f"{kind}: loss {loss:.3f}, perplexity {math.exp(loss):.1f}, {count} tokens")

    for question in CHATS:
        inputs = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True,
                                               return_tensors="pt", return_dict=True)
        output = model.generate(**inputs, max_new_tokens=60, do_sample=False)
        print(f"{question} -> {tokenizer.decode(output[0, inputs['input_ids'].shape[1]:], skip_special_tokens=True)!r}")
    for opening in OPENINGS:
        torch.manual_seed(1)
        inputs = tokenizer(opening, return_tensors="pt")
        output = model.generate(input_ids=inputs["input_ids"], max_new_tokens=60, do_sample=True, temperature=0.7, top_k=40)
        print(repr(tokenizer.decode(output[0], skip_special_tokens=True)))


if __name__ == "__main__":
    main()
