/** Reads a repository: lists everything, reads every manifest that no one has read, and judges what it finds. */

import { SHA256_BYTES } from "./digestIndex.js";
import { viewOf } from "./internal/bufferOf.js";
import { areOwn } from "./internal/manyAtOnce.js";
import { mapAll } from "./internal/mapAll.js";
import { turn } from "./internal/turn.js";
import { ABSENT, PRESENT } from "./marks.js";
import type { Damage, Repository, RepositoryOverview, Tag } from "./namespace.js";
import { RepositoryView } from "./repositoryView.js";
import type { Run } from "./run.js";

export async function readRepository(run: Run, repository: Repository): Promise<RepositoryView> {
  const view = new RepositoryView(run, repository);
  await new Reading(run, view).read();
  return view;
}

class Reading {
  private readonly repository: Repository;
  /** Revisions of which no listing has told that they have no signatures. */
  private readonly perhapsSigned: number[] = [];

  constructor(
    private readonly run: Run,
    private readonly view: RepositoryView,
  ) {
    this.repository = view.repository;
  }

  async read(): Promise<void> {
    const { run, view } = this;
    const overview = await this.lookOver();
    if (overview === undefined) {
      await this.listRevisions();
      await this.listLayerLinks();
    }
    view.layers.takeJournals();
    await run.manifests.readAll(this.repository, view.revisions.keys());
    await this.judgeManifests();
    if (overview === undefined) await this.listTags();
    else await this.takeTags(overview);
  }

  /** Takes revisions and layer links from one answer, where the repository has that; a wrapper's listings are asked by themselves. */
  private async lookOver(): Promise<RepositoryOverview | undefined> {
    if (!areOwn(this.repository, ["revisions", "layerLinks", "tags"])) return undefined;
    const found = await this.repository.overview?.(this.view.look);
    if (found === undefined) return undefined;
    const { digests, turns } = this.run;
    await turns.slices(found.revisions.length / SHA256_BYTES, (start, end) =>
      this.view.revisions.setAll(digests.addPacked(found.revisions, start, end), found.times.subarray(start, end)),
    );
    await turns.slices(found.layerLinks.length / SHA256_BYTES, (start, end) =>
      this.view.layers.name(digests.addPacked(found.layerLinks, start, end)),
    );
    return found;
  }

  private async takeTags(overview: RepositoryOverview): Promise<void> {
    const { run, view } = this;
    view.tags = overview.tagged.length / SHA256_BYTES;
    const tagged = viewOf(overview.tagged);
    for (let i = 0; i < view.tags; i++) {
      if (run.turns.isLong()) await turn();
      const number = run.digests.addBytes(tagged, i * SHA256_BYTES, SHA256_BYTES);
      if (view.revisions.has(number)) view.tagged.add(number);
      else await this.followDangling(overview.tag(i), number);
    }
  }

  private async listRevisions(): Promise<void> {
    for await (const page of this.repository.revisions(this.view.look)) {
      for (const { digest, modTime, damage, hasSignatures } of page) {
        const number = this.run.digests.add(digest);
        this.view.revisions.set(number, modTime?.getTime() ?? Number.NaN);
        if (hasSignatures !== false) this.perhapsSigned.push(number);
        if (damage !== undefined) this.view.damaged(damage, digest);
      }
    }
  }

  private async listLayerLinks(): Promise<void> {
    for await (const page of this.repository.layerLinks(this.view.look)) {
      for (const link of page) this.view.layers.take(link);
    }
  }

  private async judgeManifests(): Promise<void> {
    const { run, view } = this;
    await this.judgeMissing();
    for (const number of view.revisions.keys()) {
      if (run.turns.isLong()) await turn();
      const problem = run.catalog.problem(number);
      if (problem !== undefined) {
        const digest = run.digests.digest(number);
        const path = this.repository.revisionFootprint(digest, []).files.at(-1) ?? "";
        view.lost({ ...problem, path, message: `the manifest ${digest} ${problem.message}` }, digest);
      }
      if (run.settings.referrers === "keep-with-subject") this.findSubjects(number);
    }
    await this.findSignatures(this.perhapsSigned.filter((number) => view.revisions.has(number)));
  }

  private findSubjects(number: number): void {
    for (const subject of this.run.catalog.subjects(number)) {
      this.view.addReferrer(subject, number);
      const stored = this.view.layers.storedAs(subject);
      if (stored !== undefined) this.view.addReferrer(stored, number);
    }
  }

  /** A revision whose manifest is not there may have gone with it, as another run takes it away: then it is none any more. */
  private async judgeMissing(): Promise<void> {
    const { repository } = this;
    const { catalog, digests, marks, turns } = this.run;
    const missing = await turns.filter(this.view.revisions.keys(), (number) => catalog.problem(number)?.kind === "missing-manifest");
    for (const number of missing) {
      // A directory told its name, and there is nothing in it.
      marks.remove(number, PRESENT);
      marks.add(number, ABSENT);
    }
    if (repository.lookAtRevision === undefined) return;
    const links = await mapAll(missing, async (number) => repository.lookAtRevision?.(digests.digest(number), this.view.look));
    missing.forEach((number, i) => {
      if (links[i] === undefined) this.view.revisions.delete(number);
    });
  }

  private async findSignatures(manifests: readonly number[]): Promise<void> {
    const { repository, view, run } = this;
    if (repository.signatures === undefined) return;
    const told = await mapAll(manifests, async (number) => repository.signatures?.(run.digests.digest(number), view.look));
    manifests.forEach((number, i) => {
      const signatures = told[i] ?? [];
      if (signatures.length > 0) view.signaturesOf.set(number, signatures);
    });
  }

  private async listTags(): Promise<void> {
    for await (const page of this.repository.tags(this.view.look)) {
      this.view.tags += page.length;
      for (const tag of page) {
        if (tag.damage !== undefined) this.view.damaged(tag.damage);
        else if (tag.digest === undefined) this.view.damaged(namesNothing(tag));
        if (tag.digest === undefined) continue;
        const number = this.run.digests.add(tag.digest);
        if (this.view.revisions.has(number)) this.view.tagged.add(number);
        else await this.followDangling(tag, number);
      }
    }
  }

  /** A tag that names no revision: what it names may be served by a layer link, may be there and whole all the same, or be lost. */
  private async followDangling(tag: { name: string; path: string }, number: number): Promise<void> {
    const served = await this.view.servedAsManifests([number]);
    for (const manifest of served) this.view.tagged.add(manifest);
    if (served.length > 0) return;

    await this.run.manifests.readAll(this.repository, [number]);
    const digest = this.run.digests.digest(number);
    const damage: Damage = {
      kind: "dangling-tag",
      path: tag.path,
      message: `the tag ${tag.name} names ${digest}, which is no revision here`,
    };
    // Whole or not, what a tag names stays.
    this.view.tagged.add(number);
    await this.findSignatures([number]);
    if (this.run.catalog.isWhole(number)) {
      this.view.report(damage, digest);
      return;
    }
    this.view.lost(
      { ...damage, message: `${damage.message}, and the manifest ${this.run.catalog.problem(number)?.message ?? ""}` },
      digest,
    );
  }
}

/** Of a tag that neither names a digest nor says why. */
function namesNothing({ name, path }: Tag): Damage {
  return { kind: "missing-current-link", path, message: `the tag ${name} names no digest` };
}
