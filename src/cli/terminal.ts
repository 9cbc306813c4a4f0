/** What a command says: results on standard output, everything else on standard error, a progress bar on a terminal. */

/** The part of a stream that is written to; `process.stdout` and `process.stderr` are such. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const BAR_WIDTH = 24;
const CLEAR_LINE = '\r\x1b[2K';

export class Terminal {
  private barShown = false;

  constructor(
    private readonly out: Output,
    private readonly err: Output,
    /** Results as JSON lines, and none of the text that stands for them otherwise. */
    readonly json: boolean,
  ) {}

  /** A line about what goes on. */
  say(text: string): void {
    this.hideBar();
    this.err.write(`${text}\n`);
  }

  /** A line that a progress bar makes superfluous. */
  log(text: string): void {
    if (!this.err.isTTY && !this.json) this.say(text);
  }

  /** The result itself, for a person. */
  print(text: string): void {
    if (this.json) return;
    this.hideBar();
    this.out.write(text);
  }

  /** The result itself, or an event on the way there, for a program. */
  emit(value: object): void {
    if (this.json) this.out.write(`${JSON.stringify(value)}\n`);
  }

  /** Shows how far a job is, 0 to 1, on a terminal. */
  bar(part: number, text: string): void {
    if (!this.err.isTTY) return;
    const filled = Math.round(Math.min(1, part) * BAR_WIDTH);
    const line = `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${text}`;
    this.err.write(CLEAR_LINE + line.slice(0, (this.err.columns ?? 80) - 1));
    this.barShown = true;
  }

  hideBar(): void {
    if (this.barShown) this.err.write(CLEAR_LINE);
    this.barShown = false;
  }
}

/** `1:05`, `2:00:07`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
