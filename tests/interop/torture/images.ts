/** What the clients push. There is more of it than there are tags, so that it becomes garbage and is wanted again all the time. */

import { type Blob, type Format, image, layer, list, type Manifest } from "../support/content.js";

/** Every client pushes to these. */
export const SHARED_REPOSITORIES: readonly string[] = ["shared/a", "shared/b"];

const FORMATS: readonly Format[] = ["oci", "docker"];
const LAYERS = 20;

/** Tagged once, and then left alone: whatever the others do, these can be pulled at any moment. */
export const STANDING = Array.from({ length: 3 }, (_, i) => image(`standing ${i}`, [commonLayer(i), layer(`standing layer ${i}`)]));

/** The same digests for all clients, who therefore never delete them. */
export const COMMON = assortment("common", 16);

/** Digests that one client alone pushes, and may delete. The children of its lists are none of them. */
export function imagesOf(client: string): readonly Manifest[] {
  return assortment(client, 8);
}

/** Images on layers of their own and on those that all have, in both formats, and a list in each. */
function assortment(name: string, size: number): readonly Manifest[] {
  const formatOf = (i: number) => FORMATS[i % FORMATS.length]!;
  const images = Array.from({ length: size }, (_, i) =>
    image(`${name} ${i}`, [commonLayer(i), layer(`${name} layer ${i >> 1}`)], { format: formatOf(i) }),
  );
  return [...images, ...FORMATS.map((format) => listOf(`${name} list, ${format}`, format))];
}

function listOf(name: string, format: Format): Manifest {
  const children = ["amd64", "arm64"].map((architecture, i) =>
    image(`${name}, ${architecture}`, [commonLayer(i), layer(`${name} layer`)], { format, architecture }),
  );
  return list(name, children, format);
}

function commonLayer(i: number): Blob {
  return layer(`common layer ${i % LAYERS}`);
}
