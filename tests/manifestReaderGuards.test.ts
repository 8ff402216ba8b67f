/** Manifests that several repositories have, and that one of them reads: the others wait for it. */

import { markAndSweep, openRegistry } from "oci-registry-gc";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { expect, test } from "vitest";
import { DAY } from "./support/stores.js";
import { IMAGE, image, layer, push, revision } from "./support/tree.js";
import { blobPath, digestOf, World } from "./support/world.js";

const INDEX = "application/vnd.oci.image.index.v1+json";

test("a repository whose index another one is reading waits for it, and keeps what it names", async () => {
  const world = new World();
  const now = world.now;
  world.now -= 60 * DAY;
  const put = (path: string, content: string) => world.put(path, content);
  const child = image(digestOf("layer"));
  const index = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [{ mediaType: IMAGE, digest: digestOf(child) }] });
  for (const name of ["a", "b"]) {
    await push(put, name, child, ["layer"]);
    await push(put, name, index, [], "latest");
  }
  world.now = now;
  const slow = new InterceptedDriver(world.driver, async ({ method, paths }, proceed) => {
    const isRead = method === "getContent" || method === "reader";
    if (isRead && paths[0]?.includes("/blobs/") === true) await new Promise((resolve) => setTimeout(resolve, 50));
    return proceed();
  });
  await markAndSweep({ clock: world.clock }, slow, openRegistry(slow), { removeUntagged: true, readOnly: true, maxDeleteRatio: 1 });
  const files = [...(await world.files()).keys()];
  for (const name of ["a", "b"])
    for (const path of [revision(name, digestOf(child)), revision(name, digestOf(index)), layer(name, digestOf("layer"))])
      expect(files).toContain(path);
  expect(files).toContain(blobPath(digestOf("layer")));
});
