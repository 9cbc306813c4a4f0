"""
Goes on with a run of Graft on as many processes as `accelerate launch` starts: same rows in the same order, same learning
rates, the optimiser's moments as they were. What it needs lies beside it; what it learns is written to the output folder
that handoff.json names.

    accelerate launch continue.py
"""

import json
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

HERE = Path(__file__).resolve().parent
IGNORED = -100


def read_lines(path):
    if not path.exists():
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def load_model(settings, accelerator):
    options = {"dtype": getattr(torch, settings["dtype"]), "revision": settings["revision"]}
    if settings["load_in_4bit"]:
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=settings["bnb_4bit_quant_type"],
            bnb_4bit_use_double_quant=settings["use_bnb_nested_quant"],
            bnb_4bit_compute_dtype=options["dtype"],
        )
        options["device_map"] = {"": accelerator.process_index}
    if not settings["use_peft"]:
        return AutoModelForCausalLM.from_pretrained(HERE / "model", dtype=torch.float32)
    from peft import PeftConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training, set_peft_model_state_dict

    base = settings["model"]
    model = AutoModelForCausalLM.from_pretrained(HERE / base if (HERE / base).exists() else base, **options)
    if settings["load_in_4bit"]:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = PeftConfig.from_pretrained(HERE / "adapter")
    if not config.is_prompt_learning:
        return PeftModel.from_pretrained(model, HERE / "adapter", is_trainable=True)
    # PEFT opens a prompt for inference alone: this one is begun at random, and then put in its place.
    config.inference_mode, config.prompt_tuning_init = False, "RANDOM"
    model = get_peft_model(model, config)
    set_peft_model_state_dict(model, load_file(HERE / "adapter" / "adapter_model.safetensors"))
    return model


def plain_name(name):
    """A parameter's name as PEFT's files have it: without the adapter's own name."""
    plain = ".".join(part for part in name.split(".") if part not in ("default", "modules_to_save"))
    return plain.replace("lora_magnitude_vector.weight", "lora_magnitude_vector").replace(
        "prompt_encoder.embedding.weight", "prompt_embeddings"
    )


def decays(name):
    """As in Transformers' Trainer: norms and biases keep their size."""
    return not name.endswith(("norm.weight", ".bias"))


def restore_moments(optimizer, names, step):
    path = HERE / "optimizer.safetensors"
    if not path.exists():
        return False
    moments = load_file(path)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[parameter]
            optimizer.state[parameter] = {
                "step": torch.tensor(float(step)),
                "exp_avg": moments[f"{name}.exp_avg"].to(parameter.device, parameter.dtype),
                "exp_avg_sq": moments[f"{name}.exp_avg_sq"].to(parameter.device, parameter.dtype),
            }
    return True


def collate(rows, pad, device):
    length = max(len(row["input_ids"]) for row in rows)

    def padded(key, fill):
        return torch.tensor([row[key] + [fill] * (length - len(row[key])) for row in rows], device=device)

    return padded("input_ids", pad), padded("attention_mask", 0), padded("labels", IGNORED)


def loss_sum(model, batch):
    """The sum of the losses of all labelled tokens. A model may put virtual tokens before the rows."""
    input_ids, attention_mask, labels = batch
    logits = model(input_ids=input_ids, attention_mask=attention_mask).logits[:, -labels.shape[1] :]
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    )


def labelled(rows):
    return sum(label != IGNORED for row in rows for label in row["labels"][1:])


def micro_batches(rows, settings, accelerator):
    """This process's rows in micro-batches. All processes take as many, as each answers for the others' gradients."""
    size, world = settings["per_device_train_batch_size"], accelerator.num_processes
    count = -(-len(rows) // (size * world))
    own = rows[accelerator.process_index :: world]
    return [own[i * size : (i + 1) * size] for i in range(count)]


def evaluate(model, rows, settings, accelerator):
    model.eval()
    total = torch.zeros(1, device=accelerator.device)
    with torch.no_grad():
        for batch in micro_batches(rows, settings, accelerator):
            total += loss_sum(model, collate(batch or rows[:1], settings["pad"], accelerator.device)) * bool(batch)
    model.train()
    return accelerator.reduce(total).item() / labelled(rows)


def main():
    settings = json.loads((HERE / "handoff.json").read_text(encoding="utf-8"))
    state = json.loads((HERE / "trainer_state.json").read_text(encoding="utf-8"))
    train, test = read_lines(HERE / "data/train.jsonl"), read_lines(HERE / "data/test.jsonl")
    steps = read_lines(HERE / "steps.jsonl")
    accelerator = Accelerator()
    torch.manual_seed(settings["seed"] + accelerator.process_index)

    model = load_model(settings, accelerator)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    for parameter in trained.values():
        parameter.data = parameter.data.float()
    if settings["gradient_checkpointing"]:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if settings["use_peft"]:
            model.enable_input_require_grads()
    groups = [
        {"params": [parameter for name, parameter in trained.items() if decays(name) == decay], "weight_decay": weight_decay}
        for decay, weight_decay in ((True, settings["weight_decay"]), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=steps[0]["learning_rate"],
        betas=(settings["adam_beta1"], settings["adam_beta2"]),
        eps=settings["adam_epsilon"],
    )
    is_sharded = accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)
    names = {parameter: plain_name(name) for name, parameter in trained.items()}
    if is_sharded:
        accelerator.print("The weights are sharded: the optimiser's moments begin anew.")
    elif not restore_moments(optimizer, names, settings["step"]):
        accelerator.print("There are no moments of the optimiser: they begin anew.")
    model, optimizer = accelerator.prepare(model, optimizer)
    model.train()

    def log(row):
        state["log_history"].append(row)
        accelerator.print(json.dumps(row))

    def log_evaluation(epoch, step):
        log({"epoch": epoch, "step": step, "eval_loss": evaluate(model, test, settings, accelerator)})

    if test and settings["evaluate_first"]:
        log_evaluation(settings["epoch"], settings["step"])
    for step in steps:
        rows = [train[index] for index in step["rows"]]
        count = labelled(rows)
        for group in optimizer.param_groups:
            group["lr"] = step["learning_rate"]
        optimizer.zero_grad()
        own = torch.zeros(1, device=accelerator.device)
        batches = micro_batches(rows, settings, accelerator)
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            with nullcontext() if last else accelerator.no_sync(model):
                # A process without rows of its own takes part with nothing.
                loss = loss_sum(model, collate(batch or rows[:1], settings["pad"], accelerator.device)) * bool(batch)
                own += loss.detach()
                # Gradients are averaged over processes, and the loss is a mean over the step's labels.
                accelerator.backward(loss * accelerator.num_processes / count)
        limit = settings["max_grad_norm"] or float("inf")
        norm = accelerator.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()
        mean = accelerator.reduce(own).item() / count
        at = {"epoch": step["epoch"], "step": step["step"]}
        log(at | {"loss": mean, "grad_norm": float(norm), "learning_rate": step["learning_rate"]})
        state.update(global_step=step["step"], epoch=step["epoch"])
        if test and step["evaluate"]:
            log_evaluation(step["epoch"], step["step"])

    output = HERE / settings["output_dir"]
    accelerator.wait_for_everyone()
    weights = accelerator.get_state_dict(model)
    if accelerator.is_main_process:
        accelerator.unwrap_model(model).save_pretrained(output, state_dict=weights)
        (output / "trainer_state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
        for name in settings["copies"]:
            (output / name).write_bytes((HERE / ("adapter" if settings["use_peft"] else "model") / name).read_bytes())
    accelerator.print(f"Written to {output}")


if __name__ == "__main__":
    main()
