#!/usr/bin/env bash
# A virtual environment on top of another one: all its packages, and some that must not be in it.
#
#   tests/layer.sh BASE FOLDER PACKAGE...    prints the new Python; BASE and FOLDER are environments
#
# The SLURM plugin slows every call of Snakemake where there is no cluster, and botocore wants an
# older dateutil than the rest; a layer has them, the environment of everyday runs has not.
set -euo pipefail

base=$(cd "$1" && pwd) folder=$2
shift 2
"$base/bin/python" -m venv --without-pip "$folder"
folder=$(cd "$folder" && pwd)
packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
# addsitedir, unlike a bare path, also reads the base's own .pth files: w2s itself is one of them
echo "import site; site.addsitedir('$(packages "$base")')" >"$(packages "$folder")/base.pth"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2
for command in snakemake w2s pytest; do # the base's commands would run the base's Python
    [[ ! -e $base/bin/$command ]] || sed "1s|.*|#!$folder/bin/python|" "$base/bin/$command" >"$folder/bin/$command"
    [[ ! -e $folder/bin/$command ]] || chmod +x "$folder/bin/$command"
done
echo "$folder/bin/python"
