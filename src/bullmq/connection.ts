import { show } from "../arguments.js";
import { isObject } from "../errors.js";

/**
 * BullMQ would ask this machine where it is given nothing, and for ever.
 *
 * @throws TypeError
 */
export function checkConnection(connection: unknown): void {
  if (!isObject(connection)) throw new TypeError(`connection is ${show(connection)}; expected Redis, as BullMQ takes it`);
}
