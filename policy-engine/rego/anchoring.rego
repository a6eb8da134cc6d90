# What a pattern is held against: whole texts.

package framework

# The pattern must be valid on its own: one like `a)|(b` would escape the group.
matches_whole(pattern, text) if {
	regex.is_valid(pattern)
	regex.match(concat("", ["^(?:", pattern, ")$"]), text)
}

# `<prefix><pattern>` allows what lies below `directory` and matches the pattern. The directory is compared
# as text, never as part of a pattern.
below(prefix, directory, allowed, source) if {
	startswith(allowed, prefix)
	startswith(source, directory)
	matches_whole(substring(allowed, count(prefix), -1), substring(source, count(directory), -1))
}
