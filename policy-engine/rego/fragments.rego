# Pieces of policy that others wrote and signed. The signature is checked before a fragment gets here.

package framework

# Every fragment loaded so far, with what the policy let it include.
loaded_fragments := [loaded |
	some issuer in state.issuers
	some feed in issuer.feeds
	some loaded in feed
]

candidate_fragments := array.concat(
	upgraded_fragments(declared_fragments, policy_framework_version),
	[fragment | some loaded in loaded_fragments; some fragment in loaded.fragments],
)

upgraded_fragments(fragments, framework_version) := [fragment |
	understood(framework_version)
	some raw in fragments
	fragment := upgraded_fragment(raw, framework_version)
]

upgraded_fragment(fragment, framework_version) := fragment if framework_version == version

# What an older policy demands or passes counts, although its framework did not know of it.
upgraded_fragment(fragment, framework_version) := {
	"issuer": fragment.issuer,
	"feed": fragment.feed,
	"minimum_svn": fragment.minimum_svn,
	"includes": fragment.includes,
	"parameters": object.get(fragment, "parameters", {}),
	"required_receipts": object.get(fragment, "required_receipts", []),
} if {
	framework_version != version
}

# The entries of the policy that speak of the fragment at hand.
named_fragments := [fragment |
	some fragment in candidate_fragments
	fragment.issuer == input.issuer
	fragment.feed == input.feed
]

default load_fragment := {"allowed": false}

# First question: may a fragment of this issuer and feed be looked at, and with which parameters? It is
# asked before the fragment's text is parsed as Rego.
load_fragment := {"allowed": true, "parameters": [parameters | some parameters in fragment_parameters]} if {
	input.fragment_loaded == false
	some fragment in named_fragments
	header_svn_fits(fragment)
	receipts_fit(fragment)
}

header_svn_fits(_) if input.has_header_svn == false

header_svn_fits(fragment) if {
	input.has_header_svn == true
	svn_fits(input.header_svn, fragment.minimum_svn)
}

# What the policy passes, and what fragments that were loaded before pass on.
fragment_parameters contains fragment.parameters if some fragment in named_fragments

fragment_parameters contains passed.parameters if {
	some passed in state.fragment_parameters
	passed.issuer == input.issuer
	passed.feed == input.feed
}

# Second question, asked once for each set of parameters: what does the loaded fragment add? Two entries
# of the policy that would include different things are a conflict, and so a denial.
load_fragment := {"allowed": true, "add_module": "namespace" in fragment.includes, "metadata": changes} if {
	input.fragment_loaded == true
	some fragment in named_fragments
	loaded_svn_fits(fragment)
	changes := array.concat(
		[update("issuers", input.issuer, issuer_with(contents(fragment.includes)))],
		passed_parameters,
	)
}

# The version in the fragment's text; null when it has none.
default text_svn := null

text_svn := data[input.namespace].svn

# A fragment states its version in the signed header, in its text, or in both and then alike.
loaded_svn_fits(fragment) if {
	input.has_header_svn == true
	text_svn == null
	svn_fits(input.header_svn, fragment.minimum_svn)
}

loaded_svn_fits(fragment) if {
	input.has_header_svn == true
	text_svn != null
	svn_number(text_svn) == svn_number(input.header_svn)
	svn_fits(input.header_svn, fragment.minimum_svn)
}

loaded_svn_fits(fragment) if {
	input.has_header_svn == false
	text_svn != null
	svn_fits(text_svn, fragment.minimum_svn)
}

# Numbers are compared as numbers, `1.2.3` as semantic versions; the two do not compare.
svn_fits(svn, minimum) if svn_number(svn) >= svn_number(minimum)

svn_fits(svn, minimum) if {
	semver.is_valid(svn)
	semver.is_valid(minimum)
	semver.compare(svn, minimum) >= 0
}

svn_number(svn) := svn if is_number(svn)

svn_number(svn) := to_number(svn) if {
	is_string(svn)
	regex.match("^[0-9]+$", svn)
}

# --- What a fragment adds ---

fragment_framework_version := data[input.namespace].framework_version

contents(includes) := {part: objects |
	some part, objects in fragment_parts
	part in includes
}

# A part that the fragment does not have, or whose version is not understood, is left out.
fragment_parts["containers"] := upgraded_containers(
	object.get(loaded_lists, "containers", []),
	fragment_framework_version,
)

fragment_parts["fragments"] := upgraded_fragments(
	data[input.namespace].fragments,
	fragment_framework_version,
)

fragment_parts["external_processes"] := upgraded_external_processes(
	data[input.namespace].external_processes,
	fragment_framework_version,
)

fragment_parts["platform_rules"] := data[input.namespace].platform_rules if fragment_framework_version == version

fragment_parts["transparency_trust_lists"] := data[input.namespace].transparency_trust_lists if {
	fragment_framework_version == version
}

loaded_lists["containers"] := data[input.namespace].containers

# The issuer's entry with this fragment added beside what is there.
issuer_with(part) := {"feeds": object.union(known_feeds, {input.feed: array.concat(known_parts, [part])})}

default known_feeds := {}

known_feeds := state.issuers[input.issuer].feeds

default known_parts := []

known_parts := state.issuers[input.issuer].feeds[input.feed]

# Parameters that this fragment passes to fragments of its own.
passed_parameters := [change |
	some fragment in fragment_parts.fragments
	parameters := fragment.parameters
	change := {
		"name": "fragment_parameters",
		"action": "add",
		"type": "set",
		"value": {"issuer": fragment.issuer, "feed": fragment.feed, "parameters": parameters},
	}
]

# --- Receipts: proof that a fragment is in a public ledger ---

receipts_fit(fragment) if {
	every required in object.get(fragment, "required_receipts", []) {
		receipt_given(required)
	}
}

receipt_given("*") if count(input.receipts) > 0

receipt_given(required) if {
	some receipt in input.receipts
	receipt.issuer == required
}

# `TTL:<subject>`: any ledger that the trust list of that subject names.
receipt_given(required) if {
	startswith(required, "TTL:")
	subject := substring(required, 4, -1)
	some receipt in input.receipts
	subject in receipt.ttl_subjects
}

# --- Transparency trust lists: which ledgers count ---

candidate_trust_lists := array.concat(
	[list | policy_framework_version == version; some list in declared_trust_lists],
	[list | some loaded in loaded_fragments; some list in loaded.transparency_trust_lists],
)

named_trust_lists := [list |
	some list in candidate_trust_lists
	list.issuer == input.issuer
	list.subject == input.subject
]

default load_transparency_trust_list := {"allowed": false}

load_transparency_trust_list := {"allowed": true, "allowed_ledgers": allowed_ledgers} if {
	count(allowed_ledgers) > 0
}

allowed_ledgers := {ledger |
	some list in named_trust_lists
	svn_fits(input.svn, list.minimum_svn)
	some ledger in input.ledgers
	ledger_allowed(list, ledger)
}

ledger_allowed(list, _) if "*" in list.allowed_ledgers

ledger_allowed(list, ledger) if ledger in list.allowed_ledgers
