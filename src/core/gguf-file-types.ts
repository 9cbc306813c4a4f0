/** Types of the GGUF files that are written: what most matrices are stored as; `_M` keeps some of them in more bits. */
export const GGUF_FILE_TYPES = ['F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_K_M', 'Q5_K_M', 'Q6_K'] as const;

export type GgufFileType = (typeof GGUF_FILE_TYPES)[number];
