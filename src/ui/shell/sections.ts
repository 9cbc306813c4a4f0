/** The sections of the page, in their order; each is the id of its element. */
export const SECTIONS = ['model', 'data', 'train', 'chat', 'export', 'library'] as const;
export type SectionId = (typeof SECTIONS)[number];
