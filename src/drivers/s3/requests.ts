/** Sends requests: counted, bounded, tried again under a budget, and their failures told apart. */

import type { $Command, S3Client, S3ClientResolvedConfig, ServiceInputTypes, ServiceOutputTypes } from "@aws-sdk/client-s3";
import type { Clock } from "../../clock.js";
import { DriverError } from "../../errors.js";
import { explain, failureOf, kindOf, refusesChecksums, type S3Failure } from "./failures.js";
import type { Gate } from "./gate.js";
import { type ChecksumStyle, type Stack, withChecksums, withoutChecksums, withoutRetries } from "./middleware.js";

type S3Command<I extends ServiceInputTypes, O extends ServiceOutputTypes> = $Command<
  I,
  O,
  S3ClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes
>;

/** How one request is to be sent. */
export interface Sending<O, T> {
  /** What it is about, for messages. */
  readonly path: string;
  readonly signal: AbortSignal | undefined;
  /** Makes of the answer what is wanted; the place is held, and failures are tried again, until it is done. */
  readonly read: (output: O, signal: AbortSignal) => T | Promise<T>;
  /** Makes of a failure what is wanted, where it is an answer; `undefined` where it is none. Asked after all tries. */
  readonly answer?: (failure: S3Failure, tries: number) => T | undefined;
  /** Whether bytes go one way that checksums are for. Default: neither. */
  readonly checksums?: boolean;
}

/** The first wait, and the longest; each is drawn between nothing and this, twice as much each time. */
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;
/** A request without any answer for so long has timed out. Copies within a store take long. */
const ANSWER_MS = 60_000;
const COPY_MS = 900_000;

export class Requests {
  /** Operation -> requests sent, further tries included. */
  readonly sent: Record<string, number> = {};
  /** What the store takes; learned from the first answer that told. */
  private style: ChecksumStyle = "sdk";

  constructor(
    private readonly client: S3Client,
    readonly bucket: string,
    private readonly gate: Gate,
    readonly clock: Clock,
    readonly budgetMs: number,
  ) {}

  /**
   * Sends a request until it is answered, or its budget is gone. `make` is called for each try.
   *
   * @throws DriverError, or the signal's reason.
   */
  async send<I extends ServiceInputTypes, O extends ServiceOutputTypes, T>(
    operation: string,
    make: () => S3Command<I, O>,
    sending: Sending<O, T>,
  ): Promise<T> {
    let style = this.style;
    let spent = 0;
    for (let tries = 1; ; tries++) {
      const result = await this.attempt(operation, make(), style, sending);
      if ("value" in result) {
        // What takes the one kind of request as the client has it may still refuse the other: no way back.
        if (style === "md5") this.style = style;
        return result.value;
      }
      const { failure, error } = result;
      if (sending.checksums === true && style === "sdk" && refusesChecksums(failure)) {
        style = "md5";
        continue;
      }
      // It is a budget for further tries: the first may have taken all of it to time out. Waiting for one's turn is none.
      if (tries > 1) spent += result.inFlightMs;
      const left = this.budgetMs - spent;
      // Whoever is asked for more patience than there is left asks again before it is gone.
      const wait = failure.retryAfterMs === undefined ? waitBefore(tries, failure) : Math.min(left, waitBefore(tries, failure));
      if (kindOf(failure) === "final" || left <= 0 || wait > left) return this.giveUp(operation, sending, failure, error, tries);
      await this.clock.sleep(wait, sending.signal);
      spent += wait;
    }
  }

  /**
   * Waits before another try of what the store put off inside a good answer. Returns what has been spent by then, of `spent` before;
   * `undefined` where the budget is gone.
   */
  async waitAgain(tries: number, spent: number, signal: AbortSignal | undefined): Promise<number | undefined> {
    const wait = waitBefore(tries, { retryAfterMs: undefined });
    this.gate.cut();
    if (spent + wait > this.budgetMs) return undefined;
    await this.clock.sleep(wait, signal);
    return spent + wait;
  }

  private async attempt<I extends ServiceInputTypes, O extends ServiceOutputTypes, T>(
    operation: string,
    command: S3Command<I, O>,
    style: ChecksumStyle,
    { signal, read, checksums }: Sending<O, T>,
  ): Promise<{ value: T } | { failure: S3Failure; error: unknown; inFlightMs: number }> {
    const stack = command.middlewareStack as unknown as Stack;
    withoutRetries(stack);
    if (checksums === true) withChecksums(stack, style);
    else withoutChecksums(stack);
    const isLong = operation.includes("Copy") || operation.startsWith("Complete");
    const ticket = await this.gate.enter(signal, isLong);
    const limit = limited(signal, isLong ? COPY_MS : ANSWER_MS);
    const startedAt = this.clock.now();
    this.sent[operation] = (this.sent[operation] ?? 0) + 1;
    try {
      const value = await read(await this.client.send(command, { abortSignal: limit.signal }), limit.signal);
      this.gate.leave(ticket, "fine");
      return { value };
    } catch (error) {
      const failure = failureOf(limit.hasTimedOut() ? limit.signal.reason : error, this.clock.now());
      const isOverrun = signal?.aborted !== true && kindOf(failure) === "overrun";
      // Whoever asks for longer than anybody may wait is asked again before.
      if (isOverrun && failure.retryAfterMs !== undefined) this.gate.pause(Math.min(failure.retryAfterMs, this.budgetMs));
      this.gate.leave(ticket, isOverrun ? "overrun" : "other");
      signal?.throwIfAborted();
      return { failure, error, inFlightMs: this.clock.now() - startedAt };
    } finally {
      limit.end();
    }
  }

  private giveUp<O, T>(operation: string, { path, answer }: Sending<O, T>, failure: S3Failure, cause: unknown, tries: number): T {
    const value = answer?.(failure, tries);
    if (value !== undefined) return value;
    if (cause instanceof DriverError) throw cause;
    throw new DriverError(explain(failure, operation, this.bucket, path, tries), { driverName: "s3", path, cause });
  }
}

function waitBefore(tries: number, { retryAfterMs }: Pick<S3Failure, "retryAfterMs">): number {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (tries - 1));
  return Math.max(retryAfterMs ?? 0, Math.random() * longest);
}

/** A signal of its own for one try: the caller's, which may live for hours, gathers no listeners. */
function limited(signal: AbortSignal | undefined, ms: number): { signal: AbortSignal; hasTimedOut(): boolean; end(): void } {
  const controller = new AbortController();
  const stop = () => controller.abort(signal?.reason);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    controller.abort(Object.assign(new Error(`no answer within ${ms} ms`), { name: "TimeoutError" }));
  }, ms);
  signal?.addEventListener("abort", stop, { once: true });
  return {
    signal: controller.signal,
    hasTimedOut: () => isLate,
    end: () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    },
  };
}
