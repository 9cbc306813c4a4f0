/** llama.cpp itself, as npm has it built for Linux on x64: what a GGUF file says there. */
import { getLlama, type Token } from 'node-llama-cpp';

/** Whether it runs here; elsewhere its package has no program. */
export const hasLlama = process.platform === 'linux' && process.arch === 'x64';

export interface Said {
  /** The prompt as llama.cpp reads it, special tokens and all. */
  readonly prompt: readonly number[];
  /** What follows, the likeliest token each time. */
  readonly answer: readonly number[];
}

/**
 * Loads a file and goes on with each text by so many tokens, or until one ends the turn.
 * @param lora a file with an adapter, which is applied to it
 */
export async function askLlama(path: string, texts: readonly string[], count: number, lora?: string): Promise<Said[]> {
  const llama = await getLlama({ gpu: false, build: 'never', progressLogs: false });
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  const context = await model.createContext({
    contextSize: 256,
    sequences: 1,
    threads: 1,
    ...(lora !== undefined && { lora }),
  });
  try {
    const said: Said[] = [];
    const sequence = context.getSequence();
    for (const text of texts) {
      await sequence.clearHistory();
      const prompt = model.tokenize(text, true);
      const answer: Token[] = [];
      for await (const token of sequence.evaluate(prompt, { temperature: 0 })) {
        answer.push(token);
        if (answer.length === count) break;
      }
      said.push({ prompt, answer });
    }
    return said;
  } finally {
    await context.dispose();
    await model.dispose();
    await llama.dispose();
  }
}
