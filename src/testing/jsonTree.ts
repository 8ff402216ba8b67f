/** An object as a list of its members: duplicates stay, and no key is special. */
export class JsonObject {
  constructor(readonly members: readonly (readonly [key: string, value: JsonTree])[]) {}
}

/** A JSON document that forgot nothing. */
export type JsonTree = JsonObject | readonly JsonTree[] | string | number | boolean | null;

/**
 * Parses JSON as it is written: `JSON.parse` keeps only the last of duplicate keys, and what a registry reads may be another one.
 * It goes down by recursion: it is for documents of sensible depth.
 *
 * @throws SyntaxError
 */
export function parseJsonTree(text: string): JsonTree {
  JSON.parse(text);
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s[\]{}:,"]+/g) ?? [];
  return new Parser(tokens).value();
}

/** Trusts that the tokens are JSON: `JSON.parse` has said so. */
class Parser {
  private at = 0;

  constructor(private readonly tokens: readonly string[]) {}

  value(): JsonTree {
    const token = this.next();
    if (token === "{") return new JsonObject(this.sequence("}", () => this.member()));
    if (token === "[") return this.sequence("]", () => this.value());
    return JSON.parse(token) as string | number | boolean | null;
  }

  private member(): readonly [string, JsonTree] {
    const key = JSON.parse(this.next()) as string;
    this.next();
    return [key, this.value()];
  }

  private sequence<T>(end: string, one: () => T): T[] {
    const all: T[] = [];
    while (this.tokens[this.at] !== end) {
      if (this.tokens[this.at] === ",") this.at++;
      all.push(one());
    }
    this.at++;
    return all;
  }

  private next(): string {
    return this.tokens[this.at++] ?? "";
  }
}
