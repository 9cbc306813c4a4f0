/** Which tokens are trained, template by template: what Transformers masks, and for real templates what a reader sees. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ChatTemplate, Conversation, Message, Tokenizer } from '../../../src/core/text';
import { findTrainedSpans, renderConversation } from '../../../src/data/spans';
import { chatTemplate } from '../../../src/formats/template';
import { openTokenizer } from '../../../src/formats/tokenizer';
import { hasReference, reference } from '../../support/reference';
import { folder } from '../formats/support';
import { characters } from './support';

interface Masked {
  name: string;
  template: string;
  messages: Message[];
  text: string;
  generated: string[];
  input_ids: number[];
  mask: number[];
}

const MASKED = JSON.parse(readFileSync('test/golden/generation_masks.json', 'utf8')) as Masked[];
const encode = (tokenizer: Tokenizer, text: string) => tokenizer.encode(text, { addSpecialTokens: false });

/** What is trained of a conversation, in tokens. */
function trainedSpans(where: string, conversation: Conversation, tokenizer: Tokenizer, template: ChatTemplate) {
  return findTrainedSpans(where, renderConversation(conversation, template), [], tokenizer, template).spans;
}

describe('generation blocks of a template', async () => {
  const tokenizer = (await openTokenizer(folder('public/models/starter'), []))!;
  const named = MASKED.map((item) => [item.name, item.messages.length, item] as const);

  it.each(named)('%s, %i messages: text, spans and mask are those of Transformers', (_name, _count, item) => {
    const template = chatTemplate('t', item.template, tokenizer.specialTokens);
    const text = template.render(item, { addGenerationPrompt: false });
    expect(text).toBe(item.text);
    expect(encode(tokenizer, text)).toEqual(item.input_ids);
    const marked = template.generationSpans!(item);
    expect(marked.map(({ start, end }) => text.slice(start, end))).toEqual(item.generated);
    const mask = item.mask.map(() => 0);
    for (const { start, end } of trainedSpans('row 1', item, tokenizer, template)) mask.fill(1, start, end);
    expect(mask).toEqual(item.mask);
  });

  it('hold what a conversation of noncharacters says, and refuse to train on nothing', () => {
    const marking = MASKED[0]!.template;
    const odd: Message[] = [{ role: 'assistant', content: '\ufdd0a\ufdd1' }];
    const template = chatTemplate('t', marking, {});
    const text = template.render({ messages: odd }, { addGenerationPrompt: false });
    expect(template.generationSpans!({ messages: odd }).map(({ start, end }) => text.slice(start, end))).toEqual([
      '\ufdd0a\ufdd1<|end|>',
    ]);
    const never = chatTemplate('t', '{% if false %}{% generation %}x{% endgeneration %}{% endif %}a', {});
    expect(() => trainedSpans('row 1', { messages: odd }, tokenizer, never)).toThrow(
      /row 1 has nothing in the generation blocks/,
    );
  });
});

const CONVERSATION: Message[] = [
  { role: 'system', content: 'Answer from policy only.' },
  { role: 'user', content: 'One?' },
  { role: 'assistant', content: '1' },
  { role: 'user', content: 'Is 1 one?\n\nTwo,\n\nplease?' },
  { role: 'assistant', content: ' 2 naïve\n\n日本 🙂 \n' },
  { role: 'user', content: '1' },
  { role: 'assistant', content: '1' },
];

/**
 * Per template: its special tokens, those that end a turn, and what is trained of the conversation above, written by
 * hand from the template and from what the model generates when it is asked.
 */
const EXPECTED: Record<string, { special: string[]; ends: string[]; trained: string[]; system?: false }> = {
  'HuggingFaceTB-SmolLM3-3B.jinja': {
    special: ['<|im_start|>', '<|im_end|>'],
    ends: ['<|im_end|>'],
    trained: ['1<|im_end|>', ' 2 naïve\n\n日本 🙂 \n<|im_end|>', '1<|im_end|>'],
  },
  'Qwen-Qwen2.5-7B-Instruct.jinja': {
    special: ['<|im_start|>', '<|im_end|>', '<|endoftext|>'],
    ends: ['<|im_end|>', '<|endoftext|>'],
    trained: ['1<|im_end|>', ' 2 naïve\n\n日本 🙂 \n<|im_end|>', '1<|im_end|>'],
  },
  // The last answer is shown with the empty thought that the model writes before it.
  'Qwen-Qwen3-0.6B.jinja': {
    special: ['<|im_start|>', '<|im_end|>', '<|endoftext|>'],
    ends: ['<|im_end|>', '<|endoftext|>'],
    trained: ['1<|im_end|>', ' 2 naïve\n\n日本 🙂 \n<|im_end|>', '<think>\n\n</think>\n\n1<|im_end|>'],
  },
  'google-gemma-2-2b-it.jinja': {
    special: ['<bos>', '<start_of_turn>', '<end_of_turn>', '<eos>'],
    ends: ['<eos>', '<end_of_turn>'],
    trained: ['1<end_of_turn>', '2 naïve\n\n日本 🙂<end_of_turn>', '1<end_of_turn>'],
    system: false,
  },
  'meta-llama-Llama-3.2-3B-Instruct.jinja': {
    special: ['<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
    ends: ['<|eot_id|>'],
    trained: ['1<|eot_id|>', '2 naïve\n\n日本 🙂<|eot_id|>', '1<|eot_id|>'],
  },
  'microsoft-Phi-3.5-mini-instruct.jinja': {
    special: ['<|system|>', '<|user|>', '<|assistant|>', '<|end|>', '<|endoftext|>'],
    ends: ['<|endoftext|>', '<|end|>'],
    trained: ['1<|end|>', ' 2 naïve\n\n日本 🙂 \n<|end|>', '1<|end|>'],
  },
  // Its answers begin with a blank, as its prompts end without one.
  'mistralai-Mistral-Nemo-Instruct-2407.jinja': {
    special: ['<s>', '</s>', '[INST]', '[/INST]'],
    ends: ['</s>'],
    trained: ['1</s>', ' 2 naïve\n\n日本 🙂 \n</s>', '1</s>'],
  },
};

describe.skipIf(!hasReference)('real templates', () => {
  it.each(Object.entries(EXPECTED))('%s trains each answer and its end of turn, nothing else', (file, expected) => {
    const { special, ends, trained, system } = expected;
    const tokenizer = characters(special, ends);
    const bos = special.find((name) => ['<bos>', '<|begin_of_text|>', '<s>'].includes(name)) ?? '';
    const tokens = { bos_token: bos, eos_token: ends[0]! };
    const plain = chatTemplate(file, readFileSync(reference('chat-templates', file), 'utf8'), tokens);
    const messages = CONVERSATION.slice(system === false ? 1 : 0);
    expect(trainedTexts(messages, tokenizer, plain)).toEqual(trained);
  });
});

/** The text of each span of trained tokens. */
function trainedTexts(messages: readonly Message[], tokenizer: Tokenizer, template: ChatTemplate): string[] {
  const ids = encode(tokenizer, template.render({ messages }, { addGenerationPrompt: false }));
  const spans = trainedSpans('row 1', { messages }, tokenizer, template);
  return spans.map(({ start, end }) => tokenizer.decode(ids.slice(start, end), { skipSpecialTokens: false }));
}
