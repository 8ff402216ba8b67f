/** What the command line says of a benchmark: `npm run bench -- --help` tells it. */

import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { TreeShape } from "./tree.js";

export interface BenchOptions {
  /** Where trees are made, and kept for the next time. */
  readonly directory: string;
  readonly rounds: number;
  readonly shapes: Shapes;
  /** Groups of measurements to make. */
  readonly groups: ReadonlySet<Group>;
  /** The program that the library is compared with: Debian's docker-registry, by any path. */
  readonly peer: string;
  /** Whether the table and the picture in `docs` are written. */
  readonly document: boolean;
}

/** The trees: a large registry, one of a tenth of it to count system calls on, and one repository of many tags. */
export type TreeName = "large" | "tenth" | "tags";
export type Shapes = Readonly<Record<TreeName, TreeShape>>;

export const GROUPS = ["dry", "online", "again", "loop", "tags", "delete", "calls"] as const;
export type Group = (typeof GROUPS)[number];

const LARGE: TreeShape = {
  repositories: 190,
  tags: 0,
  manifests: 19_432,
  blobs: 98_562,
  looseLinks: 3000,
  listEvery: 4,
  oldEvery: 5,
  bases: 27,
  commonBases: 27,
};
const TAGS: TreeShape = {
  repositories: 1,
  tags: 2000,
  manifests: 3984,
  blobs: 20_520,
  looseLinks: 100,
  listEvery: 0,
  oldEvery: 2,
  bases: 400,
  commonBases: 100,
};

const HELP = `npm run bench -- [OPTIONS]

  --small             small trees and 3 rounds, in a minute or so; writes no documents
  --rounds N          measurements of each program; default 5
  --only GROUPS       some of ${GROUPS.join(",")}; writes no documents
  --directory PATH    where trees are made and kept; default a directory of its own in the system's temporary one
  --peer PROGRAM      where docker-registry is; default that of the PATH
  --no-document       leave docs/performance.md and docs/performance.svg as they are
  --scale N           the large trees smaller or larger by this factor
  --repositories N, --manifests N, --blobs N, --loose-links N, --bases N, --common-bases N
                      the shape of the large tree
  --tags N            tags of the tree of one repository, which has twice as many manifests and ten times as many blobs
`;

/** Reads the arguments; `undefined` where they asked for help, which is printed. */
export function readOptions(args: readonly string[]): BenchOptions | undefined {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{ small: flag, help: flag, "no-document": flag, rounds: text, only: text, directory: text, scale: text, tags: text, peer: text },
      ...{ repositories: text, manifests: text, blobs: text, "loose-links": text, bases: text, "common-bases": text },
    },
  });
  if (values.help === true) {
    console.log(HELP);
    return undefined;
  }
  const number = (value: string | undefined, otherwise: number) => {
    const result = value === undefined ? otherwise : Number(value);
    if (!(result > 0)) throw new TypeError(`not a number above 0: ${String(value)}`);
    return result;
  };
  const small = values.small === true;
  const scale = number(values.scale, small ? 0.02 : 1);
  const large = scaled(
    {
      ...LARGE,
      repositories: number(values.repositories, LARGE.repositories),
      manifests: number(values.manifests, LARGE.manifests),
      blobs: number(values.blobs, LARGE.blobs),
      looseLinks: number(values["loose-links"], LARGE.looseLinks),
      bases: number(values.bases, LARGE.bases),
      commonBases: number(values["common-bases"], LARGE.commonBases),
    },
    scale,
  );
  const tags = number(values.tags, TAGS.tags) / TAGS.tags;
  return {
    directory: values.directory ?? join(tmpdir(), `oci-registry-gc-bench${small ? "-small" : ""}`),
    peer: values.peer ?? "docker-registry",
    rounds: number(values.rounds, small ? 3 : 5),
    shapes: { large, tenth: scaled(large, small ? 0.5 : 0.1), tags: scaledTags(TAGS, tags * scale) },
    groups: groupsOf(values.only),
    // A part would stand there as the whole.
    document: values["no-document"] !== true && !small && values.only === undefined,
  };
}

function groupsOf(only: string | undefined): ReadonlySet<Group> {
  const wanted = only?.split(",") ?? GROUPS;
  const unknown = wanted.filter((name) => !GROUPS.some((group) => group === name));
  if (unknown.length > 0) throw new TypeError(`--only: no such group: ${unknown.join(", ")}; there are ${GROUPS.join(", ")}`);
  return new Set(GROUPS.filter((group) => wanted.includes(group)));
}

/** The same registry with fewer or more repositories of the same kind. */
function scaled(shape: TreeShape, factor: number): TreeShape {
  const times = (value: number) => Math.max(1, Math.round(value * factor));
  return {
    ...shape,
    repositories: times(shape.repositories),
    manifests: times(shape.manifests),
    blobs: times(shape.blobs),
    looseLinks: times(shape.looseLinks),
    commonBases: times(shape.commonBases),
  };
}

/** The same one repository, smaller or larger. */
function scaledTags(shape: TreeShape, factor: number): TreeShape {
  const times = (value: number) => Math.max(1, Math.round(value * factor));
  return {
    ...shape,
    tags: times(shape.tags),
    manifests: times(shape.manifests),
    blobs: times(shape.blobs),
    looseLinks: times(shape.looseLinks),
    bases: times(shape.bases),
    commonBases: times(shape.commonBases),
  };
}
