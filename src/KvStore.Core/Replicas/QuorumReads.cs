using System.Buffers;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Reads that join what a majority of an open shard's replicas holds. Only as many peers are asked as make a majority with this replica, the fastest that can be reached; the others when one of them is late, can't be reached any
/// more, or has no answer that counts. Any majority will do: it has a replica in common with the one that took a write.
/// </summary>
internal sealed class QuorumReads(
    ShardDescriptor descriptor,
    ReplicaPlaces places,
    ReplicaOptions options,
    ReplicaClock clock,
    DottedReplica dotted,
    DottedJournal journal,
    IPeerTransport transport,
    PeerReachability peers,
    CompletionSink completions,
    OpenHealing healing)
{
    /// <summary>One read in so many asks everybody: whoever was slow once would never be asked again, and so never be found to be fast.</summary>
    private const ulong ExploreEvery = 32;

    private readonly Dictionary<ulong, QuorumRead> _reads = [];
    private readonly AnswerTimes _times = new(places, peers, clock, healing.IsWhole);
    private readonly ArrayBufferWriter<byte> _message = new(256);

    /// <summary>Counts from a random place that is new at each start, so that an answer to a read of an earlier life is nobody's. It would bring the data of another key.</summary>
    private ulong _lastOperation = dotted.Self.Value;

    public delegate void Completed(in ClientOperation operation, DottedObject joined, int answers, bool degraded);

    /// <summary>Answers the caller.</summary>
    public required Completed OnCompleted { get; init; }

    public int Count => _reads.Count;

    /// <param name="operation">Of a client.</param>
    /// <param name="own">What this replica holds, filled.</param>
    /// <param name="counts">Whether that is an answer: this replica lacks nothing and knows the key.</param>
    public void Gather(in ClientOperation operation, DottedObject own, bool counts)
    {
        ulong number = ++_lastOperation;
        var read = new QuorumRead(operation, own, clock.NowMs);
        if (counts)
        {
            read.Whole.Add(descriptor.Self.Node);
        }

        _reads.Add(number, read);
        Choose(number, read);
        Ask(number, read, read.Asked);
        FinishIfMajority(number, read);
    }

    public void OnResponse(NodeId from, ReadResponse response, bool counts)
    {
        _times.OnAnswer(from, response.Operation);
        if (!_reads.TryGetValue(response.Operation, out QuorumRead? read) || !read.Answered.Add(from))
        {
            return;
        }

        DottedObject before = read.Joined;
        read.Joined = DottedObject.Sync(before, response.Object);
        if (counts && journal.Memory is null && !before.Values.SequenceEqual(read.Joined.Values))
        {
            healing.PullFrom(from);
        }

        if (counts)
        {
            read.Whole.Add(from);
        }
        else
        {
            AskTheOthers(response.Operation, read);
        }

        FinishIfMajority(response.Operation, read);
    }

    public void OnTick()
    {
        foreach ((ulong number, QuorumRead read) in _reads)
        {
            if (read.Operation.DeadlineMs <= clock.NowMs)
            {
                completions.Unknown(read.Operation.Handle, RefusalCode.DeadlineExceeded, "Too few replicas answered the quorum read in time.");
                _reads.Remove(number);
            }
            else if (!read.IsLate && clock.NowMs - read.AskedMs >= read.PatienceMs)
            {
                OnLate(number, read);
            }
        }
    }

    public void OnReachabilityChanged()
    {
        foreach ((ulong number, QuorumRead read) in _reads)
        {
            if (!read.Asked.TrueForAll(peer => read.Answered.Contains(peer) || peers.IsReachable(peer)))
            {
                AskTheOthers(number, read);
            }

            FinishIfMajority(number, read);
        }
    }

    public void FailAll(RefusalCode code, string reason)
    {
        foreach (QuorumRead read in _reads.Values)
        {
            completions.Refuse(read.Operation, code, reason);
        }

        _reads.Clear();
    }

    private void Choose(ulong number, QuorumRead read)
    {
        ulong mask = places.MaskOf(read.Whole);
        double slowestMs = 0;
        foreach (NodeId peer in _times.InOrder(number))
        {
            if (number % ExploreEvery == 0 || (!places.IsMajority(mask) && places.Votes(places.PeerIndexOf(peer))))
            {
                mask |= ReplicaPlaces.BitOf(places.PeerIndexOf(peer));
                read.Asked.Add(peer);
                slowestMs = Math.Max(slowestMs, _times.SmoothedMs(peer));
            }
        }

        read.PatienceMs = options.TickMs + (long)(2 * slowestMs);
        if (!places.IsMajority(mask) || !read.Asked.TrueForAll(peers.IsReachable))
        {
            // Whoever can be reached at all is needed.
            read.Asked.Clear();
            read.Asked.AddRange(places.Peers);
        }
    }

    /// <summary>Those that were not asked yet.</summary>
    private void AskTheOthers(ulong number, QuorumRead read)
    {
        List<NodeId> others = [.. places.Peers.Where(peer => !read.Asked.Contains(peer))];
        read.Asked.AddRange(others);
        Ask(number, read, others);
    }

    /// <summary>Everybody who has not answered is asked, again where it was asked before: the question may have been lost.</summary>
    private void OnLate(ulong number, QuorumRead read)
    {
        read.IsLate = true;
        foreach (NodeId peer in read.Asked)
        {
            if (!read.Answered.Contains(peer))
            {
                _times.OnLate(peer, clock.NowMs - read.AskedMs);
            }
        }

        read.Asked.AddRange(places.Peers.Where(peer => !read.Asked.Contains(peer)));
        Ask(number, read, [.. read.Asked.Where(peer => !read.Answered.Contains(peer))]);
    }

    private void Ask(ulong number, QuorumRead read, List<NodeId> asked)
    {
        _message.ResetWrittenCount();
        new ReadRequest(number, new Key(read.Operation.Key)).Encode(_message);
        foreach (NodeId peer in asked)
        {
            _times.OnAsked(peer, number);
            transport.Send(descriptor.Shard, peer, DottedMessageKind.ReadRequest, _message.WrittenSpan);
        }
    }

    private void FinishIfMajority(ulong number, QuorumRead read)
    {
        if (places.IsMajority(places.MaskOf(read.Whole)))
        {
            _reads.Remove(number);
            OnCompleted(read.Operation, read.Joined, read.Whole.Count, degraded: false);
        }
        else if (journal.Memory is not null && places.Peers.All(peer => read.Answered.Contains(peer) || !peers.IsReachable(peer)))
        {
            // Too few hold the key, and nobody else is left to ask: it never was, or it was evicted.
            _reads.Remove(number);
            OnCompleted(read.Operation, read.Joined, Math.Max(1, read.Whole.Count), degraded: true);
        }
    }

    private sealed class QuorumRead(ClientOperation operation, DottedObject joined, long askedMs)
    {
        public ClientOperation Operation { get; } = operation;

        public long AskedMs { get; } = askedMs;

        public DottedObject Joined { get; set; } = joined;

        /// <summary>After so long without a majority, everybody is asked.</summary>
        public long PatienceMs { get; set; }

        public bool IsLate { get; set; }

        public List<NodeId> Asked { get; } = [];

        public HashSet<NodeId> Answered { get; } = [];

        /// <summary>Who has given an answer that counts, this node included.</summary>
        public List<NodeId> Whole { get; } = [];
    }
}
