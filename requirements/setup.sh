#!/usr/bin/env bash
# Makes the environment that every make target runs in.
#
#   requirements/setup.sh FOLDER    make it there, finish it or bring it up to date; at once where nothing is to do
#   requirements/setup.sh --key     print the key that an environment made from these files, here and now, would have
#
# PYTHON=... chooses the interpreter, MAX_JOBS=... how many compilers run at once, and STACK=original the packages of
# mm-original.txt instead of those of mm.txt. Nothing but FOLDER, nasdet/.mim and pip's cache is written to.
set -euo pipefail

readonly root=$(cd "$(dirname "$0")/.." && pwd)
readonly mm=$root/requirements/mm${STACK:+-$STACK}.txt
readonly files=("$root"/requirements/{build,constraints,dev,peers}.txt "$mm" "$root"/requirements/{runtime,torch}.txt)
readonly torch_cuda=12                  # the CUDA release that torch.txt's torch is built for
readonly disk_gb=9                      # what the environment takes, with room to unpack
readonly heartbeat_seconds=10

say() { echo "set-up: $*"; }
fail() { echo "set-up: $*" >&2; exit 1; }

supported() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }

find_python() {
    if [[ -n ${PYTHON:-} ]]; then
        supported "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.10, 3.11 or 3.12"
        echo "$PYTHON"
        return
    fi
    local candidate
    for candidate in python3 python3.12 python3.11 python3.10; do
        if supported "$candidate"; then echo "$candidate"; return; fi
    done
    fail "no Python 3.10, 3.11 or 3.12 found: apt-get install python3 python3-venv python3-dev, or give PYTHON=/path"
}

