/** How many requests are in flight, and how many a second: lowered by half where the store is overrun, raised slowly where it is not. */

import type { Clock } from "../../clock.js";

/** A request that has been let through. */
export interface Ticket {
  /** How often the number had been lowered by then: requests that started before the last time say nothing new. */
  readonly cuts: number;
}

export type Outcome = "fine" | "overrun" | "other";

export class Gate {
  private allowed: number;
  private inFlight = 0;
  private cuts = 0;
  private nextAt = Number.NEGATIVE_INFINITY;
  private seenAt = Number.NEGATIVE_INFINITY;
  private readonly waiting: (() => void)[] = [];

  /**
   * @param maxInFlight - Requests at once, at most.
   * @param intervalMs - Milliseconds from the start of one request to the next; 0 for no limit.
   */
  constructor(
    private readonly maxInFlight: number,
    private readonly intervalMs: number,
    private readonly clock: Clock,
  ) {
    this.allowed = maxInFlight;
  }

  /** How many may be in flight now. */
  get limit(): number {
    return Math.floor(this.allowed);
  }

  /** Waits for a place and for its time. Whoever got a ticket must bring it back by {@link Gate.leave}. */
  async enter(signal: AbortSignal | undefined): Promise<Ticket> {
    signal?.throwIfAborted();
    if (this.inFlight >= this.limit) await this.turn(signal);
    else this.inFlight++;
    try {
      await this.pace(signal);
    } catch (error) {
      this.release();
      throw error;
    }
    return { cuts: this.cuts };
  }

  leave(ticket: Ticket, outcome: Outcome): void {
    if (outcome === "overrun" && ticket.cuts === this.cuts) this.cut();
    if (outcome === "fine") this.allowed = Math.min(this.maxInFlight, this.allowed + 1 / this.allowed);
    this.release();
  }

  /** Halves the number: the store has said that it can't keep up. */
  cut(): void {
    this.allowed = Math.max(1, Math.floor(Math.min(this.allowed, Math.max(1, this.inFlight)) / 2));
    this.cuts++;
  }

  /** Lets no request start for so long: what a store asks for by `Retry-After`, it asks of all. */
  pause(ms: number): void {
    this.nextAt = Math.max(this.nextAt, this.now() + ms);
  }

  /** The time now; where the clock was set back, what is due goes back with it. */
  private now(): number {
    const now = this.clock.now();
    if (now < this.seenAt) this.nextAt -= this.seenAt - now;
    this.seenAt = now;
    return now;
  }

  private release(): void {
    this.inFlight--;
    while (this.waiting.length > 0 && this.inFlight < this.limit) {
      this.inFlight++;
      this.waiting.shift()?.();
    }
  }

  private turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        signal?.removeEventListener("abort", stop);
        resolve();
      };
      const stop = () => {
        const at = this.waiting.indexOf(go);
        if (at !== -1) this.waiting.splice(at, 1);
        reject(signal?.reason as Error);
      };
      this.waiting.push(go);
      signal?.addEventListener("abort", stop, { once: true });
    });
  }

  private async pace(signal: AbortSignal | undefined): Promise<void> {
    const now = this.now();
    const at = Math.max(now, this.nextAt);
    if (this.intervalMs > 0) this.nextAt = at + this.intervalMs;
    if (at > now) await this.clock.sleep(at - now, signal);
  }
}
