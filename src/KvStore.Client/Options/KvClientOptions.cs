using System.Net;

namespace KvStore.Client;

/// <summary>Settings of a client. Validated when the client is made, and by hosts when they start.</summary>
public sealed class KvClientOptions
{
    /// <summary>Where to ask for the cluster first: "http://host:port", at least one. Members are learnt from whoever answers.</summary>
    public IList<string> Endpoints { get; } = [];

    /// <summary>Deadline of an operation that states none, over connecting, queueing and all attempts. More than zero, at most 10 minutes.</summary>
    public TimeSpan DefaultTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How long one attempt may stay unanswered before the operation is sent to another replica, under the same request id. 50 ms to 10 minutes. It bounds what a silently cut connection costs.
    /// </summary>
    public TimeSpan AttemptTimeout { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>How long opening a connection may take. 10 ms to 1 minute.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// What to do when every replica that can be reached refuses for lack of a quorum. False (the default): report it within about two seconds, as definitely not done. True: go on trying until the deadline.
    /// </summary>
    public bool RetryNoQuorumUntilDeadline { get; set; }

    /// <summary>Operations that may be under way to one node; more are refused at once as <see cref="KvCode.Overloaded"/>. 1 to 65,536.</summary>
    public int MaxInFlightPerNode { get; set; } = 8_192;

    /// <summary>Bytes of operations that may be under way to one node; more are refused at once as <see cref="KvCode.Overloaded"/>. 2 MiB to 256 MiB.</summary>
    public int MaxInFlightBytesPerNode { get; set; } = 16 * 1_048_576;

    /// <summary>
    /// Whether a get with level eventual, session or bounded asks a second replica when the first takes longer than nineteen of twenty such reads do; the first answer counts. At most one more request per read, and for at
    /// most a tenth of the reads. Never for writes, scans and linearizable reads.
    /// </summary>
    public bool HedgedReads { get; set; } = true;

    /// <summary>How values become bytes.</summary>
    public IKvSerializer Serializer { get; set; } = new KvSerializer();

    /// <summary>Is told of each connection before it is used. What it throws refuses the connection; and it may close the stream later. For the TestKit, whose clients lie on one side of a broken network.</summary>
    internal Action<DnsEndPoint, Stream>? Dialled { get; set; }
}
