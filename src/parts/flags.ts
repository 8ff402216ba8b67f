/** What parts tell each other of a digest, beside the bits of `marks.ts`. */

/** A layer link that may belong to a push under way names it: where nothing else keeps it, it is young. */
export const LEASED = 128;
/** The same, unless its data is in place. */
export const LEASED_IF_AWAY = 256;
/** Tells nothing: whoever wrote it wants to know. */
export const ASKED = 512;
