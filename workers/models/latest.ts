/** Keeps the last thing made, under its key, and makes another where the key changes. A failure is not kept. */
export class Latest<T> {
  private held: { key: string; value: Promise<T> } | undefined;

  forget(): void {
    this.held = undefined;
  }

  get(key: string, make: () => Promise<T>): Promise<T> {
    if (this.held?.key === key) return this.held.value;
    const held = { key, value: make() };
    this.held = held;
    held.value.catch(() => {
      if (this.held === held) this.held = undefined;
    });
    return held.value;
  }
}
