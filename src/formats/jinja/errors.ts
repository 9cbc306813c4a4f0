/** What a template is refused for, in the words of jinja2 where it has some. */

export class JinjaError extends Error {
  /** Line of the template, from 1, where it is known. */
  line: number | undefined;
  /** Whether the template itself refused, with `raise_exception`: its words are kept as they are. */
  readonly raised: boolean;
  /** Whether the template used up what one rendering may take: not the conversation is at fault, but the template. */
  readonly exhausted: boolean;

  constructor(message: string, options: { line?: number; raised?: boolean; exhausted?: boolean } = {}) {
    super(message);
    this.name = 'JinjaError';
    this.line = options.line;
    this.raised = options.raised ?? false;
    this.exhausted = options.exhausted ?? false;
  }

  /** The message with its line. */
  describe(): string {
    return this.raised || this.line === undefined
      ? this.message
      : `${this.message} (line ${this.line} of the template)`;
  }
}
