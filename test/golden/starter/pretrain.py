"""Train the starter model from random weights, with PyTorch on the CPU.

    python3 pretrain.py --corpus ../shared/corpus --tokenizer build/tokenizer --out build/starter --minutes 60

Stories, books and plain prose as running text; questions with answers, small talk and word problems as chat,
rendered with the tokenizer's own chat template. Loss on every token. Muon for the hidden matrices, AdamW for the
embedding and the norms. The learning rate climbs over the first 2 % of the time, holds, and falls in a straight
line to zero over the last 35 %, which see more chat and less of the old books. The time is what is given, not the
number of steps: the same command does more on a faster machine. Validation losses go to OUT/log.tsv.
"""
import argparse
import gzip
import json
import random
import shutil
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

SHAPE = dict(hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=6,
             num_key_value_heads=2, head_dim=32, max_position_embeddings=512, rms_norm_eps=1e-5)
DOCUMENTS = {"books": "books_children.txt", "stories": "storybooks_asp_pb.txt", "docs": "docs_plain.txt"}
# Share of chat batches, then of each kind of document among the rest: while the rate holds, and while it falls.
HOLD = dict(chat=0.25, books=0.72, stories=0.16, docs=0.12)
FALL = dict(chat=0.55, books=0.50, stories=0.28, docs=0.22)
TEXT_LENGTH, CHAT_LENGTH, BATCH_TOKENS = 256, 512, 8192


def read(corpus: Path, name: str) -> str:
    """The text of a corpus file, which may be stored gzipped."""
    packed = corpus / (name + ".gz")
    return gzip.open(packed, "rt").read() if packed.exists() else (corpus / name).read_text()


def load_documents(corpus, tokenizer):
    """For each kind, one long run of tokens to train on and one held out (every 40th document)."""
    train, held = {}, {}
    for kind, name in DOCUMENTS.items():
        documents = read(corpus, name).split("\n<|endoftext|>\n")
        encoded = [ids + [tokenizer.convert_tokens_to_ids("<|endoftext|>")]
                   for ids in tokenizer(documents, add_special_tokens=False, verbose=False)["input_ids"]]
        train[kind] = torch.tensor([id for i, ids in enumerate(encoded) if i % 40 != 7 for id in ids])
        held[kind] = torch.tensor([id for i, ids in enumerate(encoded) if i % 40 == 7 for id in ids])
    return train, held


def load_chats(corpus, tokenizer):
    """Conversations as token lists: (to train on, held out). Small talk is little, and counts eight times."""
    def pair(question, answer):
        return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    train, held = [], []
    for name in ("fairytaleqa.jsonl", "smalltalk.jsonl", "gsm8k_train.jsonl"):
        for i, line in enumerate(read(corpus, name).splitlines()):
            row = json.loads(line)
            if name == "fairytaleqa.jsonl":
                turns = row["messages"]
                chats = [turns]  # with the passage, and each question again without it
                for asked, answered in zip(turns[::2], turns[1::2]):
                    chats.append(pair(asked["content"].split("\nQuestion: ")[-1], answered["content"]))
            elif name == "smalltalk.jsonl":
                chats = [row.get("messages") or pair(row["question"], row["answer"])] * 8
            elif i % 2 == 0:  # half of the word problems, without the calculator's <<2*3=6>> notes
                parts = [part.split(">>")[-1] for part in row["answer"].split("<<")]
                chats = [pair(row["question"], "".join(parts).replace("\n#### ", "\nThe answer is ") + ".")]
            else:
                continue
            (held if i % 40 == 7 else train).extend(
                tokenizer.apply_chat_template(chat, return_dict=False) for chat in chats)
    return train, held


def text_batch(run, rows, rng):
    """Windows of running text; every token is learned."""
    starts = [rng.randrange(len(run) - TEXT_LENGTH) for _ in range(rows)]
    ids = torch.stack([run[start:start + TEXT_LENGTH] for start in starts])
    return ids, ids.clone()


def chat_batch(chats, rows, rng):
    """Rows of whole conversations one after another, padded at the end; padding is not learned."""
    ids = torch.zeros(rows, CHAT_LENGTH, dtype=torch.long)  # 0 is <|pad|>
    for row in ids:
        filled = 0
        while True:
            chat = torch.tensor(rng.choice(chats)[:CHAT_LENGTH])
            if filled + len(chat) > CHAT_LENGTH:
                break
            row[filled:filled + len(chat)] = chat
            filled += len(chat)
    return ids, ids.masked_fill(ids == 0, -100)


