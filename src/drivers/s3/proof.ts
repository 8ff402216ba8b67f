/** Whether a store keeps a condition or ignores it: found out once, by whoever needs it first, while others wait. */
export class Proof {
  private kept: boolean | undefined;
  private proving: Promise<void> | undefined;

  /** Does some work that knows, or finds out (`kept` is `undefined`) and tells. */
  async ask<T>(work: (kept: boolean | undefined, tell: (kept: boolean) => void) => Promise<T>): Promise<T> {
    while (this.proving !== undefined) await this.proving;
    if (this.kept !== undefined) return work(this.kept, nothing);
    let end: () => void = nothing;
    this.proving = new Promise((resolve) => (end = resolve));
    try {
      return await work(undefined, (kept) => {
        this.kept = kept;
      });
    } finally {
      this.proving = undefined;
      end();
    }
  }
}

function nothing(): void {}
