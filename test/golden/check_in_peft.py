"""Loads an adapter folder that Graft wrote in PEFT itself and compares logits.

    npx graft forward --model MODEL --adapter ADAPTER --input IDS.json --output OUT.safetensors
    python3 test/golden/check_in_peft.py MODEL ADAPTER IDS.json OUT.safetensors

Needs torch, transformers, peft and safetensors; no test of the project calls it. Exits non-zero past 2e-5.
"""
import json
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

TOLERANCE = 2e-5

model_dir, adapter_dir, ids_file, output_file = sys.argv[1:]
base = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
model = PeftModel.from_pretrained(base, adapter_dir).eval()
ids = torch.tensor(json.load(open(ids_file))["input_ids"])
with torch.no_grad():
    expected = model(input_ids=ids).logits
    with model.disable_adapter():
        without = model(input_ids=ids).logits
actual = load_file(output_file)["logits"]
error = ((actual - expected).norm() / expected.norm()).item()
effect = ((without - expected).norm() / expected.norm()).item()
print(f"relative error {error:.2e}; the adapter itself moves the logits by {effect:.2e}")
sys.exit(0 if error < TOLERANCE and effect > 100 * TOLERANCE else 1)
