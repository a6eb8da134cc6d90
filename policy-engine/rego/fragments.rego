# Pieces of policy that others wrote and signed. The signature is checked before a fragment gets here.

package framework

# Every fragment loaded so far, with what the policy let it include.
loaded_fragments := [loaded |
	some issuer in state.issuers
	some feed in issuer.feeds
	some loaded in feed
]

policy_fragments := upgraded_fragments(declared_fragments, policy_framework_version)

candidate_fragments := array.concat(
	policy_fragments,
	[fragment | some loaded in loaded_fragments; some fragment in loaded.fragments],
)

upgraded_fragments(fragments, framework_version) := [fragment |
	understood(framework_version)
	some raw in fragments
	fragment := upgraded_fragment(raw, framework_version)
]

upgraded_fragment(fragment, framework_version) := fragment if current(framework_version)

# What an older policy demands or passes counts, although its framework did not know of it.
upgraded_fragment(fragment, framework_version) := {
	"issuer": fragment.issuer,
	"feed": fragment.feed,
	"minimum_svn": fragment.minimum_svn,
	"includes": fragment.includes,
	"parameters": object.get(fragment, "parameters", {}),
	"required_receipts": object.get(fragment, "required_receipts", []),
} if {
	not current(framework_version)
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
load_fragment := {"allowed": true, "parameters": fragment_parameters} if {
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

# What fragments that were loaded before pass on, and what the policy passes. Each is a variant of the
# fragment, also where two are alike.
fragment_parameters := array.concat(
	[passed.parameters |
		some passed in state.fragment_parameters
		passed.issuer == input.issuer
		passed.feed == input.feed
	],
	[fragment.parameters |
		some fragment in policy_fragments
		fragment.issuer == input.issuer
		fragment.feed == input.feed
	],
)

# Second question, asked once for each set of parameters: what does the loaded fragment add? Two entries
# of the policy that would include different things are a conflict, and so a denial.
load_fragment := {"allowed": true, "add_module": "namespace" in fragment.includes, "metadata": changes} if {
	input.fragment_loaded == true

	# Objects of a version that is not known could hold conditions that nobody would check.
	understood(fragment_framework_version)
	some fragment in named_fragments
	loaded_svn_fits(fragment)
	changes := array.concat(
		[update("issuers", input.issuer, issuer_with(contents(fragment.includes)))],
		passed_parameters,
	)
}

# A fragment states its version in the signed header, in its text, or in both and then alike.
text_svn := data[input.namespace].svn

loaded_svn_fits(fragment) if {
	input.has_header_svn == true
	not text_svn
	svn_fits(input.header_svn, fragment.minimum_svn)
}

loaded_svn_fits(fragment) if {
	input.has_header_svn == true
	to_number(text_svn) == to_number(input.header_svn)
	svn_fits(text_svn, fragment.minimum_svn)
}

loaded_svn_fits(fragment) if {
	input.has_header_svn == false
	svn_fits(text_svn, fragment.minimum_svn)
}

# Numbers are compared as numbers, also when written as texts, and `1.2.3` as semantic versions; the two do
# not compare.
svn_fits(svn, minimum) if to_number(svn) >= to_number(minimum)

svn_fits(svn, minimum) if {
	semver.is_valid(svn)
	semver.is_valid(minimum)
	semver.compare(svn, minimum) >= 0
}

# --- What a fragment adds ---

default fragment_framework_version := null

fragment_framework_version := data[input.namespace].framework_version

fragment_framework_version := data[input.namespace].framework_svn

contents(includes) := {part: objects |
	some part, objects in fragment_parts
	part in includes
}

# A part that the fragment does not have, or that its version does not know, is left out.
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

fragment_parts["platform_rules"] := data[input.namespace].platform_rules if current(fragment_framework_version)

fragment_parts["transparency_trust_lists"] := data[input.namespace].transparency_trust_lists if {
	current(fragment_framework_version)
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
	some fragment in data[input.namespace].fragments
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

# By the ledger's name. No ledger may call itself by one of the other forms.
receipt_given(required) if {
	required != "*"
	not startswith(required, "TTL:")
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
	declared_trust_lists,
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
