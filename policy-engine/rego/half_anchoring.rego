# How the engine that runs CCE policies elsewhere anchors patterns. It takes the place of anchoring.rego where
# a recorded decision is explained, and nowhere else: an anchor binds only the alternative beside it, so that
# `a|b` matches what begins with `a` and what ends with `b`.

package framework

matches_whole(pattern, text) if regex.match(half_anchored(pattern), text)

half_anchored(pattern) := concat("", [anchor_before(pattern), pattern, anchor_after(pattern)])

anchor_before(pattern) := "" if startswith(pattern, "^")

anchor_before(pattern) := "^" if not startswith(pattern, "^")

anchor_after(pattern) := "" if endswith(pattern, "$")

anchor_after(pattern) := "$" if not endswith(pattern, "$")

# The directory becomes a part of the pattern.
below(prefix, directory, allowed, source) if {
	startswith(allowed, prefix)
	matches_whole(replace(allowed, prefix, directory), source)
}
