/**
 * Questions that are gathered into one call: those that are asked in one turn of the event loop, up to a number of them.
 */

import { inNextTurn } from "./turn.js";

interface Question<A> {
  readonly path: string;
  readonly resolve: (answer: A | Promise<A>) => void;
}

export interface GatheredOptions<A> {
  /** Questions in one call, at most. */
  readonly size: number;
  /** Answers many, `undefined` where {@link GatheredOptions.single} is to be asked. A rejection answers none. */
  readonly many: (paths: readonly string[]) => Promise<readonly (A | undefined)[]>;
  readonly single: (path: string) => Promise<A>;
}

export class Gathered<A> {
  private questions: Question<A>[] = [];

  constructor(private readonly options: GatheredOptions<A>) {}

  ask(path: string): Promise<A> {
    return new Promise<A>((resolve) => {
      this.questions.push({ path, resolve });
      if (this.questions.length === 1) inNextTurn(this.flush);
      if (this.questions.length >= this.options.size) this.flush();
    });
  }

  private readonly flush = (): void => {
    const questions = this.questions;
    this.questions = [];
    void this.answer(questions);
  };

  private async answer(questions: readonly Question<A>[]): Promise<void> {
    const { many, single } = this.options;
    let answers: readonly (A | undefined)[] = [];
    // One alone is faster asked as it is.
    if (questions.length > 1) {
      try {
        answers = await many(questions.map(({ path }) => path));
      } catch {
        // The single calls tell why.
      }
    }
    questions.forEach(({ path, resolve }, i) => {
      const answer = answers[i];
      resolve(answer === undefined ? single(path) : answer);
    });
  }
}
