"""
Writes combined_adapters.json: LoRA adapters of random numbers and what PEFT's add_weighted_adapter makes of them.
Run with PEFT and PyTorch: python combined_adapters.py. In `svd` alpha is the rank, as PEFT takes alpha / r twice there;
what DARE draws is PyTorch's own, so it is here with a density at which nothing is drawn.
"""

import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

NAMES = ["one", "two", "three"]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Linear(6, 10, bias=False)
        self.down = nn.Linear(10, 5, bias=False)


def config(**changes):
    return LoraConfig(**{"r": 3, "lora_alpha": 6, "target_modules": ["up", "down"], **changes})


def numbers(tensor):
    return {"shape": list(tensor.shape), "values": [float(f"{x:.8g}") for x in tensor.flatten().tolist()]}


def build(configs, weights, combination_type, **options):
    names = NAMES[: len(configs)]
    model = get_peft_model(Net(), configs[0], adapter_name=names[0])
    for name, other in zip(names[1:], configs[1:]):
        model.add_adapter(name, other)
    generator = torch.Generator().manual_seed(7)
    lora = {name: value for name, value in sorted(model.named_parameters()) if "lora_" in name}
    for value in lora.values():
        value.data = torch.randn(value.shape, generator=generator) * 0.3
    model.add_weighted_adapter(names, weights, "out", combination_type=combination_type, **options)

    def of(adapter):
        own = [(name, value) for name, value in model.named_parameters() if f".{adapter}." in name]
        return {name.replace(f".{adapter}.", "."): numbers(value.data) for name, value in own}

    return {
        "type": combination_type,
        "weights": weights,
        "options": options,
        "adapters": [
            {"r": c.r, "alpha": c.lora_alpha, "targets": sorted(c.target_modules), "tensors": of(name)}
            for name, c in zip(names, configs)
        ],
        "combined": of("out"),
    }


CASES = {
    "linear": ([config(), config(lora_alpha=3)], [0.7, 0.3], "linear"),
    "linear, one taken away": ([config(), config(lora_alpha=3)], [1.0, -0.5], "linear"),
    "linear, one on up alone": ([config(), config(target_modules=["up"]), config(lora_alpha=2)], [0.5, 0.25, 0.4], "linear"),
    "cat": ([config(), config(r=2, lora_alpha=4)], [0.7, -0.3], "cat"),
    "cat, one on up alone": ([config(target_modules=["up"]), config(r=2)], [0.7, 0.3], "cat"),
    "svd": ([config(lora_alpha=3), config(r=2, lora_alpha=2)], [0.7, 0.3], "svd"),
    "svd at a smaller rank": ([config(lora_alpha=3), config(r=2, lora_alpha=2)], [0.7, -0.3], "svd", {"svd_rank": 2}),
    "svd at a larger rank": ([config(r=2, lora_alpha=2), config(r=1, lora_alpha=1)], [1.0, 1.0], "svd", {"svd_rank": 5}),
    "ties": ([config(), config(lora_alpha=3)], [0.7, 0.3], "ties", {"density": 0.5}),
    "ties by frequency": (
        [config(), config(lora_alpha=3), config(lora_alpha=2)],
        [0.7, 0.3, 1.0],
        "ties",
        {"density": 0.7, "majority_sign_method": "frequency"},
    ),
    "ties, one taken away": ([config(), config(lora_alpha=3)], [0.7, -0.3], "ties", {"density": 0.33}),
    "magnitude_prune": ([config(), config(lora_alpha=3)], [0.7, 0.3], "magnitude_prune", {"density": 0.4}),
    "dare_ties, nothing drawn": ([config(), config(lora_alpha=3)], [0.7, 0.3], "dare_ties", {"density": 1.0}),
    "dare_linear, nothing drawn": ([config(), config(lora_alpha=3)], [0.7, 0.3], "dare_linear", {"density": 1.0}),
}

cases = {name: build(*case[:3], **(case[3] if len(case) > 3 else {})) for name, case in CASES.items()}
Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
