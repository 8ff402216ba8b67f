/** What a run tells beside its counts. */

import { isPath } from "./driver.js";
import { messageOf } from "./errors.js";
import type { Logger } from "./logger.js";
import type { Ledger, Problem } from "./report.js";

/** Warnings about names; more tell nothing new. */
const MAX_ODD_STRAYS = 5;

export class Notices {
  /** What the report is to say, too. */
  readonly warnings: string[] = [];
  private readonly oddStrays = new Set<string>();
  private hasMemoryFailed = false;

  constructor(
    private readonly log: Logger,
    private readonly ledger: Ledger,
    private readonly signal: AbortSignal,
  ) {}

  /** Tells the log, and the report too: whoever reads only that must not miss it. */
  warn(warning: string): void {
    this.log.warn(warning);
    this.warnings.push(warning);
  }

  /** Damage in a repository goes to the report and to the log. */
  damage(problem: Problem): void {
    if (this.ledger.addDamage(problem))
      this.log.warn(`damage in repository ${problem.repository ?? ""}: ${problem.message}`, { ...problem });
  }

  /** A memory that is gone fails for every manifest. */
  memoryFailure(error: unknown): void {
    if (this.hasMemoryFailed || this.signal.aborted) return;
    this.hasMemoryFailed = true;
    this.log.warn(`referenceCache failed: ${messageOf(error)}; manifests are read instead`, { error });
  }

  /** A stray below which nobody can look may hold what an administrator has renamed. */
  stray(path: string): void {
    if (isPath(path) || this.oddStrays.has(path) || this.oddStrays.size >= MAX_ODD_STRAYS) return;
    this.oddStrays.add(path);
    this.warn(
      `${JSON.stringify(path)} has a name that no path of a registry has: if that is a repository or a tag, it is not seen, and what only it needs is garbage`,
    );
  }

  /** A directory that repositories may share. */
  sharedDirectory(path: string): void {
    this.log.warn(
      `${path} is a symbolic link: repositories may share it. Links stay this time where their manifest or layer is alive in any repository`,
    );
  }
}
