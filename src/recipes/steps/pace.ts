/** How fast a run goes, over its last steps. The first of all builds pipelines, and counts only while it is alone. */

const WINDOW = 20;

export class Pace {
  private readonly recent: { tokens: number; seconds: number }[] = [];

  private onlyFirst = true;

  add(tokens: number, seconds: number): void {
    if (this.recent.length === 1 && this.onlyFirst) {
      this.recent.pop();
      this.onlyFirst = false;
    }
    this.recent.push({ tokens, seconds });
    if (this.recent.length > WINDOW) this.recent.shift();
  }

  /** Tokens a second, padding excluded. */
  get tokensPerSecond(): number {
    return this.recent.reduce((sum, { tokens }) => sum + tokens, 0) / this.seconds;
  }

  secondsFor(steps: number): number {
    return (steps * this.seconds) / this.recent.length;
  }

  private get seconds(): number {
    return Math.max(
      1e-9,
      this.recent.reduce((sum, { seconds }) => sum + seconds, 0),
    );
  }
}
