/** The example registry, as it is shown: everything that it acknowledged while it was collected can be pulled. */

import { createWriteBarrier } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Client } from "../examples/registry/client.js";
import { imageOf, indexOf } from "../examples/registry/images.js";
import { type RunningRegistry, startRegistry } from "../examples/registry/server.js";
import { runExample } from "./support/exampleProgram.js";

describe("collected while clients push", () => {
  test.each(["memory", "filesystem"])("everything that was acknowledged pulls: %s", async (driver) => {
    const { code, stdout, stderr } = await runExample("registry", "--seconds", "3", "--driver", driver);
    expect(stderr).toBe("");
    expect(stdout).not.toMatch(/MISSING|ERROR/);
    const [, pulled, acknowledged] = /At the end (\d+) of (\d+) acknowledged tags pull completely/.exec(stdout) ?? [];
    expect(pulled).toBe(acknowledged);
    expect(Number(acknowledged)).toBeGreaterThan(0);
    // Or else nothing was tried.
    const [, aside, purged] = /(\d+) blobs moved aside.* (\d+) purged/.exec(stdout) ?? [];
    expect(Number(aside)).toBeGreaterThan(0);
    expect(Number(purged)).toBeGreaterThan(0);
    expect(code).toBe(0);
  });

  test.each([
    [["--seconds", "soon"], 'option --seconds is "soon"; expected a whole number from 1 to 3600'],
    [["--driver", "s3"], 'option --driver is "s3"; expected memory or filesystem'],
    [["--speed"], "--speed"],
  ])("%s is refused", async (args, message) => {
    const { code, stderr } = await runExample("registry", ...args);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("    at ");
    expect(code).toBe(2);
  });
});

describe("the distribution API", () => {
  let registry: RunningRegistry;
  let client: Client;
  beforeAll(async () => {
    registry = await startRegistry({ driver: new MemoryDriver(), barrier: createWriteBarrier() });
    client = new Client(registry.host);
  });
  afterAll(() => registry.stop());

  const image = imageOf("image", ["layer"]);
  const call = (path: string, init?: RequestInit) => fetch(`http://${registry.host}/v2/${path}`, init);
  const codeOf = async (answer: Response) => ((await answer.json()) as { errors: { code: string }[] }).errors[0]?.code;

  test("says that it is there", async () => {
    const answer = await call("");
    expect(answer.status).toBe(200);
    expect(answer.headers.get("docker-distribution-api-version")).toBe("registry/2.0");
  });

  test("pushes, mounts, tags, lists, pulls and deletes", async () => {
    const index = indexOf([image]);
    expect(await client.push("a/b", index, { tag: "1" })).toEqual({ refused: 0, mounted: 0, uploaded: 2 });
    expect(await client.push("c", image, { tag: "2", from: "a/b" })).toEqual({ refused: 0, mounted: 2, uploaded: 0 });
    expect(await client.push("c", image, { tag: "1" })).toEqual({ refused: 0, mounted: 0, uploaded: 0 });
    expect(await client.pull("a/b", "1")).toBe(index.digest);
    expect(await client.pull("c", image.digest)).toBe(image.digest);
    expect(await (await call("c/tags/list")).json()).toEqual({ name: "c", tags: ["1", "2"] });
    const page = await call("c/tags/list?n=1");
    expect(await page.json()).toEqual({ name: "c", tags: ["1"] });
    expect(page.headers.get("link")).toBe('</v2/c/tags/list?n=1&last=1>; rel="next"');

    expect((await call("c/manifests/2", { method: "DELETE" })).status).toBe(202);
    expect(await client.pull("c", "1")).toBe(image.digest);
    expect(await client.deleteManifest("c", image.digest)).toBe(true);
    expect(await (await call("c/tags/list")).json()).toEqual({ name: "c", tags: [] });
    expect(await client.deleteManifest("c", image.digest)).toBe(false);
    expect(await client.pull("a/b", "1")).toBe(index.digest);
  });

  test("takes a whole blob in one request, and answers for it", async () => {
    const [blob] = image.blobs;
    const answer = await call(`whole/blobs/uploads/?digest=${blob!.digest}`, { method: "POST", body: new Uint8Array(blob!.bytes) });
    expect(answer.status).toBe(201);
    const head = await call(`whole/blobs/${blob!.digest}`, { method: "HEAD" });
    expect(head.headers.get("content-length")).toBe(String(blob!.bytes.length));
  });

  test("refuses what is wrong, and says why", async () => {
    const refusals: [path: string, init: RequestInit, status: number, code: string][] = [
      ["Upper/manifests/1", {}, 400, "NAME_INVALID"],
      ["a/manifests/-", {}, 400, "TAG_INVALID"],
      ["a/blobs/sha256:12", {}, 400, "DIGEST_INVALID"],
      ["a/%zz/manifests/1", {}, 400, "NAME_INVALID"],
      ["nobody/tags/list", {}, 404, "NAME_UNKNOWN"],
      ["a/manifests/unknown", {}, 404, "MANIFEST_UNKNOWN"],
      [`a/blobs/sha256:${"0".repeat(64)}`, {}, 404, "BLOB_UNKNOWN"],
      [`a/blobs/sha256:${"0".repeat(64)}`, { method: "DELETE" }, 405, "UNSUPPORTED"],
      ["a/blobs/uploads/none", { method: "PATCH", body: "x" }, 404, "BLOB_UPLOAD_UNKNOWN"],
      [`a/blobs/uploads/?digest=sha256:${"0".repeat(64)}`, { method: "POST", body: "x" }, 400, "DIGEST_INVALID"],
      ["a/manifests/1", { method: "PUT", body: "{" }, 400, "MANIFEST_INVALID"],
      ["a/manifests/1", { method: "PUT", body: image.bytes.toString() }, 400, "MANIFEST_INVALID"],
      [
        "nobody/manifests/1",
        { method: "PUT", body: image.bytes.toString(), headers: { "content-type": image.mediaType } },
        400,
        "MANIFEST_BLOB_UNKNOWN",
      ],
    ];
    for (const [path, init, status, code] of refusals) {
      const answer = await call(path, init);
      expect([path, answer.status, await codeOf(answer)]).toEqual([path, status, code]);
    }
  });
});
