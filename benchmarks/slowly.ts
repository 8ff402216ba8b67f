import { setTimeout as sleep } from "node:timers/promises";
import type { StorageDriver } from "oci-registry-gc";

/** A driver each of whose calls takes so much longer: a store that is far away. Pages of a listing are calls. */
export function slowly(driver: StorageDriver, ms: number): StorageDriver {
  const late =
    <A extends unknown[], R>(call: (...parameters: A) => Promise<R>) =>
    async (...parameters: A): Promise<R> => {
      await sleep(ms);
      return call(...parameters);
    };
  const { getContent, deleteFiles, pruneDirectories, putContent, move } = driver;
  return {
    name: driver.name,
    stat: late(driver.stat.bind(driver)),
    reader: late(driver.reader.bind(driver)),
    delete: late(driver.delete.bind(driver)),
    async *list(path, options) {
      await sleep(ms);
      yield* driver.list(path, options);
    },
    ...(getContent && { getContent: late(getContent.bind(driver)) }),
    ...(deleteFiles && { deleteFiles: late(deleteFiles.bind(driver)) }),
    ...(pruneDirectories && { pruneDirectories: late(pruneDirectories.bind(driver)) }),
    ...(putContent && { putContent: late(putContent.bind(driver)) }),
    ...(move && { move: late(move.bind(driver)) }),
  };
}
