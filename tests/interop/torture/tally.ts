/** What all clients together have done. */

export class Tally {
  pushes = 0;
  /** Of the pushes. */
  bySkopeo = 0;
  refused = 0;
  mounted = 0;
  deletes = 0;
  pulls = 0;
  /** Pulls of fresh tags that missed something at that moment. */
  incomplete = 0;
  /** Answers that were neither what was asked for nor a refusal: registries stumble over each other's writes. */
  troubles = 0;
  readonly examplesOfTrouble: string[] = [];
  /** What was missing though it must never be. */
  readonly missing: string[] = [];

  addTrouble(error: unknown): void {
    this.troubles++;
    if (this.examplesOfTrouble.length < 5) this.examplesOfTrouble.push(String(error));
  }
}
