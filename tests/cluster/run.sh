#!/usr/bin/env bash
# The tiny DAG on a real SLURM of one node, compared byte for byte with a local run.
#
# Installs slurm-wlm and munge with apt where they are missing, starts both on the loopback
# address from a temporary folder, runs tests/cluster/check.py, and stops what it started.
# W2S_CLUSTER_PYTHON: a Python with w2s and its `slurm` extra; made if not given.
# once: leave out the part in which a job is cancelled, which takes half of the time.
# W2S_CLUSTER_KEEP=1: leave the folder with all logs.
set -euo pipefail

repository=$(cd "$(dirname "$0")/../.." && pwd)
here=$repository/tests/cluster

skip() {
    echo "no SLURM run: $1"
    exit 0
}

((EUID == 0)) || skip "only root can start munged and slurmd as this script does"
has_slurm() {
    local program
    for program in slurmctld slurmd munged srun; do
        command -v "$program" >/dev/null || return 1
    done
}

if ! has_slurm; then
    command -v apt-get >/dev/null || skip "no slurmctld, slurmd and munged, and no apt-get to install them"
    # the packages start services as they install: this policy forbids it
    policy=/usr/sbin/policy-rc.d
    made_policy=""
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        made_policy=1
    fi
    installed=1
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq --yes --no-install-recommends slurm-wlm munge; } >/dev/null 2>&1 || installed=""
    [[ -z $made_policy ]] || rm -f "$policy"
    [[ -n $installed ]] || skip "apt cannot install slurm-wlm and munge here"
fi

folder=$(mktemp -d /tmp/w2s-cluster.XXXXXX)
started=()

stop() {
    local status=$?
    trap - EXIT
    [[ -z ${check:-} ]] || kill "$check" 2>/dev/null || true
    [[ ! -e $folder/ready ]] || timeout 20 scancel --user=root || true
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do # last started, first stopped
        kill "${started[i]}" 2>/dev/null || true
        wait "${started[i]}" 2>/dev/null || true
    done
    if [[ ${W2S_CLUSTER_KEEP:-} == 1 ]]; then echo "kept: $folder"; else rm -rf "$folder"; fi
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT TERM

python=${W2S_CLUSTER_PYTHON:+$(realpath --no-symlinks "$W2S_CLUSTER_PYTHON")}
if [[ -z $python ]]; then
    # the plugin calls scontrol as it is imported: never in the environment of everyday runs
    python3 -m venv "$folder/venv"
    python=$folder/venv/bin/python
    "$python" -m pip install --quiet --constraint "$repository/requirements.lock" \
        --editable "$repository[slurm]" >"$folder/pip.log" 2>&1 ||
        skip "pip cannot install the slurm extra ($(tail -n 1 "$folder/pip.log"))"
fi

mkdir -p "$folder"/{munge,state,spool,bin}
chmod 755 "$folder" # munged asks that others can reach its socket and nobody else can write
node=$(hostname -s)
ports=$("$python" -c 'import socket
free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in free))')
read -r ctld_port slurmd_port <<<"$ports"

cat >"$folder/slurm.conf" <<CONF
ClusterName=w2s
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$ctld_port
SlurmdPort=$slurmd_port
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/jobs.txt
MinJobAge=300
KillWait=2
ReturnToService=2
GresTypes=gpu
# more than the machine may have, so that the profile's requests fit; nothing limits use here
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=$node Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=$node MaxTime=INFINITE State=UP
CONF
# any device file will do: nothing here looks at the card
echo "NodeName=$node Name=gpu File=/dev/null" >"$folder/gres.conf"
cat >"$folder/partitions.yaml" <<'YAML'
partitions:
  cpu: {max_runtime: 2d, max_mem_mb: 64000}
  gpu: {max_runtime: 2d, max_mem_mb: 64000, max_gpu: 1}
YAML
export SLURM_CONF=$folder/slurm.conf
# the plugin's job step drops SLURM_CONF from srun's environment, so srun is found here first
printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$SLURM_CONF" "$(command -v srun)" >"$folder/bin/srun"
chmod +x "$folder/bin/srun"
export PATH="$folder/bin:$PATH"

dd if=/dev/urandom of="$folder/munge/key" bs=1024 count=1 status=none
chmod 600 "$folder/munge/key"
munged --foreground --force --socket="$folder/munge/socket" --key-file="$folder/munge/key" \
    --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" \
    --seed-file="$folder/munge/seed" --origin=127.0.0.1 >"$folder/munge/out" 2>&1 &
started+=($!)
for _ in {1..50}; do [[ -S $folder/munge/socket ]] && break || sleep 0.1; done
slurmctld -D -c -f "$SLURM_CONF" >"$folder/slurmctld.out" 2>&1 &
started+=($!)
slurmd -D -c -N "$node" -f "$SLURM_CONF" >"$folder/slurmd.out" 2>&1 &
started+=($!)
for _ in {1..100}; do
    state=$(timeout 5 sinfo --noheader --format=%T 2>/dev/null || true)
    [[ $state == idle ]] && break || sleep 0.2
done
if [[ $state != idle ]]; then
    tail -n 5 "$folder"/munge/out "$folder"/slurmctld.log "$folder"/slurmd.log "$folder"/*.out || true
    echo "the cluster did not come up"
    exit 1
fi
touch "$folder/ready"
echo "SLURM $(sinfo --version | cut -d' ' -f2) is up on 127.0.0.1, one node"

export PYTHONPATH=$repository/tests OMP_NUM_THREADS=1
# in the background: a shell that waits for a program in front handles no signal
"$python" "$here/check.py" "$folder" "$@" &
check=$!
wait "$check"