check_tools() {
    local python=$1 missing=()
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    "$python" -c 'import os, sysconfig as s, sys; sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))' \
        || missing+=(python3-dev)
    command -v g++ >/dev/null || missing+=(g++)
    command -v make >/dev/null || missing+=(make)
    if ((${#missing[@]})); then fail "missing on this machine: apt-get install ${missing[*]}"; fi
}

# Sets `flavour` (cuda or cpu: for which mmcv's operators are compiled) and `hardware`, the sentence about it.
find_hardware() {
    local gpu nvcc
    gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -n 1) || gpu=
    nvcc=$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p') || nvcc=
    flavour=cpu
    if [[ -z $gpu ]]; then
        hardware="no GPU found${nvcc:+ (nvcc $nvcc is there, but no driver with a GPU)}: runs stay on the CPU"
    elif [[ -z $nvcc ]]; then
        hardware="GPU $gpu (name, driver), but no nvcc, which mmcv's CUDA operators need: runs stay on the CPU;"
        hardware+=" install the CUDA $torch_cuda toolkit and call make again"
    elif [[ ${nvcc%%.*} != "$torch_cuda" ]]; then
        hardware="GPU $gpu (name, driver), but nvcc is $nvcc and torch is built for CUDA $torch_cuda: runs stay on the"
        hardware+=" CPU; put the nvcc of a CUDA $torch_cuda toolkit first on PATH and call make again"
    else
        flavour=cuda
        hardware="GPU $gpu (name, driver), nvcc $nvcc: mmcv's operators are compiled for CUDA"
    fi
}

key_of() {
    { "$1" -c 'import sys; print(sys.version_info[:2])'; echo "$flavour"; cat "${files[@]}"; } | sha256sum | cut -c 1-16
}

# Files come and go while du counts them, which it reports as a failure.
unpacked() { du -sh --exclude=.nasdet "$venv" 2>/dev/null | cut -f 1 || true; }

# A line every few seconds while this script lives, with what the log says last.
heartbeat() {
    local title=$1 started=$SECONDS progress elapsed
    while sleep "$heartbeat_seconds" >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        progress=$(tail -c 20000 "$log" | tr '\r' '\n' \
            | grep -oE '\[[0-9]+/[0-9]+\]|(Downloading|Building) [^ ]+|Installing' | tail -n 1) || progress=
        if [[ $progress == Installing ]]; then progress="unpacking, $(unpacked) so far"; fi
        elapsed=$((SECONDS - started))
        printf 'set-up: %s, %d:%02d min  %s\n' "$title" $((elapsed / 60)) $((elapsed % 60)) "$progress"
    done
}

# stage NAME TITLE COMMAND...: run the command with its output in the log, unless an earlier call has finished it.
stage() {
    local name=$1 title=$2 status=0
    shift 2
    if [[ -e $stamps/$name ]]; then return; fi
    say "$title"
    remove_half_installed
    heartbeat "$title" 9>&- &
    local pulse=$!
    "$@" >>"$log" 2>&1 || status=$?
    kill "$pulse" 2>/dev/null && wait "$pulse" 2>/dev/null || true
    if ((status)); then
        tail -n 15 "$log" >&2
        fail "$title failed; the whole log is $log. The same command goes on from here."
    fi
    touch "$stamps/$name"
}

# pip takes a package for installed once its metadata are there; it writes RECORD last.
remove_half_installed() {
    local info
    for info in "$site"/*.dist-info; do
        if [[ -d $info && ! -s $info/RECORD ]]; then rm -rf "$info"; fi
    done
    rm -rf "$site"/~*
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

requirements() { pip install -c "$root/requirements/constraints.txt" -r "$root/requirements/$1.txt"; }

install_pip() {
    "$venv/bin/python" -m ensurepip --upgrade --default-pip && requirements build
}

install_dev() { requirements dev && pip install --no-deps -r "$root/requirements/peers.txt"; }

mm_packages() { grep -v '^#' "$mm" | grep -v mmcv; }

install_mm() { pip install --no-deps --no-build-isolation $(mm_packages); }

mmcv_works() {
    CUDA_VISIBLE_DEVICES= "$venv/bin/python" - "$flavour" <<'PY'
import sys

import torch
from mmcv.ops import get_compiling_cuda_version, nms

kept = nms(torch.tensor([[0., 0., 4., 4.], [0., 0., 4., 4.]]), torch.tensor([0.9, 0.8]), 0.5)[1]
assert kept.tolist() == [0], kept
assert sys.argv[1] == 'cpu' or get_compiling_cuda_version() != 'not available', 'no CUDA operators'
PY
}

# pip's cache knows neither the torch that a wheel was compiled against nor whether for CUDA; so what it gives is tried.
install_mmcv() {
    local package
    package=$(grep -v '^#' "$mm" | grep mmcv)
    local build=(install -v --no-deps --no-build-isolation --no-binary "${package%%==*}")
    local memory_gb=$(($(awk '/MemAvailable/ {print $2}' /proc/meminfo) / 1048576))
    local jobs=$((memory_gb / 2 < $(nproc) ? memory_gb / 2 : $(nproc)))
    export MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$((jobs > 1 ? jobs : 1))} FORCE_CUDA=0
    if [[ $flavour == cpu ]]; then
        pip "${build[@]}" "$package"
    else
        export FORCE_CUDA=1
    fi
    mmcv_works || pip "${build[@]}" --no-cache-dir --force-reinstall "$package"
    mmcv_works
}

check_disk() {
    local free_gb
    free_gb=$(df --output=avail -B 1G "$venv" | tail -n 1)
    if [[ ! -e $stamps/torch ]] && ((free_gb < disk_gb)); then
        fail "$venv has $free_gb GB free and the environment takes about $disk_gb: choose another place with VENV=/path"
    fi
}

# Both stacks own the modules mmdet, mmcv and mmengine, so an environment holds one of them for good.
check_stack() {
    local made=$venv/.nasdet/stack
    if [[ -e $made && $(<"$made") != "${STACK:-}" ]]; then
        fail "$venv was made with STACK='$(<"$made")', not with STACK='${STACK:-}': choose another place with VENV=/path"
    fi
    echo "${STACK:-}" >"$made"
}

# The console command and the configs of this checkout. Several checkouts may share an environment, one at a time.
link_checkout() {
    local state link=$stamps/checkout
    state="$root $(cat "$root/setup.py" "$root/nasdet/version.py" | sha256sum)"
    if [[ -e $link && $(<"$link") == "$state" && -e $root/nasdet/.mim/configs ]]; then return; fi
    rm -f "$stamps/link"
    stage link "linking this checkout" pip install --no-deps --no-build-isolation -e "$root"
    echo "$state" >"$link"
}

# What the make targets source: this checkout first, caches inside the environment, and no GPU that mmcv cannot use.
write_activation() {
    {
        echo "export PYTHONPATH='$root' MPLCONFIGDIR='$venv/.nasdet/matplotlib'"
        if [[ $flavour == cpu ]]; then echo 'export CUDA_VISIBLE_DEVICES='; fi
    } >"$venv/.nasdet/environment"
}

announce() {
    say "making $venv, once: downloads about 4 GB, takes $disk_gb GB, compiles mmcv's operators;" \
        "about ten minutes for those on 2 cores"
    say "$hardware"
    check_tools "$python"
    check_disk
}

make_environment() {
    mkdir -p "$venv/.nasdet"
    exec 9>"$venv/.nasdet/lock"
    flock --nonblock 9 || { say "another set-up works in $venv: waiting for it"; flock 9; }
    check_stack
    if [[ ! -e $stamps/done ]]; then announce; fi
    if ! "$venv/bin/python" -c '' 2>/dev/null; then "$python" -m venv --without-pip "$venv"; fi
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    log=$venv/.nasdet/setup.log
    export TMPDIR=$venv/.nasdet/tmp
    rm -rf "$TMPDIR"
    mkdir -p "$stamps" "$TMPDIR"
    stage pip "pip and build tools" install_pip
    stage torch "PyTorch" requirements torch
    stage runtime "libraries" requirements runtime
    stage mm "MMDetection" install_mm
    stage mmcv "mmcv's operators" install_mmcv
    stage dev "test and lint tools" install_dev
    link_checkout
    rm -rf "$TMPDIR"
    touch "$stamps/done"
    write_activation
    say "$venv is ready; $hardware"
}

main() {
    [[ -e $mm ]] || fail "STACK=$STACK: there is no $mm"
    find_hardware
    if [[ ${1:-} == --key ]]; then
        python=$(find_python)
        key_of "$python"
        exit
    fi
    [[ $# == 1 ]] || fail "usage: requirements/setup.sh FOLDER"
    venv=$(realpath -m "$1")
    if [[ -e $venv && ! -e $venv/.nasdet && -n $(ls -A "$venv") ]]; then
        fail "$venv is not empty and not an environment that this script made: choose another place with VENV=/path"
    fi
    python=$venv/bin/python
    if ! supported "$python"; then python=$(find_python); fi
    stamps=$venv/.nasdet/$(key_of "$python")
    make_environment
}

# One line, so that the shell has read all of this file before it starts.
main "$@"; exit
