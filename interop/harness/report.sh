# shellcheck shell=bash
# For the run scripts beside this folder: runs tests, and records what passed against which version.

# absolute_paths: paths in the environment are meant from where the caller stands, and the scripts go elsewhere.
absolute_paths() {
	local name
	for name in AZURE_KMS_PROVIDER AKV_EMULATOR IMAGE_ARCHIVE COMPATIBILITY_TABLE RELIABILITY_TABLE STORE_TABLE; do
		[[ -z ${!name:-} ]] || export "$name=$(realpath --canonicalize-missing -- "${!name}")"
	done
}

# suite LOG FLAGS...: go test, shown and kept in LOG.
suite() {
	local log=$1
	shift
	go test -count=1 -v "$@" 2>&1 | tee "$log"
}

# passed LOG: what the log says, such as "lifecycle (6 tests), store (2 tests)".
passed() {
	awk '/^--- PASS/ { n++ }
		/^ok/ { sub(".*/", "", $2); printf "%s%s (%d tests)", comma, $2, n; comma = ", "; n = 0 }' "$1"
}

# module NAME FLAGS...: the version in use.
module() {
	local name=$1
	shift
	go list "$@" -m -f '{{.Version}}' "$name"
}

# record COMPONENT VERSION WHAT: appends a row to the table in $COMPATIBILITY_TABLE.
record() {
	[[ -z ${COMPATIBILITY_TABLE:-} ]] || printf '| %s | %s | %s |\n' "$@" >>"$COMPATIBILITY_TABLE"
}

# tidy_code: what has to hold for every Go file of the module.
tidy_code() {
	local unformatted
	unformatted=$(gofmt -l .)
	[[ -z $unformatted ]] || {
		echo "not formatted: $unformatted" >&2
		return 1
	}
	go vet ./...
}
