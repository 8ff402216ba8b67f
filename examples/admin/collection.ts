/** One collection: begun, watched by any number of people, stopped, and remembered. */

import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import {
  type GcReport,
  isRegistryGcError,
  markAndSweep,
  type Namespace,
  type Phase,
  type Progress,
  type StorageDriver,
} from "oci-registry-gc";
import type { CollectionOptions } from "./options.js";

export type Status = "running" | "failed" | GcReport["status"];

/** What is told of a collection, as JSON. */
export interface Summary {
  readonly id: string;
  readonly status: Status;
  readonly startedAt: string;
  readonly options: CollectionOptions;
  readonly phase: Phase | undefined;
  readonly watchers: number;
  readonly error: { readonly code: string; readonly message: string } | undefined;
}

/** What a watcher is told. */
export type Told =
  | { readonly event: "phase"; readonly data: { readonly phase: Phase } }
  | { readonly event: "progress"; readonly data: Progress }
  | { readonly event: "end"; readonly data: Summary & { readonly report: GcReport | undefined } };

/** The reason that a run is aborted with: the report comes back on it. */
class Cancelled extends Error {}

export class Collection {
  readonly id = randomUUID();
  report: GcReport | undefined;
  /** Resolves when the run has ended, however it did. */
  readonly ended: Promise<void>;
  private status: Status = "running";
  private error: Summary["error"];
  private progress: Progress | undefined;
  private readonly phases: Phase[] = [];
  private watchers = 0;
  private readonly startedAt = new Date().toISOString();
  private readonly controller = new AbortController();
  private readonly changes = new EventEmitter().setMaxListeners(0);

  constructor(
    driver: StorageDriver,
    registry: Namespace,
    private readonly options: CollectionOptions,
  ) {
    const onProgress = (progress: Progress) => this.note(progress);
    this.ended = markAndSweep({ signal: this.controller.signal }, driver, registry, { ...options, onProgress }).then(
      (report) => this.end(report.status, report),
      (error: unknown) => this.fail(error),
    );
  }

  get isRunning(): boolean {
    return this.status === "running";
  }

  /** Asks the run to stop: calls in flight settle, and what was moved is put back; then it has ended. */
  cancel(): void {
    this.controller.abort(new Cancelled("the collection was cancelled"));
  }

  summary(): Summary {
    const { id, status, startedAt, options, watchers, error } = this;
    return { id, status, startedAt, options, phase: this.phases.at(-1), watchers, error };
  }

  /**
   * Tells every phase, how far the run is, and the end. Whoever is slow, or comes late, misses steps between, and neither a phase nor
   * the end. Nothing is left behind once `signal` fires.
   */
  async *watch(signal: AbortSignal): AsyncGenerator<Told> {
    this.watchers++;
    try {
      let told = 0;
      let seen: Progress | undefined;
      while (!signal.aborted) {
        const phase = this.phases[told];
        if (phase !== undefined) {
          told++;
          yield { event: "phase", data: { phase } };
        } else if (this.progress !== undefined && this.progress !== seen) {
          seen = this.progress;
          yield { event: "progress", data: seen };
        } else if (!this.isRunning) {
          yield { event: "end", data: { ...this.summary(), report: this.report } };
          return;
        } else await once(this.changes, "change", { signal }).catch(() => undefined);
      }
    } finally {
      this.watchers--;
    }
  }

  private note(progress: Progress): void {
    if (progress.phase !== this.phases.at(-1)) this.phases.push(progress.phase);
    this.progress = progress;
    this.changes.emit("change");
  }

  private fail(error: unknown): void {
    const { report } = error as { report?: GcReport };
    const code = isRegistryGcError(error) ? error.code : error instanceof Cancelled ? "CANCELLED" : "UNKNOWN";
    this.error = { code, message: error instanceof Error ? error.message : String(error) };
    this.end(report?.status ?? "failed", report);
  }

  private end(status: Status, report: GcReport | undefined): void {
    this.report = report;
    this.status = status;
    this.changes.emit("change");
  }
}
