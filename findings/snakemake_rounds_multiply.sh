#!/usr/bin/env bash
# Snakemake 9.27.1, local runs with the default `--max-jobs-per-timespan 100/1s`: after each look at the
# jobs that are ready the scheduler starts a timer that makes it look again a second later, also where the
# limit was not reached. The end of a job makes it look too, and that look starts a timer of its own, whose
# look starts the next; none of them ends while jobs wait for a core. So there is one more look a second
# for every job that has ended, each over all ready jobs: 200 jobs of a third of a second, one at a time,
# take thousands of looks instead of 200. There is no value of the option that switches the limit off.
#
# Seen:  default: 6407 looks for 201 jobs / without the limiter: 201 looks   (6265 in the run before)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check snakemake==9.27.1 2>"$folder/pip.log" ||
    { cat "$folder/pip.log"; exit 1; }

cat >"$folder/Snakefile" <<'PYTHON'
rule all:
    input: expand("made/{i}", i=range(200))
rule one:
    output: "made/{i}"
    shell: "sleep 0.3; touch {output}"
PYTHON
cat >"$folder/without" <<'PYTHON'
include: "Snakefile"
onstart:
    workflow.scheduler.job_rate_limiter = None
PYTHON

looks() {
    rm -rf "$folder/made" "$folder/.snakemake"
    "$folder/venv/bin/snakemake" --snakefile "$folder/$1" --directory "$folder" --cores 1 \
        --scheduler greedy --verbose all >"$folder/log" 2>&1 || { tail "$folder/log"; exit 1; }
    grep -c '^Ready jobs:' "$folder/log"
}

default=$(looks Snakefile)
without=$(looks without)
echo "default: $default looks for 201 jobs / without the limiter: $without looks"
[ "$default" -gt 1000 ] && [ "$without" -lt 250 ]
