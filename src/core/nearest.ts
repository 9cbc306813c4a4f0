/** Suggestions for misspelt names. */

/** What other tools, and people in a hurry, call something. */
const OTHER_NAMES: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries({
    alpha: ['lora_alpha'],
    base_model: ['model_name_or_path', 'model'],
    batch: ['per_device_train_batch_size', 'batch-size'],
    batch_size: ['per_device_train_batch_size', 'batch-size'],
    bs: ['per_device_train_batch_size', 'batch-size'],
    dataset_name: ['dataset'],
    dropout: ['lora_dropout'],
    epochs: ['num_train_epochs'],
    grad_accum: ['gradient_accumulation_steps'],
    lr: ['learning_rate'],
    lr_scheduler: ['lr_scheduler_type'],
    max_seq_length: ['max_length'],
    max_tokens: ['max-new-tokens', 'max_length'],
    out: ['output'],
    qlora: ['load_in_4bit', 'load-in-4bit'],
    r: ['lora_r'],
    rank: ['lora_r'],
    scheduler: ['lr_scheduler_type'],
    seq_len: ['max_length'],
    steps: ['max_steps'],
    target_modules: ['lora_target_modules'],
    warmup: ['warmup_ratio'],
    wd: ['weight_decay'],
  }),
);

/**
 * The option most like `word`: fewest insertions, deletions and replacements (Levenshtein 1966). A part of a longer
 * option (`target_modules`), its initials (`nte`) and another tool's name for it (`lr`) count as one edit away.
 */
export function nearest(word: string, options: readonly string[]): string {
  return options.reduce(
    (best, option) => (distance(word, option) < distance(word, best) ? option : best),
    options[0] ?? '',
  );
}

/** The same where it is near enough to be what was meant; undefined where nothing is. */
export function suggestName(word: string, options: readonly string[]): string | undefined {
  const found = nearest(word, options);
  const near = Math.max(1.5, Math.min(word.length, found.length) / 2.5);
  return options.length > 0 && distance(word, found) <= near ? found : undefined;
}

function distance(word: string, option: string): number {
  const [wanted, name] = [word, option].map((text) => text.toLowerCase().replaceAll('-', '_')) as [string, string];
  const others = OTHER_NAMES.get(wanted) ?? [];
  if (wanted !== name && others.includes(option)) return 0.5 + others.indexOf(option) / 10;
  const initials = name.split('_').map(([letter]) => letter);
  const isPart = wanted.length >= 4 && name.includes(wanted);
  const isInitials = wanted.length >= 2 && initials.join('') === wanted;
  return isPart || (isInitials && wanted !== name) ? 1 + name.length / 1000 : editDistance(wanted, name);
}

export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
