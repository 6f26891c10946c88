using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Demo;

/// <summary>What one node answered, and how long it took.</summary>
internal sealed record PinnedAnswer(Outcome Outcome, Code Code, string Reason, TimeSpan Took)
{
    /// <summary>All live values of the key; none when it is absent.</summary>
    public IReadOnlyList<string> Values { get; init; } = [];

    public ByteString Version { get; init; } = ByteString.Empty;

    public int Acknowledgements { get; init; }

    public Regime Regime { get; init; }

    public bool IsDone => Outcome == Outcome.Done;

    /// <summary>Answered by a side without a majority, to be merged later.</summary>
    public bool IsProvisional => Regime == Regime.Provisional;
}

/// <summary>
/// Talks to one node and no other, as somebody on that side of a broken network has to. The real client would find a way round; here that is not wanted, so this
/// speaks the unary service directly.
/// </summary>
internal sealed class PinnedNode(uint node, Uri endpoint) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly GrpcChannel _channel = GrpcChannel.ForAddress(endpoint);

    public uint Node { get; } = node;

    public Task<PinnedAnswer> PutAsync(string keyspace, string key, string value, ByteString? context, CancellationToken stop)
    {
        var request = new PutRequest { Keyspace = keyspace, Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFromUtf8(value) };
        if (context is not null)
        {
            request.Condition = WriteCondition.InContext;
            request.Version = context;
        }

        return AskAsync(service => service.PutAsync(request, deadline: DateTime.UtcNow + Patience, cancellationToken: stop), stop);
    }

    /// <summary>Only if the key has no value: what needs one order of all writes.</summary>
    public Task<PinnedAnswer> PutIfAbsentAsync(string keyspace, string key, string value, CancellationToken stop)
    {
        var request = new PutRequest { Keyspace = keyspace, Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFromUtf8(value), Condition = WriteCondition.IfAbsent };
        return AskAsync(service => service.PutAsync(request, deadline: DateTime.UtcNow + Patience, cancellationToken: stop), stop);
    }

    public Task<PinnedAnswer> GetAsync(string keyspace, string key, ReadLevel level, CancellationToken stop)
    {
        var request = new GetRequest { Keyspace = keyspace, Key = ByteString.CopyFromUtf8(key), Level = level };
        return AskAsync(service => service.GetAsync(request, deadline: DateTime.UtcNow + Patience, cancellationToken: stop), stop);
    }

    public void Dispose() => _channel.Dispose();

    private async Task<PinnedAnswer> AskAsync(Func<Kv.KvClient, AsyncUnaryCall<Result>> call, CancellationToken stop)
    {
        var begin = TimeProvider.System.GetTimestamp();
        try
        {
            using var asked = call(new Kv.KvClient(_channel));
            var result = await asked.ResponseAsync;
            return new PinnedAnswer(result.Outcome, result.Code, result.Reason, TimeProvider.System.GetElapsedTime(begin))
            {
                Values = Values(result),
                Version = result.Version,
                Acknowledgements = (int)result.Acknowledgements,
                Regime = result.Regime,
            };
        }
        catch (RpcException) when (stop.IsCancellationRequested)
        {
            throw new OperationCanceledException(stop);
        }
        catch (RpcException exception)
        {
            return Refused(exception, TimeProvider.System.GetElapsedTime(begin));
        }
    }

    /// <summary>A refusal says in its trailer whether the operation had an effect; without a trailer nobody knows.</summary>
    private static PinnedAnswer Refused(RpcException exception, TimeSpan took)
    {
        if (exception.Trailers.GetValueBytes("kvstore-refusal-bin") is { } trailer)
        {
            var refusal = Refusal.Parser.ParseFrom(trailer);
            return new PinnedAnswer(refusal.Outcome, refusal.Code, refusal.Reason, took) { Regime = refusal.Regime };
        }

        return new PinnedAnswer(Outcome.Unknown, Code.DeadlineExceeded, exception.Status.Detail, took);
    }

    private static string[] Values(Result result)
    {
        if (result.Siblings.Count > 0)
        {
            return [.. result.Siblings.Select(sibling => Encoding.UTF8.GetString(sibling.Value.Span)).Order(StringComparer.Ordinal)];
        }

        return result.Found ? [Encoding.UTF8.GetString(result.Value.Span)] : [];
    }
}
