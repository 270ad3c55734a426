/** The attributes that become tags of a call. Invariant: the prefix alone makes an attribute a tag. */

/**
 * Attributes of this prefix, on spans or resources, become tags of the call. A tag is stored because
 * its sender asked for it, whatever its name; only text too long for a tag counts as content.
 */
export const TAG_PREFIX = "spanledger.tag.";
