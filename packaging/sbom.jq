# CycloneDX from `cargo metadata`; $lock is Cargo.lock, which has the checksums.

def daemon: "azure-kms-provider";

# what crates.io has under that name and version
def purl: "pkg:cargo/\(.name)@\(.version)";

# {"name@version": sha256}
def checksums:
  [$lock | scan("name = \"([^\"]+)\"\nversion = \"([^\"]+)\"\nsource = \"[^\"]+\"\nchecksum = \"([0-9a-f]+)\"")
    | {key: "\(.[0])@\(.[1])", value: .[2]}] | from_entries;

# the ids of what a package links; build and dev dependencies are not in the binary
def linked: [.deps[] | select(any(.dep_kinds[]; .kind == null)) | .pkg];

# every id that is reached from those
def reached($nodes; $ids):
  ($ids + ($ids | map($nodes[.]) | add // []) | unique) as $more
  | if $more == $ids then $ids else reached($nodes; $more) end;

def component($sums):
  { type: "library", "bom-ref": purl, purl: purl, name: .name, version: .version }
  + (if .license then { licenses: [{ expression: (.license | gsub(" */ *| +OR +"; " OR ")) }] } else {} end)
  + ($sums["\(.name)@\(.version)"] as $sum
    | if $sum then { hashes: [{ alg: "SHA-256", content: $sum }] } else {} end);

checksums as $sums
| (.packages | map({ key: .id, value: . }) | from_entries) as $packages
| (.resolve.nodes | map({ key: .id, value: linked }) | from_entries) as $nodes
| (.packages[] | select(.source == null and .name == daemon)) as $root
| (reached($nodes; [$root.id])) as $ids
| { bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: { component: ($root | component($sums) + { type: "application" }) },
    components: [$ids[] | select(. != $root.id) | $packages[.] | component($sums)],
    dependencies: [$ids[] | { ref: ($packages[.] | purl), dependsOn: [$nodes[.][] | $packages[.] | purl] }] }
