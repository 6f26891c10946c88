using Google.Protobuf;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using KvStore.TestKit.Histories;

namespace KvStore.Cluster.Tests.Load;

/// <summary>What a client was told. <see cref="Code"/> is empty when the operation was done.</summary>
/// <param name="WasRetried">An earlier attempt of the write was sent and not answered.</param>
internal readonly record struct StoreAnswer(RecordedOutcome Outcome, IReadOnlyList<string> Values, ReadOnlyMemory<byte> Version, string Code, bool WasRetried = false);

/// <summary>One way to a keyspace. Failures are answers.</summary>
internal abstract class Store(string name)
{
    public string Name { get; } = name;

    public abstract Task<StoreAnswer> GetAsync(string key);

    public abstract Task<StoreAnswer> PutAsync(string key, string value);

    /// <summary>Ordered keyspaces: only if the version is this one; empty: only if there is no value.</summary>
    public abstract Task<StoreAnswer> TryPutAsync(string key, string value, ReadOnlyMemory<byte> ifVersion);

    /// <summary>Open keyspaces: in the place of what this version saw.</summary>
    public abstract Task<StoreAnswer> PutInContextAsync(string key, string value, ReadOnlyMemory<byte> context);

    public abstract Task<StoreAnswer> DeleteAsync(string key);
}

/// <summary>The application's client, which finds its way and retries.</summary>
internal sealed class ClientStore(string name, IKvKeyspace keyspace) : Store(name)
{
    public override Task<StoreAnswer> GetAsync(string key) => AskAsync(async () =>
    {
        KvEntry<string>? entry = await keyspace.GetAsync<string>(key);
        IReadOnlyList<string> values = entry switch
        {
            null => [],
            { Siblings.Count: > 0 } => [.. entry.Siblings.Select(sibling => sibling.Value)],
            _ => [entry.Value],
        };
        return new StoreAnswer(RecordedOutcome.Done, values, entry?.Version.Bytes ?? default, "");
    });

    public override Task<StoreAnswer> PutAsync(string key, string value) => AskAsync(async () => Told(await keyspace.PutAsync(key, value)));

    public override Task<StoreAnswer> TryPutAsync(string key, string value, ReadOnlyMemory<byte> ifVersion) =>
        AskAsync(async () => Told(await keyspace.TryPutAsync(key, value, new KvVersion(ifVersion))));

    public override Task<StoreAnswer> PutInContextAsync(string key, string value, ReadOnlyMemory<byte> context) =>
        AskAsync(async () => Told(await keyspace.PutInContextAsync(key, value, new KvVersion(context))));

    public override Task<StoreAnswer> DeleteAsync(string key) => AskAsync(async () => Told(await keyspace.DeleteAsync(key)));

    private static StoreAnswer Told(KvWriteResult result) => new(
        result switch
        {
            { Outcome: KvOutcome.Done } => RecordedOutcome.Done,
            { Outcome: KvOutcome.NotDone, Code: KvCode.ConditionFailed } => RecordedOutcome.Mismatched,
            { Outcome: KvOutcome.NotDone } => RecordedOutcome.NotDone,
            _ => RecordedOutcome.Unknown,
        },
        [],
        result.Version.Bytes,
        result.IsDone ? "" : result.Code.ToString(),
        result.EarlierAttemptUnanswered);

    private static async Task<StoreAnswer> AskAsync(Func<Task<StoreAnswer>> ask)
    {
        try
        {
            return await ask();
        }
        catch (KvException refused)
        {
            return new StoreAnswer(refused.OutcomeUnknown ? RecordedOutcome.Unknown : RecordedOutcome.NotDone, [], default, refused.Code.ToString());
        }
    }
}

/// <summary>One node and no other, asked once: what somebody on its side of a broken network gets.</summary>
internal sealed class NodeStore(KvNodeClient node, string keyspace) : Store($"n{node.Node}")
{
    public override async Task<StoreAnswer> GetAsync(string key) => Told(await node.GetAsync(keyspace, key));

    public override async Task<StoreAnswer> PutAsync(string key, string value) => Told(await node.PutAsync(keyspace, key, value));

    public override async Task<StoreAnswer> TryPutAsync(string key, string value, ReadOnlyMemory<byte> ifVersion) =>
        Told(await node.TryPutAsync(keyspace, key, value, ByteString.CopyFrom(ifVersion.Span)));

    public override async Task<StoreAnswer> PutInContextAsync(string key, string value, ReadOnlyMemory<byte> context) =>
        Told(await node.PutAsync(keyspace, key, value, ByteString.CopyFrom(context.Span)));

    public override async Task<StoreAnswer> DeleteAsync(string key) => Told(await node.DeleteAsync(keyspace, key));

    private static StoreAnswer Told(KvNodeAnswer answer) => new(
        answer switch
        {
            { Outcome: Outcome.Done } => RecordedOutcome.Done,
            { Outcome: Outcome.NotDone, Code: Code.ConditionFailed } => RecordedOutcome.Mismatched,
            { Outcome: Outcome.NotDone } => RecordedOutcome.NotDone,
            _ => RecordedOutcome.Unknown,
        },
        answer.Values,
        answer.Version.Memory,
        answer.IsDone ? "" : answer.Code.ToString());
}
