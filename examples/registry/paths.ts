/** Where things are in the v2 layout. */

export const ROOT = "/docker/registry/v2";

export function blobPath(digest: string): string {
  const hex = hexOf(digest);
  return `${ROOT}/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
}

export function layerLink(repository: string, digest: string): string {
  return `${ROOT}/repositories/${repository}/_layers/sha256/${hexOf(digest)}/link`;
}

export function revisionLink(repository: string, digest: string): string {
  return `${ROOT}/repositories/${repository}/_manifests/revisions/sha256/${hexOf(digest)}/link`;
}

export function tagsDirectory(repository: string): string {
  return `${ROOT}/repositories/${repository}/_manifests/tags`;
}

export function tagDirectory(repository: string, tag: string): string {
  return `${tagsDirectory(repository)}/${tag}`;
}

export function currentLink(repository: string, tag: string): string {
  return `${tagDirectory(repository, tag)}/current/link`;
}

export function indexEntry(repository: string, tag: string, digest: string): string {
  return `${tagDirectory(repository, tag)}/index/sha256/${hexOf(digest)}/link`;
}

function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}
