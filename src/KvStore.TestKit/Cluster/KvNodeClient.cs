using System.Net.Sockets;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit.Histories;

namespace KvStore.TestKit;

/// <summary>What one node answered.</summary>
public sealed record KvNodeAnswer
{
    /// <summary>Done, not done, or unknown.</summary>
    public required Outcome Outcome { get; init; }

    /// <summary>Why not, or unspecified.</summary>
    public Code Code { get; init; }

    /// <summary>What the node says about a refusal.</summary>
    public string Reason { get; init; } = "";

    /// <summary>The nodes with replicas that this one can't reach, where it refuses for want of a quorum.</summary>
    public IReadOnlyList<MissingReplica> Missing { get; init; } = [];

    /// <summary>All live values of the key as text, in order; none when it is absent.</summary>
    public IReadOnlyList<string> Values { get; init; } = [];

    /// <summary>The winner among the values, or null.</summary>
    public string? Value { get; init; }

    /// <summary>To pass back in a condition or context.</summary>
    public ByteString Version { get; init; } = ByteString.Empty;

    /// <summary>How the shard served.</summary>
    public Regime Regime { get; init; }

    /// <summary>How many replicas held it.</summary>
    public int Acknowledgements { get; init; }

    /// <summary>Fewer than the mode asks for were reachable.</summary>
    public bool Degraded { get; init; }

    /// <summary>The age of the answer, as the node estimates it.</summary>
    public TimeSpan Staleness { get; init; }

    /// <summary>How long the answer took.</summary>
    public TimeSpan Took { get; init; }

    /// <summary>Outcome is done.</summary>
    public bool IsDone => Outcome == Outcome.Done;
}

/// <summary>A session that goes with its caller from node to node: what it has seen so far.</summary>
public sealed class KvNodeSession
{
    /// <summary>The token; empty: nothing was seen yet.</summary>
    public ByteString Token { get; set; } = ByteString.Empty;
}

/// <summary>
/// Asks one node and no other, once, without retries: what somebody on that node's side of a broken network gets. Refusals are answers, not exceptions.
/// </summary>
public sealed class KvNodeClient : IDisposable
{
    private readonly GrpcChannel _channel;
    private readonly Kv.KvClient _kv;

    internal KvNodeClient(uint node, string endpoint)
    {
        Node = node;
        _channel = GrpcChannel.ForAddress(endpoint, new GrpcChannelOptions
        {
            // Nodes of tests come back soon: the usual pause of a second and more would outlast them.
            InitialReconnectBackoff = TimeSpan.FromMilliseconds(50),
            MaxReconnectBackoff = TimeSpan.FromMilliseconds(200),
            HttpHandler = new SocketsHttpHandler { UseProxy = false, ConnectTimeout = TimeSpan.FromSeconds(2), EnableMultipleHttp2Connections = true },
        });
        _kv = new Kv.KvClient(_channel);
    }

    /// <summary>The node's id.</summary>
    public uint Node { get; }

    /// <summary>The longest that a call may take.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Reads a key at the given level.</summary>
    public Task<KvNodeAnswer> GetAsync(string keyspace, string key, ReadLevel level = ReadLevel.Unspecified, CancellationToken cancellationToken = default) =>
        AskAsync(options => _kv.GetAsync(new GetRequest { Keyspace = keyspace, Key = ByteString.CopyFromUtf8(key), Level = level }, options), cancellationToken);

    /// <summary>Reads a key in a session: what it has seen so far is there, or the read is refused.</summary>
    public Task<KvNodeAnswer> GetInSessionAsync(string keyspace, string key, KvNodeSession session, CancellationToken cancellationToken = default) =>
        AskAsync(
            options => _kv.GetAsync(new GetRequest { Keyspace = keyspace, Key = ByteString.CopyFromUtf8(key), Level = ReadLevel.Session, Session = session.Token }, options), cancellationToken, session);

    /// <summary>Writes a key in a session, behind what it has seen so far.</summary>
    public Task<KvNodeAnswer> PutInSessionAsync(string keyspace, string key, string value, KvNodeSession session, CancellationToken cancellationToken = default) =>
        AskAsync(
            options => _kv.PutAsync(
                new PutRequest { Keyspace = keyspace, Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFromUtf8(value), Session = session.Token }, options),
            cancellationToken,
            session);

    /// <summary>Reads a key that misses nothing which was acknowledged longer ago than stated.</summary>
    public Task<KvNodeAnswer> GetBoundedAsync(string keyspace, string key, TimeSpan maxStaleness, CancellationToken cancellationToken = default) =>
        AskAsync(
            options => _kv.GetAsync(
                new GetRequest { Keyspace = keyspace, Key = ByteString.CopyFromUtf8(key), Level = ReadLevel.Bounded, MaxStalenessMs = (uint)maxStaleness.TotalMilliseconds }, options),
            cancellationToken);

    /// <summary>Writes a key; <paramref name="context"/> makes it a write in context (ap).</summary>
    public Task<KvNodeAnswer> PutAsync(string keyspace, string key, string value, ByteString? context = null, CancellationToken cancellationToken = default)
    {
        var request = new PutRequest { Keyspace = keyspace, Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFromUtf8(value) };
        if (context is not null)
        {
            request.Condition = WriteCondition.InContext;
            request.Version = context;
        }

        return AskAsync(options => _kv.PutAsync(request, options), cancellationToken);
    }

