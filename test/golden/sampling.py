"""Probabilities that Transformers (5.12) draws the next token with: its own list of processors, in its own order.

Usage: python3 sampling.py > sampling.json
"""

import json

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, LogitsProcessorList

VOCABULARY = 40
CASES = [
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7},
    {"min_p": 0.1},
    {"min_p": 0.02, "temperature": 1.7},
    {"top_k": 12, "min_p": 0.05},
    {"top_p": 0.8, "min_p": 0.05},
    {"top_p": 0.8, "min_p": 0.4},
    {"top_k": 9, "top_p": 0.7, "temperature": 0.6},
    {"repetition_penalty": 1.5, "temperature": 1.4, "top_k": 20, "top_p": 0.95, "min_p": 0.03},
    {"repetition_penalty": 2.5, "temperature": 0.8, "top_p": 0.6},
    {"repetition_penalty": 1.1, "min_p": 1.0},
]

torch.manual_seed(5)
size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **size))
cases = []
for options in CASES:
    logits = (2.5 * torch.randn(1, VOCABULARY)).mul(1000).round().div(1000)
    # The likeliest token, one far below zero, one that comes twice.
    previous = [int(logits.argmax()), int(logits.argmin()), 7, 3, 7]
    config = GenerationConfig(**{"do_sample": True, "top_k": 0, **options})
    prepared, _ = model._prepare_generation_config(config)
    model._prepare_special_tokens(prepared, device="cpu")
    processors = model._get_logits_processor(prepared, len(previous), logits_processor=LogitsProcessorList())
    scores = processors(torch.tensor([previous]), logits)
    probabilities = scores.double().softmax(-1)
    cases.append(
        {
            "options": options,
            "processors": [type(processor).__name__ for processor in processors],
            "previous": previous,
            "logits": [round(x, 3) for x in logits[0].tolist()],
            "probabilities": [round(x, 9) for x in probabilities[0].tolist()],
        }
    )
print("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]")
