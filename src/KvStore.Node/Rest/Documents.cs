using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using KvStore.Contracts.V1;
using KvStore.Node.Catalog;

namespace KvStore.Node.Rest;

/// <param name="Key">Percent-encoded, as it stands in a URL behind <c>/keys/</c>.</param>
/// <param name="Value">In base64.</param>
/// <param name="Version">The ETag of the key.</param>
/// <param name="ExpiresInMs">How long the value has to live; left out where it does not expire.</param>
internal sealed record ScanItemDocument(string Key, byte[] Value, string Version, uint Siblings, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] ulong? ExpiresInMs);

/// <param name="Next">Where more are: the value of <c>after</c> for the next page. Null: that was all.</param>
internal sealed record ScanDocument(IReadOnlyList<ScanItemDocument> Items, string? Next)
{
    public static ScanDocument Of(ScanPage page, bool base64) => new(
        [.. page.Items.Select(item => new ScanItemDocument(
            RestKey.Encode(item.Key.Span, base64),
            item.Value.ToByteArray(),
            AnswerHeaders.ETagOf(item.Version.Span),
            Math.Max(1, item.SiblingCount),
            item.ExpiresInMs == 0 ? null : item.ExpiresInMs))],
        page.More && page.Items.Count > 0 ? RestKey.Encode(page.Items[^1].Key.Span, base64) : null);
}

/// <param name="Value">In base64.</param>
internal sealed record SiblingDocument(byte[] Value, DateTimeOffset Written);

/// <summary>All live values of a key; the first is the winner.</summary>
internal sealed record SiblingsDocument(string Version, IReadOnlyList<SiblingDocument> Siblings)
{
    public static SiblingsDocument Of(Result result) => new(
        AnswerHeaders.ETagOf(result.Version.Span),
        result.Siblings.Count == 0
            ? [new SiblingDocument(result.Value.ToByteArray(), DateTimeOffset.UnixEpoch)]
            : [.. result.Siblings.Select(sibling => new SiblingDocument(sibling.Value.ToByteArray(), DateTimeOffset.FromUnixTimeMilliseconds((long)sibling.TimestampMs)))]);
}

/// <param name="Policy">cp, ap or adaptive.</param>
/// <param name="Replication">sync, async or best-effort.</param>
/// <param name="Shards">1 to 1,024; 8 when left out.</param>
/// <param name="Replicas">Per shard; 3 when left out, or as many as there are members.</param>
internal sealed record KeyspaceSettingsDocument(string? Policy, string? Replication, int? Shards, int? Replicas);

internal sealed record KeyspaceDocument(string Name, uint Id, string Policy, string Replication, ulong Epoch, int Shards, int Replicas)
{
    public static KeyspaceDocument Of(CatalogKeyspace keyspace) => new(
        keyspace.Name,
        keyspace.Id,
        KeyspaceResource.NameOf(keyspace.Mode.Partition),
        KeyspaceResource.NameOf(keyspace.Mode.Replication),
        keyspace.Epoch.Value,
        keyspace.Shards.Length,
        keyspace.Shards[0].Length);
}

internal sealed record MemberDocument(uint Node, string Address, uint Generation);

internal sealed record ShardDocument(IReadOnlyList<uint> Replicas, uint? Leader);

internal sealed record KeyspaceShardsDocument(string Name, IReadOnlyList<ShardDocument> Shards);

internal sealed record ClusterDocument(string Cluster, uint Node, ulong Revision, IReadOnlyList<MemberDocument> Members, IReadOnlyList<KeyspaceShardsDocument> Keyspaces)
{
    public static ClusterDocument Of(Topology topology) => new(
        topology.ClusterId,
        topology.Node,
        topology.Revision,
        [.. topology.Members.Select(member => new MemberDocument(member.Node, member.Address, member.Generation))],
        [.. topology.Keyspaces.Select(keyspace => new KeyspaceShardsDocument(
            keyspace.Name,
            [.. keyspace.Shards.Select(shard => new ShardDocument([.. shard.Replicas.Select(replica => replica.Node)], shard.LeaderHint == 0 ? null : shard.LeaderHint))]))]);
}

/// <summary>RFC 9457, with what a retry needs to know.</summary>
/// <param name="Code">As in kv.proto, in lower case with hyphens.</param>
/// <param name="Outcome">done, not-done or unknown.</param>
/// <param name="Retryable">The same request may be sent again (a write: with the same KvStore-Request-Id).</param>
internal sealed record ProblemDocument(string Type, string Title, int Status, string Detail, string Code, string Outcome, bool Retryable);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(ScanDocument))]
[JsonSerializable(typeof(SiblingsDocument))]
[JsonSerializable(typeof(KeyspaceSettingsDocument))]
[JsonSerializable(typeof(KeyspaceDocument))]
[JsonSerializable(typeof(KeyspaceDocument[]))]
[JsonSerializable(typeof(ClusterDocument))]
[JsonSerializable(typeof(WatchEventDocument))]
[JsonSerializable(typeof(TransactionDocument))]
[JsonSerializable(typeof(TransactionResultDocument))]
[JsonSerializable(typeof(ProblemDocument))]
internal sealed partial class RestJson : JsonSerializerContext;

/// <summary>The same documents as text in which quotes and letters stay readable: nothing here is put into HTML.</summary>
internal static class ReadableJson
{
    public static RestJson Context { get; } = new(new JsonSerializerOptions(RestJson.Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
