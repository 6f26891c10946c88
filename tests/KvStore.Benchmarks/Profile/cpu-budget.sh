#!/usr/bin/env bash
# Where the processor time and the allocations of an operation go: starts three nodes, loads them with 'kv bench', and prints, for the nodes and for the client, microseconds and bytes an operation, and the share of each layer
# and of the methods that take most.
# Needs Linux's perf and the right to use it (root, or kernel.perf_event_paranoid <= 1).
#
#   tests/KvStore.Benchmarks/Profile/cpu-budget.sh cp sync 64          policy, replication, operations in flight
#   tests/KvStore.Benchmarks/Profile/cpu-budget.sh ap async 256
#   tests/KvStore.Benchmarks/Profile/cpu-budget.sh cp sync 64 get --level linearizable     another operation, with options of 'kv bench' for it
#   SHARDS=1 tests/KvStore.Benchmarks/Profile/cpu-budget.sh cp sync 64                      one leader: what it takes, and what each follower does
#   TMPDIR=/dev/shm tests/KvStore.Benchmarks/Profile/cpu-budget.sh cp sync 64               data in memory: what the disk's share of a latency is
set -euo pipefail
policy=${1:-cp} replication=${2:-sync} concurrency=${3:-64} operation=${4:-put}
shift $(($# > 4 ? 4 : $#))
kv=${KV:-$(cd "$(dirname "$0")/../../.." && pwd)/src/KvStore.Cli/bin/Release/net10.0/kv}
port=${PORT:-27101}
shards=${SHARDS:-8}
here=$(mktemp -d)
up=""
trap '[ -z "$up" ] || { kill "$up"; wait "$up" || true; }; rm -rf "$here"' EXIT

# Methods are named by the runtime's map files; perf reads them when it reports, so nothing of them may be removed before. Without write-xor-execute, because with it the code lies in a file of its own, whose name perf reports instead.
export DOTNET_PerfMapEnabled=1 DOTNET_EnableWriteXorExecute=0
# Not in the background: nodes in sessions of their own are scheduled apart from the generator (docs/performance.md, "sessions of Linux").
"$kv" up --nodes 3 --data "$here/data" --port "$port" >"$here/up" 2>&1 &
up=$!
until "$kv" cluster status -e "127.0.0.1:$port" >/dev/null 2>&1; do
  kill -0 "$up" || { cat "$here/up"; exit 1; }
  sleep 0.5
done
nodes=$(pgrep -f -- "--data $here/data/" | tr '\n' ' ')
"$kv" bench "$operation" "$@" -e "127.0.0.1:$port" -k budget --create --policy "$policy" --replication "$replication" --shards "$shards" --replicas 3 -c "$concurrency" --warm-up 15s -d 15s >"$here/bench" 2>&1 &
bench=$!
sleep 18

ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
allocated() { curl -s "http://127.0.0.1:$((port + 1000 + $1))/metrics" | awk '/^dotnet_gc_heap_total_allocated_bytes_total/ && !seen { seen = 1; printf "%s", $2 }'; }
before="" after="" alloc_before="" alloc_after=""
for pid in $nodes $bench; do before+="$(ticks "$pid") "; done
for n in 0 1 2; do alloc_before+="$(allocated $n) "; done
began=$(date +%s.%N)
perf record -q -F 499 -p "$(echo "$nodes" | tr ' ' ',' | sed 's/,$//')" -o "$here/nodes" -- sleep 8 >/dev/null 2>&1 &
recorder=$!
perf record -q -F 499 -p "$bench" -o "$here/client" -- sleep 8 >/dev/null 2>&1
wait $recorder
took=$(echo "$(date +%s.%N) - $began" | bc)
for pid in $nodes $bench; do after+="$(ticks "$pid") "; done
for n in 0 1 2; do alloc_after+="$(allocated $n) "; done
wait $bench
"$kv" keyspace describe budget -e "127.0.0.1:$port" 2>/dev/null | grep -i lead || true
cat "$here/bench" | grep -E 'throughput|latency|generator'
rate=$(sed -nE 's/^ *throughput +([0-9,]+) op.*/\1/p' "$here/bench" | tr -d ,)

awk -v b="$before" -v a="$after" -v ab="$alloc_before" -v aa="$alloc_after" -v ops="$(echo "$rate * $took" | bc)" -v hz="$(getconf CLK_TCK)" 'BEGIN {
  n = split(b, x, " "); split(a, y, " "); split(ab, p, " "); split(aa, q, " ")
  for (i = 1; i < n; i++) { cpu += y[i] - x[i]; bytes += q[i] - p[i] }
  for (i = 1; i < n; i++) printf "node %d: %.1f us and %.0f bytes an operation\n", i, (y[i] - x[i]) / hz * 1e6 / ops, (q[i] - p[i]) / ops
  printf "processor time an operation: nodes %.1f us (all three), client %.1f us\n", cpu / hz * 1e6 / ops, (y[n] - x[n]) / hz * 1e6 / ops
  printf "allocated an operation: nodes %.0f bytes (all three)\n", bytes / ops
}'

# Leaf functions by layer. The first pattern that fits counts.
layers() {
  perf report -q --stdio --no-children -g none -F overhead,dso,symbol -i "$1" 2>/dev/null | awk '
    { share = $1; sub("%", "", share); line = $0
      layer = "other"
      if (line ~ /sched_yield|do_sched_yield/) layer = "kernel: threads that look for work before they sleep (sched_yield)"
      else if (line ~ /futex|schedule|pick_next|dequeue|enqueue_task|switch_|wake|ttwu|update_curr|finish_task|_raw_spin_unlock|context_switch/ && line ~ /\[k\]|kernel/) layer = "kernel: switching and waking threads"
      else if (line ~ /ext4|jbd2|blk|nvme|virtio|vfs_|fsync|dio|iomap|bio_/ && line ~ /\[k\]|kernel/) layer = "kernel: files"
      else if (line ~ /\[k\]|kernel/) layer = "kernel: sockets and the rest"
      else if (line ~ /LowLevelLifoSemaphore|PortableThreadPool|ThreadPoolWorkQueue|WorkStealingQueue|WorkerThread/) layer = "runtime: thread pool"
      else if (line ~ /libcoreclr|libclrjit|libclrgc/) layer = "runtime: collector, compiler, helpers"
      else if (line ~ /KvStore\.Core/) layer = "KvStore.Core"
      else if (line ~ /KvStore\.Storage|librocksdb/) layer = "KvStore.Storage"
      else if (line ~ /KvStore\.Node|KvStore\.Contracts/) layer = "KvStore.Node"
      else if (line ~ /KvStore\.Client|KvStore\.Cli/) layer = "KvStore.Client and the generator"
      else if (line ~ /Kestrel|Http2|Http\.|HPack|Grpc|Pipelines/) layer = "HTTP/2 and gRPC"
      else if (line ~ /Sockets|SocketAsync/) layer = "managed sockets"
      else if (line ~ /libc\.so|libSystem|vdso/) layer = "libc"
      else if (line ~ /System\./) layer = "other of .NET: tasks, collections, locks, copying"
      sum[layer] += share }
    END { for (l in sum) printf "  %5.1f %%  %s\n", sum[l], l }' | sort -rn
}
# The methods with the largest shares of their own: what is inlined into one counts as its.
methods() {
  perf report -q --stdio --no-children -g none -F overhead,dso,symbol -i "$1" 2>/dev/null | sed -E 's/tid +[0-9]+//; s/\[(k|\.)\]//; s/\(.*//; s/(instance|valuetype|class) //g' | awk '
    { share = $1; sub("%", "", share); name = $NF; if (name ~ /^0x/) name = $2 " (not named)"; sum[name] += share }
    END { for (n in sum) if (sum[n] >= 0.8) printf "  %5.1f %%  %s\n", sum[n], n }' | sort -rn | head -25
}
echo "nodes:"
layers "$here/nodes"
echo "client:"
layers "$here/client"
echo "methods of the nodes:"
methods "$here/nodes"
