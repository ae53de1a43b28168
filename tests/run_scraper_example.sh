#!/usr/bin/env bash
# Runs the examples that need a cluster against a simulated one.
set -euo pipefail
folder=$(mktemp -d)
"$1" --nodes 3 --pods 5 --kubeconfig "$folder/kubeconfig" >"$folder/out" &
simulator=$!
trap 'kill $simulator; wait $simulator; rm -rf "$folder"' EXIT
for _ in $(seq 100); do
  [ -s "$folder/out" ] && break
  sleep 0.1
done
"$2" "$folder/kubeconfig"
"$3" "$folder/kubeconfig" 2 0
