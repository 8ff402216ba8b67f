/** Copies of a tree that programs delete from: made of hard links, since nothing that is measured writes into a file. */

import { execFileSync } from "node:child_process";
import { type Dirent, linkSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Makes the copy what the original is, by what is missing or too much, and waits until the disk has it. */
export function restore(original: string, copy: string): void {
  mkdirSync(copy, { recursive: true });
  const open = [""];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const wanted = readdirSync(join(original, path), { withFileTypes: true });
    const names = new Set(wanted.map(({ name }) => name));
    const there = new Set<string>();
    for (const { name } of listing(join(copy, path))) {
      if (names.has(name)) there.add(name);
      else rmSync(join(copy, path, name), { recursive: true });
    }
    for (const entry of wanted) {
      const child = path === "" ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory()) open.push(child);
      if (there.has(entry.name)) continue;
      if (entry.isDirectory()) mkdirSync(join(copy, child));
      else linkSync(join(original, child), join(copy, child));
    }
  }
  execFileSync("sync");
}

/** What is in the original and not in the copy, each directory after what was in it and with a `/` at its end. */
export function missing(original: string, copy: string): string[] {
  const result: string[] = [];
  const open: { path: string; isGone: boolean }[] = [{ path: "", isGone: false }];
  for (let each = open.pop(); each !== undefined; each = open.pop()) {
    const there = new Set(each.isGone ? [] : listing(join(copy, each.path)).map(({ name }) => name));
    for (const entry of readdirSync(join(original, each.path), { withFileTypes: true })) {
      const path = each.path === "" ? entry.name : `${each.path}/${entry.name}`;
      const isGone = !there.has(entry.name);
      if (isGone) result.push(entry.isDirectory() ? `${path}/` : path);
      if (entry.isDirectory()) open.push({ path, isGone });
    }
  }
  return result.reverse();
}

function listing(path: string): Dirent[] {
  return readdirSync(path, { withFileTypes: true });
}
