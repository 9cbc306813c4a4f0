/**
 * What a command says: results on standard output, everything else on standard error, a progress bar on a terminal. With
 * `--json` every line of both is JSON.
 */

/** The part of a stream that is written to; `process.stdout` and `process.stderr` are such. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const BAR_WIDTH = 24;
const CLEAR_LINE = '\r\x1b[2K';

/** Milliseconds between two reports of how far a job is, where there is no terminal to draw a bar on; and before the first. */
const REPORT_MS = { text: 10_000, json: 1000 } as const;

export class Terminal {
  private barShown = false;
  private reportedAt: number | undefined;

  constructor(
    private readonly out: Output,
    private readonly err: Output,
    /** Results as JSON lines, and none of the text that stands for them otherwise. */
    readonly json: boolean,
    /** Milliseconds. */
    private readonly now: () => number = () => performance.now(),
  ) {}

  /**
   * A line about what goes on; with JSON, `{"kind": "message", "text": …}`. What it quotes of files is escaped wherever it
   * goes: a log is shown on a terminal later.
   */
  say(text: string): void {
    this.hideBar();
    if (this.json) this.writeEvent({ kind: 'message', text: text.trim() });
    else this.err.write(`${escapeControls(text)}\n`);
    this.reportedAt = this.now();
  }

  /** Why nothing came of it; with JSON, `{"kind": "error", "code": …, "message": …}`. */
  fail(code: string, message: string): void {
    if (!this.json) return this.say(`graft: ${message}`);
    this.hideBar();
    this.writeEvent({ kind: 'error', code, message });
  }

  /** A line that a progress bar makes superfluous. */
  log(text: string): void {
    if (!this.err.isTTY && !this.json) this.say(text);
  }

  /** The result itself, for a person. */
  print(text: string): void {
    if (this.json) return;
    this.hideBar();
    this.out.write(textFor(this.out, text));
  }

  /** A text that was asked for as such, help or a version; with JSON, `{"text": …}`. */
  printAlways(text: string): void {
    this.print(text);
    this.emit({ text });
  }

  /** The result itself, or an event on the way there, for a program. */
  emit(value: object): void {
    if (this.json) this.out.write(`${jsonFor(this.out, value)}\n`);
  }

  /**
   * Shows how far a job is, 0 to 1: a bar on a terminal, elsewhere a line on standard error now and then, which is JSON
   * (`{"kind": "progress", "part": 0.5, "text": …}`) where results are.
   */
  bar(part: number, text: string): void {
    if (!this.err.isTTY || this.json) return this.report(part, text);
    const filled = Math.round(Math.min(1, part) * BAR_WIDTH);
    const line = `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${textFor(this.err, text)}`;
    this.err.write(CLEAR_LINE + line.slice(0, (this.err.columns ?? 80) - 1));
    this.barShown = true;
  }

  /** Takes the bar away; the next job's first report without a terminal comes after a while again. */
  hideBar(): void {
    if (this.barShown) this.err.write(CLEAR_LINE);
    this.barShown = false;
    this.reportedAt = undefined;
  }

  private report(part: number, text: string): void {
    const now = this.now();
    this.reportedAt ??= now; // a short job isn't reported at all
    if (now - this.reportedAt < (this.json ? REPORT_MS.json : REPORT_MS.text)) return;
    this.reportedAt = now;
    if (this.json) this.writeEvent({ kind: 'progress', part: Number(part.toFixed(4)), text });
    else this.err.write(`${Math.floor(100 * part)} % ${escapeControls(text)}\n`);
  }

  private writeEvent(event: object): void {
    this.err.write(`${jsonFor(this.err, event)}\n`);
  }
}

/**
 * A text as it may go to a stream. Models, files and file names can hold control characters, which would move a
 * terminal's cursor, recolour it, or change its title and clipboard: there they are shown as `\x1b`. A result that is redirected
 * stays as it is.
 */
export function textFor({ isTTY }: Output, text: string): string {
  return isTTY ? escapeControls(text) : text;
}

function escapeControls(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(/[^\P{Cc}\n\t]/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** JSON leaves DEL and the C1 controls as they are; on a terminal they are escaped, and it means the same. */
function jsonFor({ isTTY }: Output, value: object): string {
  const json = JSON.stringify(value);
  if (!isTTY) return json;
  return json.replace(/\p{Cc}/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** `1:05`, `2:00:07`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
