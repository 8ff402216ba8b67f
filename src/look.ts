/**
 * A look at the registry: every repository listed, read and marked. The first look of a run makes the mark; each later one is the
 * same code, with what an earlier one saw as its measure.
 */

import { isObject } from "./errors.js";
import { untilAborted } from "./internal/untilAborted.js";
import type { Repository } from "./namespace.js";
import type { Phase } from "./options.js";
import { readRepository } from "./readRepository.js";
import { type EarlierLook, RepositoryLook, UNSEEN } from "./repositoryLook.js";
import type { RepositoryView } from "./repositoryView.js";
import type { Run } from "./run.js";

/** What a look found in the whole registry: counts, and those repositories from which something may go. The others are forgotten. */
export interface RegistryLook {
  readonly looks: readonly RepositoryLook[];
  readonly repositories: number;
  readonly tags: number;
  readonly revisions: number;
  /** The names of all repositories that were there when they were looked at. */
  readonly names: ReadonlySet<string>;
}

/**
 * Looks at every repository. Online, damage that may have been a write under way is judged by a second reading, after all the
 * others; under `onDamage: "abort"` everything is looked at all the same, so that one run lists all the damage.
 */
export async function lookAtRegistry(run: Run, phase: Phase, earlier?: RegistryLook): Promise<RegistryLook> {
  const seen = earlier && new Map(earlier.looks.map((look) => [look.repository.name, look]));
  const strays = (path: string) => {
    if (run.looks === 0) run.ledger.unrecognized++;
    run.notices.stray(path);
  };
  const repositories = run.registry.repositories({ ...run.look, onUnrecognized: strays });
  return lookAtRepositories(run, phase, { repositories, open: async (repository) => given(repository), seen });
}

/** Looks at one repository; again, where damage is seen that may be a write under way. `undefined` where it is gone by then. */
export async function lookAtOne(run: Run, repository: Repository): Promise<RepositoryLook | undefined> {
  let fresh: Repository | undefined = repository;
  let seen: ReadonlySet<string> = new Set();
  for (let reading = run.settings.readOnly ? READINGS : 1; fresh !== undefined; reading++) {
    run.catalog.forgetMissing();
    const view = await readRepository(run, fresh);
    const look = await RepositoryLook.begin(run, view);
    if (reading === READINGS || !view.mayPass(seen)) {
      await look.complete();
      for (const problem of view.problems) run.notices.damage(problem);
      return look;
    }
    seen = view.passing;
    fresh = await asItIsNow(run, fresh);
  }
  return undefined;
}

/** Readings of a repository that is written to all the time, before damage is believed that the reading before it did not see. */
const READINGS = 5;

/** What was listed at once does not change: whoever looks again has to list again. */
async function asItIsNow(run: Run, repository: Repository): Promise<Repository | undefined> {
  return repository.again === undefined ? repository : repository.again(run.look);
}

/** What is passed over would be taken for garbage. */
function given(repository: Repository): Repository {
  if (isObject(repository)) return repository;
  throw new TypeError(`the registry's repositories() gave ${String(repository)} among its repositories`);
}

/** A repository that is to be read again, and the damage that may have been a write under way. */
interface Unsettled {
  readonly repository: Repository;
  readonly damage: ReadonlySet<string>;
}

/** Repositories to look at, and what an earlier look of the run saw of them, by name; `undefined` in a first look. */
export interface Looking<T> {
  readonly repositories: Iterable<T> | AsyncIterable<T>;
  readonly open: (repository: T) => Promise<Repository | undefined>;
  readonly seen: ReadonlyMap<string, EarlierLook> | undefined;
}

/** Looks at these repositories, all of them or a part. */
export async function lookAtRepositories<T>(run: Run, phase: Phase, { repositories, open, seen }: Looking<T>): Promise<RegistryLook> {
  const sighting = new Sighting(run, phase, seen);
  run.catalog.forgetMissing();
  const first = run.repositories.forEach(
    repositories,
    async (each) => {
      const repository = await open(each);
      if (repository !== undefined) await sighting.lookAt(repository);
    },
    { signal: run.signal },
  );
  // A namespace that never answers must not keep an aborted run from ending.
  await untilAborted(first, run.signal);
  run.looks++;
  run.catalog.forgetMissing();
  return sighting.end();
}

/** A look under way, and what it has found by now. */
class Sighting {
  private readonly looks: RepositoryLook[] = [];
  private readonly unsettled: Unsettled[] = [];
  private readonly names = new Set<string>();
  private readonly counts = { repositories: 0, tags: 0, revisions: 0 };
  /** Strays that a first look has counted, a later one doesn't count again. */
  private readonly countsStrays: boolean;

  constructor(
    private readonly run: Run,
    private readonly phase: Phase,
    private readonly seen: Looking<unknown>["seen"],
  ) {
    this.countsStrays = run.looks === 0;
  }

  lookAt(repository: Repository): Promise<void> {
    const { run } = this;
    return run.telemetry.repositorySpan(repository.name, async () => {
      run.log.debug(`marking repository ${repository.name}`, { repository: repository.name });
      const view = await readRepository(run, repository);
      // One that is gone by now is not one that was seen empty.
      if (view.isBare && repository.again !== undefined && (await repository.again(run.look)) === undefined) return;
      const isSettled = () => run.settings.readOnly || !view.mayPass(new Set());
      if (!(await this.settleOn(view, isSettled))) this.unsettled.push({ repository, damage: view.passing });
    });
  }

  /** Reads once more where damage was seen that may have been a write under way, and tells what was found. */
  async end(): Promise<RegistryLook> {
    const { run, phase, counts, looks, names } = this;
    for (const each of this.unsettled) await untilAborted(this.lookAgain(each), run.signal);
    run.progress({ phase, done: counts.repositories, total: counts.repositories }, true);
    return { ...counts, looks, names };
  }

  private async lookAgain({ repository, damage }: Unsettled): Promise<void> {
    let known = damage;
    for (let reading = 2; ; reading++) {
      const fresh = await asItIsNow(this.run, repository);
      if (fresh === undefined) return;
      const view = await readRepository(this.run, fresh);
      const before = known;
      if (await this.settleOn(view, () => reading === READINGS || !view.mayPass(before))) return;
      known = view.passing;
      this.run.catalog.forgetMissing();
    }
  }

  /** Whether the repository is done with: where it is not, damage was seen that may be a write under way. */
  private async settleOn(view: RepositoryView, isSettled: () => boolean): Promise<boolean> {
    const { run, phase, seen, counts } = this;
    if (!isSettled()) return false;
    const look = await RepositoryLook.begin(run, view, seen && (seen.get(view.repository.name) ?? UNSEEN));
    // Layer links are looked at where they matter: that somebody is writing them may show only by now.
    if (!isSettled()) return false;
    await look.complete();
    if (look.matters) this.looks.push(look);
    this.names.add(view.repository.name);
    counts.repositories++;
    counts.tags += view.tags;
    counts.revisions += view.revisions.size;
    if (this.countsStrays) run.ledger.unrecognized += view.strays;
    for (const problem of view.problems) run.notices.damage(problem);
    run.progress({ phase, done: counts.repositories });
    return true;
  }
}
