using System.Globalization;
using System.Text.Json;
using Google.Protobuf;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Keyspaces;

/// <summary>A replica and the node it lives on.</summary>
internal sealed record KeyspaceReplica(uint Node, ReplicaStatus Status);

/// <summary>Shows keyspaces.</summary>
internal static class KeyspaceOutput
{
    public static void Show(CommandContext context, OutputFormat format, IReadOnlyList<Keyspace> keyspaces)
    {
        if (format == OutputFormat.Json)
        {
            JsonOutput.Write(context.Terminal.Out, json =>
            {
                json.WriteStartArray();
                foreach (var keyspace in keyspaces)
                {
                    WriteJson(json, keyspace);
                }

                json.WriteEndArray();
            });
            return;
        }

        var table = new TextTable("name", "policy", "replication", "shards", "replicas", "epoch", "leaders known", "conflicts", "durability");
        foreach (var keyspace in keyspaces.OrderBy(keyspace => keyspace.Name, StringComparer.Ordinal))
        {
            table.Add(
                keyspace.Name,
                Name(keyspace.Policy),
                Name(keyspace.Replication),
                Text(keyspace.Shards.Count),
                Text(keyspace.Shards.Count == 0 ? 0 : keyspace.Shards[0].Replicas.Count),
                Text(keyspace.Shards.Select(shard => shard.Epoch).Append(keyspace.Epoch).Max()),
                keyspace.Policy == PartitionPolicy.Ap ? "-" : Text(keyspace.Shards.Count(shard => shard.LeaderHint != 0)),
                keyspace.Policy == PartitionPolicy.Ap ? Name(keyspace.Conflicts) : "-",
                keyspace.Durability == Durability.Memory ? string.Create(CultureInfo.InvariantCulture, $"memory, {keyspace.MemoryBytes / 1_048_576.0:0.#} MiB") : "disk");
        }

        if (format == OutputFormat.Raw)
        {
            table.WriteRaw(context.Terminal.Out);
        }
        else
        {
            context.Write(table);
        }
    }

    /// <summary>A single keyspace: in JSON one object, otherwise like a list of one.</summary>
    public static void ShowOne(CommandContext context, OutputFormat format, Keyspace keyspace)
    {
        if (format == OutputFormat.Json)
        {
            JsonOutput.Write(context.Terminal.Out, json => WriteJson(json, keyspace));
        }
        else
        {
            Show(context, format, [keyspace]);
        }
    }

    public static void ShowDescription(CommandContext context, OutputFormat format, Keyspace keyspace, List<KeyspaceReplica> replicas)
    {
        if (format == OutputFormat.Json)
        {
            JsonOutput.Write(context.Terminal.Out, json =>
            {
                json.WriteStartObject();
                json.WritePropertyName("keyspace");
                WriteJson(json, keyspace);
                json.WriteStartArray("replicas");
                foreach (var replica in replicas)
                {
                    json.WriteStartObject();
                    json.WriteNumber("node", replica.Node);
                    json.WritePropertyName("status");
                    json.WriteRawValue(JsonFormatter.Default.Format(replica.Status));
                    json.WriteEndObject();
                }

                json.WriteEndArray();
                json.WriteEndObject();
            });
            return;
        }

        var table = ReplicaTable(replicas);
        if (format == OutputFormat.Raw)
        {
            table.WriteRaw(context.Terminal.Out);
            return;
        }

        Show(context, OutputFormat.Table, [keyspace]);
        context.Write(table);
    }

    /// <summary>How far an alteration is, in one line.</summary>
    public static string Summary(KeyspaceProgress progress)
    {
        var done = progress.Shards.Count(shard => shard.Done);
        var closing = progress.Shards.Count(shard => shard.Closing);
        var leaderless = progress.Shards.Count(shard => shard.Leader == 0);
        return $"{done} of {progress.Shards.Count} shards work as {Name(progress.Keyspace.Policy)}/{Name(progress.Keyspace.Replication)}"
            + (closing == 0 ? "" : $", {closing} between two regimes") + (leaderless == 0 ? "" : $", {leaderless} without a leader");
    }

    /// <summary>Every shard of a keyspace on its way to other settings.</summary>
    public static void ShowProgress(CommandContext context, OutputFormat format, KeyspaceProgress progress)
    {
        if (format == OutputFormat.Json)
        {
            context.Line(JsonFormatter.Default.Format(progress));
            return;
        }

        var table = new TextTable("keyspace", "shard", "epoch", "regime", "policy", "replication", "leader", "bound", "not bound", "pause");
        foreach (var shard in progress.Shards)
        {
            table.Add(
                progress.Keyspace.Name,
                Text(shard.Shard),
                Text(shard.Epoch),
                shard.Closing ? "closing" : shard.Regime.ToString().ToLowerInvariant(),
                Name(shard.Policy),
                Name(shard.Replication),
                shard.Leader == 0 ? "-" : Text(shard.Leader),
                string.Join(",", shard.Bound),
                shard.Unbound.Count == 0 ? "-" : string.Join(",", shard.Unbound),
                shard.PauseMs == 0 ? "-" : Text(shard.PauseMs) + " ms");
        }

        if (format == OutputFormat.Raw)
        {
            table.WriteRaw(context.Terminal.Out);
        }
        else
        {
            context.Write(table);
        }
    }

