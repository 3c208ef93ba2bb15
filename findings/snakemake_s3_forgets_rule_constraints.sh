#!/usr/bin/env bash
# Snakemake 9.27.1 with snakemake-storage-plugin-s3 0.3.6: a global `wildcard_constraints:` that stands
# after rules writes the constraints into the outputs of the rules before it once more. For an output in
# storage it copies the storage object and changes the query only; the plugin has derived the local path
# from the query when the object was made, and the pattern that is matched is that path. So rules that
# their constraints tell apart become ambiguous, for a statement about another wildcard. Without storage,
# or with the statement above all rules (and included files), the same workflow is planned.
#
# Seen:  folder, before the rules: planned / folder, after the rules: planned
#        storage, before the rules: planned / storage, after the rules: AmbiguousRuleException
set -euo pipefail

folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check snakemake==9.27.1 \
    snakemake-storage-plugin-s3==0.3.6 'moto[server]==5.2.5' 2>"$folder/pip.log" ||
    { cat "$folder/pip.log"; exit 1; }

cat >"$folder/serve.py" <<'PYTHON'
import sys
import threading

from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
with open(sys.argv[1], "w") as file:
    file.write("http://{}:{}".format(*server.get_host_and_port()))
threading.Event().wait()
PYTHON
"$folder/venv/bin/python" "$folder/serve.py" "$folder/address" >"$folder/server.log" 2>&1 &
server=$!
until [ -s "$folder/address" ]; do kill -0 "$server" && sleep 0.2; done

rules='
rule all:
    input: "made/plain.txt"

rule mine:
    output: "made/{name}.txt"
    wildcard_constraints: name="plain"
    shell: "touch {output}"

rule other:
    output: "made/{name}.txt"
    wildcard_constraints: name="strange"
    shell: "touch {output}"
'
constraint='
wildcard_constraints:
    seed=r"\d+"
'
mkdir "$folder/before" "$folder/after"
printf '%s\n' "$constraint" "$rules" >"$folder/before/Snakefile"
printf '%s\n' "$rules" "$constraint" >"$folder/after/Snakefile"
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test

for place in folder storage; do
    options=()
    [ "$place" = folder ] || options=(--default-storage-provider s3 --default-storage-prefix s3://runs
        --storage-s3-endpoint-url "$(cat "$folder/address")")
    for where in before after; do
        if (cd "$folder/$where" && "$folder/venv/bin/snakemake" --dry-run --cores 1 "${options[@]}") \
            >"$folder/said" 2>&1; then
            echo "$place, $where the rules: planned"
        else
            echo "$place, $where the rules: $(grep -om 1 '[A-Za-z]*Exception\|[A-Za-z]*Error' "$folder/said")"
        fi
    done
done >"$folder/seen"

cat "$folder/seen"
diff "$folder/seen" - <<'SEEN'
folder, before the rules: planned
folder, after the rules: planned
storage, before the rules: planned
storage, after the rules: AmbiguousRuleException
SEEN
