/** What a page says of how to use a run's files elsewhere. */
import { expect, it } from 'vitest';
import { parseRunConfig } from '../../../src/core/config';
import { describeUsage } from '../../../src/recipes';

const COMMIT = 'c0ffee'.repeat(7).slice(0, 40);
const usage = (yaml: string) => describeUsage(parseRunConfig(yaml), 'my-run');

it('names a base model that the rest of the world finds, with its commit', () => {
  const { python, command, whereabouts } = usage(`model_name_or_path: org/tiny\nrevision: ${COMMIT}\n`);
  expect(python).toContain(`from_pretrained("org/tiny", revision="${COMMIT}")`);
  expect(python).toContain('PeftModel.from_pretrained(base, "my-run")');
  expect(command).toBe(`npx graft chat --model org/tiny@${COMMIT} --adapter my-run`);
  expect(whereabouts).toBeUndefined();
});

it('says which folder is to be put there where no one finds it by its name', () => {
  const starter = usage('model_name_or_path: starter\n');
  expect(starter.python).toContain('from_pretrained("path/to/the/base/model")');
  expect(starter.python).not.toContain('starter'); // no one else finds it by that name
  expect(starter.whereabouts).toContain('public/models/starter');
  expect(starter.command).toBe('npx graft chat --model starter --adapter my-run');
  const opened = usage('model_name_or_path: mine\n');
  expect(opened.command).toBe('npx graft chat --model path/to/the/base/model --adapter my-run');
  expect(opened.whereabouts).toContain('under the name mine');
});

it('serves what the run has left', () => {
  const { servers } = usage(`model_name_or_path: org/tiny\nrevision: ${COMMIT}\nlora_r: 64\n`);
  expect(servers.map(({ title }) => title)).toEqual(['vLLM', 'llama.cpp', 'Ollama']);
  expect(servers[0]!.text).toContain(`vllm serve org/tiny --revision ${COMMIT} --enable-lora --max-lora-rank 64`);
  expect(servers[2]!.text).toContain(`--model org/tiny@${COMMIT} --adapter my-run --format ollama`);
  expect(usage('use_peft: false\n').servers[0]!.text).toBe('vllm serve my-run --served-model-name my-run --port 8000');
  expect(usage('peft_type: PROMPT_TUNING\n').servers).toEqual([]);
});

it('needs no base where every parameter was trained', () => {
  const whole = usage('model_name_or_path: starter\nuse_peft: false\n');
  expect(whole.python).not.toContain('peft');
  expect(whole.python).toContain('AutoModelForCausalLM.from_pretrained("my-run")');
  expect(whole.command).toBe('npx graft chat --model my-run');
  expect(whole.whereabouts).toBeUndefined();
});

it('names the file of a repository of GGUF files, as Transformers asks for it', () => {
  const run = parseRunConfig(`model_name_or_path: org/tiny-gguf\nrevision: ${COMMIT}\n`);
  const { python } = describeUsage(run, 'my-run', { name: 'org/tiny-gguf/tiny.Q4_0.gguf' });
  expect(python).toContain(`from_pretrained("org/tiny-gguf", revision="${COMMIT}", gguf_file="tiny.Q4_0.gguf")`);
});
