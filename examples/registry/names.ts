/** What clients may call things. Whatever goes into a path was checked here. */

import { RegistryError } from "./registryError.js";

const REPOSITORY = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

export function checkRepository(name: string): string {
  if (name.length > 255 || !REPOSITORY.test(name)) {
    throw new RegistryError("NAME_INVALID", `${show(name)} is no repository's name; expected lower-case words with / between them`);
  }
  return name;
}

export function checkTag(tag: string): string {
  if (!TAG.test(tag)) throw new RegistryError("TAG_INVALID", `${show(tag)} is no tag; expected up to 128 letters, digits, ".", "_" or "-"`);
  return tag;
}

export function checkDigest(digest: string): string {
  if (!isDigest(digest)) {
    throw new RegistryError("DIGEST_INVALID", `${show(digest)} is no digest; expected sha256: and 64 hexadecimal digits (lower case)`);
  }
  return digest;
}

export function isDigest(text: unknown): text is string {
  return typeof text === "string" && DIGEST.test(text);
}

function show(text: string): string {
  return JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}...` : text);
}