    /// <summary>Replicas, one a row; also for the status of a node.</summary>
    public static TextTable ReplicaTable(IEnumerable<KeyspaceReplica> replicas)
    {
        var table = new TextTable("keyspace", "shard", "node", "role", "regime", "epoch", "term", "leader", "commit", "applied", "last", "lag", "overlay", "state");
        foreach (var (node, status) in replicas.OrderBy(replica => replica.Status.Keyspace, StringComparer.Ordinal)
            .ThenBy(replica => replica.Status.Shard).ThenBy(replica => replica.Node).Select(replica => (replica.Node, replica.Status)))
        {
            table.Add(
                status.Keyspace,
                Text(status.Shard),
                Text(node),
                status.Role,
                status.Closing ? "closing" : status.Regime.ToString().ToLowerInvariant(),
                Text(status.Epoch),
                Text(status.Term),
                status.Leader == 0 ? "-" : Text(status.Leader),
                Text(status.Commit),
                Text(status.Applied),
                Text(status.LastIndex),
                LagOf(status),
                status.OverlayKeys == 0 ? "-" : Overlay(status),
                status.Fenced.Length == 0 ? "serves" : "fenced: " + status.Fenced);
        }

        return table;
    }

    /// <summary>The peer that is furthest behind, in writes and in time.</summary>
    private static string LagOf(ReplicaStatus status)
    {
        var worst = status.Lags.MaxBy(lag => lag.Missing);
        return worst is null or { Missing: 0 }
            ? status.Lags.Count > 0 || status.Role == "leader" ? "0" : "-"
            : string.Create(CultureInfo.InvariantCulture, $"{worst.Missing} (node {worst.Node}, {worst.ForMs / 1_000.0:0.0} s)");
    }

    public static string Name(PartitionPolicy policy) => policy.ToString().ToLowerInvariant();

    public static string Name(Replication replication) => replication == Replication.BestEffort ? "best-effort" : replication.ToString().ToLowerInvariant();

    public static string Name(Conflicts conflicts) => conflicts == Conflicts.LastWriterWins ? "last-writer-wins" : "siblings";

    /// <summary>What was written provisionally and waits to be merged.</summary>
    private static string Overlay(ReplicaStatus status) =>
        string.Create(CultureInfo.InvariantCulture, $"{status.OverlayKeys} keys, {status.OverlayBytes} bytes, {status.OverlayAgeMs / 1000} s");

    private static void WriteJson(Utf8JsonWriter json, Keyspace keyspace)
    {
        json.WriteStartObject();
        json.WriteString("name", keyspace.Name);
        json.WriteNumber("id", keyspace.Id);
        json.WriteString("policy", Name(keyspace.Policy));
        json.WriteString("replication", Name(keyspace.Replication));
        json.WriteNumber("epoch", keyspace.Epoch);
        json.WriteString("conflicts", Name(keyspace.Conflicts));
        json.WriteString("durability", keyspace.Durability == Durability.Memory ? "memory" : "disk");
        if (keyspace.Durability == Durability.Memory)
        {
            json.WriteNumber("memoryBytes", keyspace.MemoryBytes);
        }

        if (keyspace.MaxLag is { } lag)
        {
            json.WriteStartObject("maxLag");
            json.WriteNumber("bytes", lag.Bytes);
            json.WriteNumber("timeMs", lag.TimeMs);
            json.WriteEndObject();
        }

        if (keyspace.ProvisionalAfterMs != 0)
        {
            json.WriteNumber("provisionalAfterMs", keyspace.ProvisionalAfterMs);
        }

        if (keyspace.DefaultTtlMs != 0)
        {
            json.WriteNumber("defaultTtlMs", keyspace.DefaultTtlMs);
        }

        if (keyspace.DefaultReadLevel != ReadLevel.Unspecified)
        {
            json.WriteString("defaultReadLevel", keyspace.DefaultReadLevel.ToString().ToLowerInvariant());
        }

        json.WriteStartArray("shards");
        foreach (var shard in keyspace.Shards)
        {
            json.WriteStartObject();
            json.WriteStartArray("nodes");
            foreach (var replica in shard.Replicas)
            {
                json.WriteNumberValue(replica.Node);
            }

            json.WriteEndArray();
            json.WriteNumber("leaderHint", shard.LeaderHint);
            json.WriteNumber("epoch", shard.Epoch);
            json.WriteString("regime", shard.Regime.ToString().ToLowerInvariant());
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static string Text(IFormattable number) => number.ToString(null, CultureInfo.InvariantCulture);
}
