/** The file system's calls, as they fail or are watched. Whoever uses these restores all mocks. */

import { promises as fs } from "node:fs";
import { vi } from "vitest";

type Call = "link" | "lstat" | "mkdir" | "open" | "realpath" | "rename" | "rmdir" | "stat" | "unlink";

type Work = (...args: unknown[]) => Promise<unknown>;

/** What a call does by now: several of these go one before the other. */
function present(call: Call): Work {
  const now: unknown = fs[call];
  return (vi.isMockFunction(now) ? now.getMockImplementation() : now) as Work;
}

/** Does something before a call of the system's, where its first argument matches; that may fail in its place. */
export function before(call: Call, meanwhile: (path: string) => unknown, when: (path: string) => boolean = () => true): void {
  const real = present(call);
  vi.spyOn(fs, call).mockImplementation((async (...args: unknown[]) => {
    if (when(String(args[0]))) await meanwhile(String(args[0]));
    return real(...args);
  }) as never);
}

/** Fails as the system would where the path matches. */
export function failing(call: Call, code: string, when?: (path: string) => boolean): void {
  const fail = () => {
    throw Object.assign(new Error(`${code}: ${call}`), { code });
  };
  before(call, fail, when);
}

/** What is done to last, in order: names that are made or dropped, files and directories that are synced. */
export function watchDisk(nameOf: (file: string) => string): string[] {
  const done: string[] = [];
  for (const call of ["link", "rename", "unlink"] as const) {
    const real = present(call);
    vi.spyOn(fs, call).mockImplementation(async (...args: unknown[]) => {
      await real(...args);
      done.push(`${call} ${nameOf(String(args[0]))}`);
    });
  }
  const open = fs.open;
  vi.spyOn(fs, "open").mockImplementation(async (...args) => {
    const handle = await open(...args);
    const sync = handle.sync.bind(handle);
    handle.sync = async () => {
      await sync();
      done.push(`sync ${nameOf(String(args[0]))}`);
    };
    return handle;
  });
  return done;
}
