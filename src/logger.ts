import { isObject } from "./errors.js";

/** A logger of the caller's: `console` and winston fit as they are, pino and bunyan through {@link fromPino}. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export type LogFields = Readonly<Record<string, unknown>>;

type Level = keyof Logger;

/** What pino and bunyan have in common: fields first, then the message. */
export interface PinoLike {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Adapts a logger that takes its fields first; without it pino would silently drop them. */
export function fromPino(logger: PinoLike): Logger {
  const adapt =
    (level: Level) =>
    (message: string, fields: LogFields = {}) => {
      logger[level](fields, message);
    };
  return { debug: adapt("debug"), info: adapt("info"), warn: adapt("warn"), error: adapt("error") };
}

/** Handles a rejection of what a caller's function returned, should that be a promise in spite of its type: anybody's, of any realm. */
export function onRejection(result: unknown, handle: (error: unknown) => void): void {
  if (isObject(result)) Promise.resolve(result).catch(handle);
}

/** A logger with the same fields in every line, that never breaks a run: silent where there is none, and where it throws. */
export function safeLogger(logger: Logger | undefined, common: () => LogFields): Logger {
  const at = (level: Level) => (message: string, fields?: LogFields) => {
    try {
      const written: unknown = logger?.[level](message, { ...common(), ...fields });
      onRejection(written, () => undefined);
    } catch {
      // A log that can't be written is no reason to stop, nor to write another.
    }
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
