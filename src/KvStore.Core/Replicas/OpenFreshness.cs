using System.Buffers;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// How old the data of an open replica may be, measured: for each peer, as of when all that it had is here as well. Two measures are kept apart.
/// <para>
/// Confirmed: this replica asked at a moment of its own clock, and the answer, which was made later, is covered. It trusts no clock of another node and no time in flight; bounded reads rely on it, and
/// ask when it is too old.
/// </para>
/// <para>Heard: the peer told its durable clock unasked, and the moment of arrival counts. It is a little too young by the time in flight, costs nothing, and goes into answers as the estimated age.</para>
/// </summary>
internal sealed class OpenFreshness(
    ShardDescriptor descriptor, ReplicaPlaces places, ReplicaOptions options, ReplicaClock clock, DottedReplica dotted, IPeerTransport transport, PeerReachability reachability, CompletionSink completions)
{
    /// <summary>A question that may have been lost is asked again after so long, while somebody waits.</summary>
    private const int AskAgainMs = 200;

    /// <summary>Questions whose answers still count.</summary>
    private const int MaxRounds = 16;

    private const int MaxWaiting = 4_096;

    private readonly Dictionary<NodeId, Peer> _peers = [];
    private readonly Queue<(ulong Number, long AskedMs)> _rounds = new();
    private readonly List<Waiting> _waiting = [];
    private readonly ArrayBufferWriter<byte> _message = new(64);
    private ulong _lastNumber = dotted.Self.Value;
    private long _lastAskedMs = long.MinValue;
    private ulong _lookedAt = ulong.MaxValue;

    public int WaitingCount => _waiting.Count;

    /// <summary>The estimated age of what is here.</summary>
    public uint EstimateMs => AgeOf(static peer => Math.Max(peer.Heard.AtMs, peer.Confirmed.AtMs));

    /// <summary>The age that is certain not to be exceeded; the largest number if some peer was never covered.</summary>
    public uint ConfirmedMs => dotted.IsRecovering ? uint.MaxValue : AgeOf(static peer => peer.Confirmed.AtMs);

    public void OnMembersChanged()
    {
        foreach (NodeId gone in _peers.Keys.Except(places.Peers).ToArray())
        {
            _peers.Remove(gone);
        }

        foreach (NodeId node in places.Peers)
        {
            _peers.TryAdd(node, new Peer(clock.NowMs));
        }
    }

    /// <summary>A peer has told its durable clock.</summary>
    public void OnAdvertised(NodeId from, ClockAdvertised advertised)
    {
        if (_peers.TryGetValue(from, out Peer? peer))
        {
            peer.Heard.Told(clock.NowMs, advertised.Clock, dotted.Clock);
        }
    }

    /// <summary>A peer wants to know what is here.</summary>
    public void Answer(NodeId from, ClockAsked asked)
    {
        _message.ResetWrittenCount();
        new ClockTold(asked.Number, dotted.IsRecovering, dotted.Clock).Encode(_message);
        transport.Send(descriptor.Shard, from, DottedMessageKind.ClockTold, _message.WrittenSpan);
    }

    /// <summary>A peer has answered.</summary>
    /// <returns>True if it has something that is missing here and can be pulled.</returns>
    public bool OnTold(NodeId from, ClockTold told)
    {
        foreach ((ulong number, long askedMs) in _rounds)
        {
            if (number == told.Number && _peers.TryGetValue(from, out Peer? peer))
            {
                peer.Confirmed.Told(askedMs, told.Clock, dotted.Clock);
                _lookedAt = ulong.MaxValue;
            }
        }

        return !told.Recovering && !dotted.Clock.Includes(told.Clock);
    }

    /// <summary>The read waits until the peers have shown that nothing older than it allows is missing here; refused at once where one of them can't be asked.</summary>
    public void Await(in ClientOperation operation, Action<ClientOperation> serve)
    {
        if (dotted.IsRecovering || _waiting.Count >= MaxWaiting || !CanBeReached(clock.NowMs - operation.MaxStalenessMs))
        {
            Refuse(operation);
            return;
        }

        _waiting.Add(new Waiting(operation, clock.NowMs - operation.MaxStalenessMs, Math.Min(operation.DeadlineMs, clock.NowMs + options.FreshnessWaitMs), serve));
        Ask();
    }

    /// <summary>Once per turn: reads whose proof has come go on.</summary>
    public void OnTurn()
    {
        if (_waiting.Count == 0 || _lookedAt == dotted.Number)
        {
            return;
        }

        _lookedAt = dotted.Number;
        Look();
        long asOfMs = Oldest(static peer => peer.Confirmed.AtMs);
        Waiting[] ready = [.. _waiting.Where(waiting => waiting.AsOfMs <= asOfMs)];
        _waiting.RemoveAll(waiting => waiting.AsOfMs <= asOfMs);
        foreach (Waiting waiting in ready)
        {
            waiting.Serve(waiting.Operation);
        }
    }

    public void OnTick()
    {
        foreach (Waiting waiting in _waiting)
        {
            if (waiting.UntilMs <= clock.NowMs)
            {
                Refuse(waiting.Operation);
            }
        }

        _waiting.RemoveAll(waiting => waiting.UntilMs <= clock.NowMs);
        if (_waiting.Count > 0 && clock.NowMs - _lastAskedMs >= AskAgainMs)
        {
            Ask();
        }
    }

    public void FailAll(RefusalCode code, string reason)
    {
        foreach (Waiting waiting in _waiting)
        {
            completions.Refuse(waiting.Operation, code, reason);
        }

        _waiting.Clear();
    }

    /// <summary>One question serves all reads of an instant.</summary>
    private void Ask()
    {
        if (_lastAskedMs == clock.NowMs)
        {
            return;
        }

        _lastAskedMs = clock.NowMs;
        if (_rounds.Count == MaxRounds)
        {
            _rounds.Dequeue();
        }

        _rounds.Enqueue((++_lastNumber, clock.NowMs));
        _message.ResetWrittenCount();
        new ClockAsked(_lastNumber).Encode(_message);
        foreach (NodeId peer in places.Peers)
        {
            transport.Send(descriptor.Shard, peer, DottedMessageKind.ClockAsked, _message.WrittenSpan);
        }
    }

    private bool CanBeReached(long asOfMs)
    {
        foreach ((NodeId node, Peer peer) in _peers)
        {
            if (peer.Confirmed.AtMs < asOfMs && !reachability.IsReachable(node))
            {
                return false;
            }
        }

        return true;
    }

    private void Refuse(in ClientOperation operation)
    {
        uint known = ConfirmedMs;
        string age = dotted.IsRecovering ? "is still being copied" : known == uint.MaxValue ? "has not been compared with every other replica yet" : $"is known to be at most {known} ms old";
        completions.Refuse(
            operation,
            RefusalCode.TooStale,
            $"What {descriptor.Self.Node} has {age}, and the read allows {operation.MaxStalenessMs} ms; missing: {reachability.DescribeMissing(clock.NowMs)}. "
                + "Ask another replica, allow more, or read with level eventual if an older answer will do.");
    }

    private void Look()
    {
        foreach (Peer peer in _peers.Values)
        {
            peer.Heard.Look(dotted.Clock);
            peer.Confirmed.Look(dotted.Clock);
        }
    }

    private uint AgeOf(Func<Peer, long> asOf)
    {
        Look();
        long oldest = Oldest(asOf);
        return oldest == long.MinValue ? uint.MaxValue : oldest == long.MaxValue ? 0 : (uint)Math.Clamp(clock.NowMs - oldest, 0, uint.MaxValue);
    }

    private long Oldest(Func<Peer, long> asOf)
    {
        long oldest = long.MaxValue;
        foreach (Peer peer in _peers.Values)
        {
            oldest = Math.Min(oldest, asOf(peer));
        }

        return oldest;
    }

    private sealed class Peer(long nowMs)
    {
        public CoveredAsOf Heard { get; } = new(nowMs);

        public CoveredAsOf Confirmed { get; } = new(long.MinValue);
    }

    private readonly record struct Waiting(ClientOperation Operation, long AsOfMs, long UntilMs, Action<ClientOperation> Serve);
}