    /// <summary>Writes a key only if its version is exactly this one, or with an empty one only if it has no value (cp).</summary>
    public Task<KvNodeAnswer> TryPutAsync(string keyspace, string key, string value, ByteString ifVersion, CancellationToken cancellationToken = default)
    {
        var request = new PutRequest
        {
            Keyspace = keyspace,
            Key = ByteString.CopyFromUtf8(key),
            Value = ByteString.CopyFromUtf8(value),
            Condition = ifVersion.IsEmpty ? WriteCondition.IfAbsent : WriteCondition.IfVersion,
            Version = ifVersion,
        };
        return AskAsync(options => _kv.PutAsync(request, options), cancellationToken);
    }

    /// <summary>Deletes a key.</summary>
    public Task<KvNodeAnswer> DeleteAsync(string keyspace, string key, CancellationToken cancellationToken = default) =>
        AskAsync(options => _kv.DeleteAsync(new DeleteRequest { Keyspace = keyspace, Key = ByteString.CopyFromUtf8(key) }, options), cancellationToken);

    /// <summary>Adds to a counter.</summary>
    public Task<KvNodeAnswer> IncrementAsync(string keyspace, string key, long by, CancellationToken cancellationToken = default) =>
        AskAsync(options => _kv.IncrementAsync(new IncrementRequest { Keyspace = keyspace, Key = ByteString.CopyFromUtf8(key), Delta = by }, options), cancellationToken);

    /// <summary>Everything this node's own replicas hold, as they stand.</summary>
    public async Task<ReplicaDump> DumpAsync(string keyspace, CancellationToken cancellationToken = default)
    {
        const uint PageRecords = 1_000;
        var dump = new ReplicaDump($"node {Node}");
        ByteString after = ByteString.Empty;
        for (bool more = true; more;)
        {
            ScanPage page = await _kv.ScanAsync(
                new ScanRequest { Keyspace = keyspace, After = after, Limit = PageRecords, Level = ReadLevel.Eventual }, OptionsFor(cancellationToken));
            foreach (ScanItem item in page.Items)
            {
                string key = item.Key.ToStringUtf8();
                IReadOnlyList<string> values = item.SiblingCount > 1
                    ? (await GetAsync(keyspace, key, ReadLevel.Eventual, cancellationToken)).Values
                    : [item.Value.ToStringUtf8()];
                foreach (string value in values)
                {
                    dump.Add(key, value);
                }
            }

            more = page.More && page.Items.Count > 0;
            after = page.Items.Count > 0 ? page.Items[^1].Key : after;
        }

        return dump;
    }

    /// <summary>Closes the connection.</summary>
    public void Dispose() => _channel.Dispose();

    private static KvNodeAnswer ToAnswer(Result result, TimeSpan took) => new()
    {
        Outcome = result.Outcome,
        Code = result.Code,
        Reason = result.Reason,
        Values = result.Siblings.Count > 0
            ? [.. result.Siblings.Select(sibling => Encoding.UTF8.GetString(sibling.Value.Span)).Order(StringComparer.Ordinal)]
            : result.Found ? [result.Value.ToStringUtf8()] : [],
        Value = result.Found ? result.Value.ToStringUtf8() : null,
        Version = result.Version,
        Regime = result.Regime,
        Acknowledgements = (int)result.Acknowledgements,
        Degraded = result.Degraded,
        Staleness = TimeSpan.FromMilliseconds(result.StalenessMs),
        Took = took,
    };

    private CallOptions OptionsFor(CancellationToken cancellation) => new(deadline: DateTime.UtcNow + Timeout, cancellationToken: cancellation);

    private async Task<KvNodeAnswer> AskAsync(Func<CallOptions, AsyncUnaryCall<Result>> call, CancellationToken cancellation, KvNodeSession? session = null)
    {
        long begin = TimeProvider.System.GetTimestamp();
        try
        {
            using AsyncUnaryCall<Result> asked = call(OptionsFor(cancellation));
            Result result = await asked.ResponseAsync;
            session?.Token = result.Session;
            return ToAnswer(result, TimeProvider.System.GetElapsedTime(begin));
        }
        catch (RpcException refused) when (!cancellation.IsCancellationRequested)
        {
            TimeSpan took = TimeProvider.System.GetElapsedTime(begin);
            if (refused.Trailers.GetValueBytes("kvstore-refusal-bin") is { } trailer)
            {
                Refusal refusal = Refusal.Parser.ParseFrom(trailer);
                return new KvNodeAnswer { Outcome = refusal.Outcome, Code = refusal.Code, Reason = refusal.Reason, Missing = refusal.Missing, Regime = refusal.Regime, Took = took };
            }

            if (refused.Status.DebugException is SocketException or HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError })
            {
                return new KvNodeAnswer { Outcome = Outcome.NotDone, Code = Code.ShuttingDown, Reason = "No connection, so nothing was sent.", Took = took };
            }

            // Without a trailer nobody knows whether the node got it.
            return new KvNodeAnswer { Outcome = Outcome.Unknown, Code = Code.DeadlineExceeded, Reason = refused.Status.Detail, Took = took };
        }
    }
}
