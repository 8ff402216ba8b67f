/** Moves objects: a copy, and then the source goes. Two requests, where the store can copy on a condition. */

import { createHash } from "node:crypto";
import { DriverError, PathNotFoundError } from "../../errors.js";
import { type Copy, type CopyOutcome, copyInParts, copyObject } from "./copying.js";
import type { Deleter } from "./deleting.js";
import type { ListedObject } from "./keys.js";
import { findObject } from "./pages.js";
import { Proof } from "./proof.js";
import { openStream } from "./reading.js";
import type { Requests } from "./requests.js";

export interface Move extends Copy {
  /** The path of the destination; `path` is the source's. */
  readonly to: string;
}

export class Mover {
  /** Some stores ignore the condition, and overwrite. */
  private readonly condition = new Proof();

  constructor(
    private readonly requests: Requests,
    private readonly deleter: Deleter,
  ) {}

  /**
   * @throws DriverError where something is at the destination, PathNotFoundError where nothing is at the source.
   */
  async move(move: Move): Promise<void> {
    const outcome = await this.condition.ask((kept, tell) => {
      if (kept === true) return copyObject(this.requests, move, { ifAbsent: true });
      return kept === false ? this.lookAndCopy(move) : this.firstCopy(move, tell);
    });
    await this.settle(move, outcome);
    await this.deleter.deleteKey(move.source, move.path, move.signal);
  }

  /** Finds out whether the condition is kept: the same copy once more must be refused. */
  private async firstCopy(move: Move, tell: (kept: boolean) => void): Promise<CopyOutcome> {
    if ((await this.find(move.destination, move)) !== undefined) return "taken";
    const outcome = await copyObject(this.requests, move, { ifAbsent: true });
    if (outcome === "unsupported") {
      tell(false);
      return copyObject(this.requests, move, { ifAbsent: false });
    }
    if (outcome === "copied") tell((await copyObject(this.requests, move, { ifAbsent: true })) === "taken");
    return outcome;
  }

  private async lookAndCopy(move: Move): Promise<CopyOutcome> {
    if ((await this.find(move.destination, move)) !== undefined) return "taken";
    return copyObject(this.requests, move, { ifAbsent: false });
  }

  /** Returns where the copy is there. */
  private async settle(move: Move, outcome: CopyOutcome): Promise<void> {
    const { source, destination, path } = move;
    if (outcome === "copied") return;
    const found = await this.find(source, move);
    if (found === undefined) throw new PathNotFoundError(path, "s3");
    const there = await this.find(destination, move);
    if (outcome === "tooLarge" && there === undefined && found.size !== undefined) {
      await this.copyAllParts(move, found.size);
      return;
    }
    // An earlier try may have made the copy, and its answer be lost.
    if (outcome === "maybeOurs" && there !== undefined && (await this.areSame(found, there, move))) return;
    const why = there === undefined ? `the store says ${outcome}` : "something is there";
    throw cannotMove(move, why);
  }

  private async copyAllParts(move: Move, size: number): Promise<void> {
    if ((await copyInParts(this.requests, move, size)) === "copied") return;
    // Nothing was there before, and the checksum of an object of parts tells nothing of its content.
    if ((await this.find(move.destination, move))?.size !== size) throw cannotMove(move, "the store knows its parts no more");
  }

  /** Checksums of objects of parts, or that are encrypted, tell nothing of the content: then both are read. */
  private async areSame(a: ListedObject, b: ListedObject, move: Move): Promise<boolean> {
    if (a.size === undefined || a.size !== b.size) return false;
    if (a.md5 !== undefined && b.md5 !== undefined && Buffer.compare(a.md5, b.md5) === 0) return true;
    const [one, other] = await Promise.all([this.hashOf(a, move), this.hashOf(b, move)]);
    return one !== undefined && one === other;
  }

  private async hashOf({ key, size }: ListedObject, { path, signal }: Move): Promise<string | undefined> {
    const stream = await openStream(this.requests, { key, path, signal }, 0);
    if (stream === undefined) return undefined;
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    return bytes === size ? hash.digest("hex") : undefined;
  }

  private find(key: string, { path, signal }: Move): Promise<ListedObject | undefined> {
    return findObject(this.requests, { key, path, signal });
  }
}

function cannotMove({ path, to }: Move, why: string): DriverError {
  return new DriverError(`s3: cannot move ${path} to ${to}: ${why}`, { driverName: "s3", path: to });
}
