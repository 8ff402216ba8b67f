/**
 * The signal of a run that is taken up again. An abort reaches it only when all has been told that the run has done so far: not before is it
 * known what there is to be given back, and to be reported.
 */

import { Suspension } from "./lead.js";

/** Telling it takes reads of what stages left; a storage that does not answer must not keep an aborted run from ending. */
const LONGEST_HOLD_MS = 30_000;

export class HeldSignal {
  private readonly controller = new AbortController();
  private isHeld = true;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly given: AbortSignal | undefined) {
    if (given?.aborted === true) this.hear();
    else given?.addEventListener("abort", this.hear, { once: true });
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** From now on an abort is heard at once. */
  readonly release = (): void => {
    this.isHeld = false;
    clearTimeout(this.timer);
    if (this.given?.aborted === true) this.controller.abort(this.given.reason);
  };

  /** Hears nothing any more: the given signal may live for much longer. */
  end(): void {
    clearTimeout(this.timer);
    this.given?.removeEventListener("abort", this.hear);
  }

  private readonly hear = (): void => {
    // Whoever is to let go of the run ends nothing.
    if (!this.isHeld || this.given?.reason instanceof Suspension) this.release();
    else this.timer = setTimeout(this.release, LONGEST_HOLD_MS);
  };
}
