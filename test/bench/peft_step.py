"""A LoRA training step in PyTorch and PEFT at the shapes that `npm run bench` times: rank 16 on every linear, bf16
weights, micro-batch 1, gradient checkpointing, AdamW on f32 adapters; eager and compiled, and on NF4 weights where
bitsandbytes is installed.

    python3 test/bench/peft_step.py --json [--model NAME] [--layers N] [--vocabulary N] [--tokens N]

Weights are random: only the shapes matter. Without torch, transformers or peft it says so and ends well.
"""

import argparse
import json
import math
import statistics
import time

WARM_STEPS = 3
TIMED_STEPS = 10

# name: hidden, intermediate, layers, heads, key-value heads, vocabulary, tied head, biases of q, k and v
MODELS = {
    "Llama-3.2-1B": (2048, 8192, 16, 32, 8, 128256, True, False),
    "Qwen2.5-0.5B": (896, 4864, 24, 14, 2, 151936, True, False),
    "Phi-3-mini": (3072, 8192, 32, 32, 32, 32064, False, False),
    "Llama-3-8B": (4096, 14336, 32, 32, 8, 128256, False, False),
}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--model", choices=MODELS, help="one of the models instead of all")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=1 << 30, help="at most that many tokens")
    parser.add_argument("--tokens", type=int, default=512)
    return parser.parse_args()


def missing():
    """The first package that is not there, or None."""
    for package in ("torch", "transformers", "peft"):
        try:
            __import__(package)
        except ImportError:
            return package
    return None


def build(name, args, device, quantized):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, intermediate, layers, heads, kv_heads, vocabulary, tied, bias = MODELS[name]
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=min(args.layers, layers),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=min(args.vocabulary, vocabulary),
        max_position_embeddings=8192,
        tie_word_embeddings=tied,
        attention_bias=bias,
        use_cache=False,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    if quantized:
        quantize(model)
    model.to(device)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    lora = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=TARGETS, task_type="CAUSAL_LM")
    model = get_peft_model(model, lora)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model, config


def quantize(model):
    """Every linear of a layer in NF4 with nested scales; they are packed when they are moved to the device."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit

    for layer in model.model.layers:
        for block in (layer.self_attn, layer.mlp):
            for name, linear in list(block.named_children()):
                if not isinstance(linear, torch.nn.Linear):
                    continue
                packed = Linear4bit(
                    linear.in_features,
                    linear.out_features,
                    bias=False,
                    compute_dtype=torch.bfloat16,
                    compress_statistics=True,
                    quant_type="nf4",
                )
                packed.weight = Params4bit(
                    linear.weight.data.cpu(), requires_grad=False, compress_statistics=True, quant_type="nf4"
                )
                setattr(block, name, packed)


def step_time(model, config, args, device, compiled):
    """Median seconds of a step, after its loss was checked."""
    import torch

    ids = torch.arange(args.tokens, device=device).mul(7919).add(13).remainder(config.vocab_size)[None]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0)
    forward = torch.compile(model) if compiled else model

    def step():
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = forward(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()
        return loss.item()

    loss = step()
    # Random weights know nothing: the loss begins near that of guessing.
    if not math.isfinite(loss) or abs(loss - math.log(config.vocab_size)) > 1.5:
        raise SystemExit(f"the first loss is {loss}, and guessing gives {math.log(config.vocab_size)}")
    for _ in range(WARM_STEPS - 1):
        step()
    times = []
    for _ in range(TIMED_STEPS):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure(args):
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        import bitsandbytes  # noqa: F401

        types = ["bf16", "nf4_nested"] if device == "cuda" else ["bf16"]
    except ImportError:
        types = ["bf16"]
    rows = []
    for name in [args.model] if args.model else MODELS:
        for dtype in types:
            for compiled in (False, True):
                row = {"model": name, "dtype": dtype, "mode": "compiled" if compiled else "eager"}
                try:
                    model, config = build(name, args, device, dtype != "bf16")
                    seconds = step_time(model, config, args, device, compiled)
                    row.update(layers=config.num_hidden_layers, vocabulary=config.vocab_size, tokens=args.tokens)
                    row.update(milliseconds=1000 * seconds, tokens_per_second=args.tokens / seconds)
                except Exception as error:  # a compiler that is not there, a card that is too small
                    row["skipped"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                rows.append(row)
                model = None
                if device == "cuda":
                    torch.cuda.empty_cache()
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"device": name, "torch": torch.__version__, "rows": rows}


def main():
    args = arguments()
    absent = missing()
    result = {"skipped": f"There is no {absent} for this Python.", "rows": []} if absent else measure(args)
    if args.json:
        print(json.dumps(result))
        return
    if absent:
        print(result["skipped"])
        return
    print(f"{result['device']}, PyTorch {result['torch']}")
    for row in result["rows"]:
        rate = row.get("skipped") or f"{row['tokens_per_second']:.1f} tokens/s, {row['milliseconds']:.2f} ms"
        print(f"{row['model']:14} {row['dtype']:11} {row['mode']:9} {rate}")


if __name__ == "__main__":
    main()
