/** Web Locks in one process, for what Node 20 lacks: https://w3c.github.io/web-locks/, but for `steal`. */

interface Held {
  readonly name: string;
  readonly mode: LockMode;
}

interface Waiting extends Held {
  grant(): void;
}

type Action = (lock: Held | null) => unknown;

export class LocalLocks {
  private readonly held = new Set<Held>();
  private waiting: Waiting[] = [];

  request(name: string, options: LockOptions | Action, then?: Action): Promise<unknown> {
    const { mode = 'exclusive', ifAvailable = false, signal } = typeof options === 'function' ? {} : options;
    const action = typeof options === 'function' ? options : then!;
    const lock: Held = { name, mode };
    if (this.isFree(lock)) return this.run(lock, action);
    if (ifAvailable) return Promise.resolve().then(() => action(null));
    return new Promise((resolve, reject) => {
      const waiting = { ...lock, grant: () => void this.run(lock, action).then(resolve, reject) };
      this.waiting.push(waiting);
      signal?.addEventListener('abort', () => {
        if (!this.waiting.includes(waiting)) return;
        this.waiting = this.waiting.filter((other) => other !== waiting);
        reject(signal.reason as Error);
      });
    });
  }

  query(): Promise<{ held: Held[]; pending: Held[] }> {
    return Promise.resolve({ held: [...this.held], pending: [...this.waiting] });
  }

  private isFree({ name, mode }: Held): boolean {
    const others = [...this.held, ...this.waiting].filter((other) => other.name === name);
    return mode === 'shared' ? others.every((other) => other.mode === 'shared') : others.length === 0;
  }

  private async run(lock: Held, action: Action): Promise<unknown> {
    this.held.add(lock);
    try {
      return await action(lock);
    } finally {
      this.held.delete(lock);
      const [next] = this.waiting.filter((waiting) => waiting.name === lock.name);
      const mayRun = next && ![...this.held].some((held) => held.name === next.name);
      if (next && mayRun) {
        this.waiting = this.waiting.filter((waiting) => waiting !== next);
        next.grant();
      }
    }
  }
}