def loss_of(model, ids, labels):
    """Mean cross-entropy of the next token, the model in bfloat16 and the loss in float32."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=ids, use_cache=False).logits
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())


@torch.no_grad()
def validate(model, held, held_chats):
    """Losses on the same held-out rows every time."""
    rng = random.Random(7)
    batches = {kind: text_batch(run, 24, rng) for kind, run in held.items()}
    batches["chat"] = chat_batch(held_chats, 12, rng)
    return {kind: loss_of(model, *batch).item() for kind, batch in batches.items()}


class Muon(torch.optim.Optimizer):
    """Momentum whose every matrix is made near-orthogonal before it is applied (Keller Jordan et al., 2024)."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.05):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                held = self.state[p].setdefault("momentum", torch.zeros_like(p))
                held.lerp_(p.grad, 1 - group["momentum"])
                x = p.grad.lerp(held, group["momentum"]).bfloat16()
                tall = x.shape[0] > x.shape[1]
                x = x.T if tall else x
                x = x / (x.norm() + 1e-7)
                for _ in range(5):  # Newton-Schulz towards the nearest matrix with all singular values 1
                    a = x @ x.T
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = x.T if tall else x
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(x.float(), alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


def export(model, tokenizer_folder, out):
    """A complete folder in the Hub's layout, bfloat16, written beside the old one and then put in its place."""
    fresh = out.with_name(out.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(tokenizer_folder, fresh)
    weights = {name: tensor.detach().bfloat16().contiguous() for name, tensor in model.state_dict().items()
               if name != "lm_head.weight"}  # tied to the embedding
    save_file(weights, fresh / "model.safetensors", metadata={"format": "pt"})
    ends = dict(bos_token_id=None, eos_token_id=2, pad_token_id=0)
    config = dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=model.config.vocab_size, **SHAPE,
                  hidden_act="silu", rope_theta=10000.0, rope_scaling=None, attention_bias=False, mlp_bias=False,
                  attention_dropout=0.0, initializer_range=0.02, tie_word_embeddings=True, use_cache=True,
                  torch_dtype="bfloat16", **ends)
    generation = dict(ends, eos_token_id=[2, 1], do_sample=False, max_new_tokens=64)
    for name, value in (("config.json", config), ("generation_config.json", generation)):
        (fresh / name).write_text(json.dumps(value, indent=2) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--tokenizer", type=Path, default=Path("build/tokenizer"))
    parser.add_argument("--out", type=Path, default=Path("build/starter"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=0.003)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    rng = random.Random(1)

    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    runs, held = load_documents(args.corpus, tokenizer)
    chats, held_chats = load_chats(args.corpus, tokenizer)
    print({kind: len(run) for kind, run in runs.items()}, "chat", sum(map(len, chats)), "tokens to train on")
    # The plain attention is asked for: the fused one is far slower backwards on a CPU.
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, pad_token_id=0,
                                         bos_token_id=None, eos_token_id=2, attn_implementation="eager", **SHAPE))
    print(sum(p.numel() for p in model.parameters()), "parameters")
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim < 2 or "embed" in name]
    optimizers = [Muon(matrices, args.muon_lr), torch.optim.AdamW(others, args.adam_lr, (0.9, 0.95), weight_decay=0.01)]
    peaks = [args.muon_lr, args.adam_lr]

    out_log = args.out.with_name("log.tsv")
    out_log.parent.mkdir(parents=True, exist_ok=True)
    log = out_log.open("w", buffering=1)
    print("minutes", "step", "tokens", "rate", "train", *held, "chat", sep="\t", file=log)
    started, tokens, step, average, exported = time.time(), 0, 0, None, 0
    while True:
        done = (time.time() - started) / (60 * args.minutes)
        rate = min(1, done / 0.02 + 0.01, max(0, 1 - done) / 0.35)
        if step % 250 == 0 or done >= 1:
            losses = validate(model, held, held_chats)
            print(f"{(time.time() - started) / 60:.1f}", step, tokens, f"{rate:.3f}", f"{average or 0:.3f}",
                  *(f"{loss:.3f}" for loss in losses.values()), sep="\t", file=log)
        if done >= 1:
            break
        if time.time() - exported > 240:
            export(model, args.tokenizer, args.out)
            exported = time.time()
        mix = FALL if done > 0.65 else HOLD
        if rng.random() < mix["chat"]:
            ids, labels = chat_batch(chats, BATCH_TOKENS // CHAT_LENGTH, rng)
        else:
            kind = rng.choices(list(DOCUMENTS), [mix[kind] for kind in DOCUMENTS])[0]
            ids, labels = text_batch(runs[kind], BATCH_TOKENS // TEXT_LENGTH, rng)
        for half, target in zip(ids.chunk(2), labels.chunk(2)):  # two halves: the logits are the largest tensor
            loss = loss_of(model, half, target) / 2
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, peak in zip(optimizers, peaks):
            optimizer.param_groups[0]["lr"] = peak * rate
            optimizer.step()
            optimizer.zero_grad()
        value = 2 * loss.item()
        average = value if average is None else 0.98 * average + 0.02 * value
        tokens, step = tokens + int((labels != -100).sum()), step + 1
    export(model, args.tokenizer, args.out)


if __name__ == "__main__":
    main()
