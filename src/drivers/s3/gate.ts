/**
 * How many requests are in flight, and how many a second: lowered by half where the store is overrun, raised slowly where it is not.
 * Those that may take minutes leave a place to the others: a lock that is kept alive must not wait behind copies.
 */

import type { Clock } from "../../clock.js";

/** A request that has been let through. */
export interface Ticket {
  readonly isLong: boolean;
  /** How often the number had been lowered by then: requests that started before the last time say nothing new. */
  readonly cuts: number;
}

export type Outcome = "fine" | "overrun" | "other";

/** A request that waits for a place. */
interface Waiting {
  readonly isLong: boolean;
  readonly go: () => void;
}

export class Gate {
  private allowed: number;
  private inFlight = 0;
  private longInFlight = 0;
  private cuts = 0;
  private nextAt = Number.NEGATIVE_INFINITY;
  private seenAt = Number.NEGATIVE_INFINITY;
  private readonly waiting: Waiting[] = [];

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

  /**
   * Waits for a place and for its time. Whoever got a ticket must bring it back by {@link Gate.leave}.
   *
   * @param isLong - Whether the answer may take minutes.
   */
  async enter(signal: AbortSignal | undefined, isLong = false): Promise<Ticket> {
    signal?.throwIfAborted();
    if (this.hasRoom(isLong)) this.occupy(isLong);
    else await this.turn(signal, isLong);
    try {
      await this.pace(signal);
    } catch (error) {
      this.release(isLong);
      throw error;
    }
    return { isLong, cuts: this.cuts };
  }

  leave(ticket: Ticket, outcome: Outcome): void {
    if (outcome === "overrun" && ticket.cuts === this.cuts) this.cut();
    if (outcome === "fine") this.allowed = Math.min(this.maxInFlight, this.allowed + 1 / this.allowed);
    this.release(ticket.isLong);
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

  private hasRoom(isLong: boolean): boolean {
    return this.inFlight < this.limit && (!isLong || this.longInFlight < Math.max(1, this.limit - 1));
  }

  private occupy(isLong: boolean): void {
    this.inFlight++;
    if (isLong) this.longInFlight++;
  }

  private release(isLong: boolean): void {
    this.inFlight--;
    if (isLong) this.longInFlight--;
    for (;;) {
      const at = this.waiting.findIndex((next) => this.hasRoom(next.isLong));
      const [next] = at === -1 ? [] : this.waiting.splice(at, 1);
      if (next === undefined) return;
      this.occupy(next.isLong);
      next.go();
    }
  }

  private turn(signal: AbortSignal | undefined, isLong: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        isLong,
        go: () => {
          signal?.removeEventListener("abort", stop);
          resolve();
        },
      };
      const stop = () => {
        const at = this.waiting.indexOf(waiting);
        if (at !== -1) this.waiting.splice(at, 1);
        reject(signal?.reason as Error);
      };
      this.waiting.push(waiting);
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
