using System.Buffers;
using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// How the replicas of a closing shard become equal. The leader hears from every replica that it can reach, at least a majority, what it has, and pulls until it has all of that: the baseline. The others
/// pull what they lack of it and say so when it is durable; when a majority of the voters holds it, and only then, the leader proposes that the log takes over (C2).
/// </summary>
/// <remarks>
/// A replica that has applied the closing takes no writes, neither of clients nor of peers; it grows by what a leader's baseline asks of it and by nothing else. So who has once said to hold a baseline still
/// holds exactly that when the order comes, restarts included: that it is closing is durable in the view before it reports. Nothing here is remembered across terms: a new leader asks anew.
/// </remarks>
internal sealed class ClosingDialogue(
    ShardDescriptor descriptor,
    ReplicaPlaces places,
    PeerReachability peers,
    ReplicaClock clock,
    RaftNode raft,
    IReplicaStorage storage,
    IPeerTransport transport,
    ViewState view,
    RegimeState regimes,
    RegimeSwitch switcher,
    KvStateMachine stateMachine)
{
    private sealed record Offer(NodeId From, Epoch Epoch, Term Term, ulong Round, Baseline Baseline);

    /// <summary>Questions and offers that are not answered are sent again after so many ticks.</summary>
    private const int AskTicks = 8;

    /// <summary>How long the leader waits for a replica that can be reached and does not report, before a majority is enough.</summary>
    private const long ReportPatienceMs = 10_000;

    /// <summary>How long it waits for one that can be reached and does not hold the baseline yet: who misses it takes a snapshot instead.</summary>
    private const long HoldPatienceMs = 3_000;

    /// <summary>
    /// After so long with a baseline that no majority comes to hold, the leader hands over: perhaps it is its own data that is the odd one out.
    /// </summary>
    private const long StuckMs = 10_000;

    private readonly Dictionary<NodeId, ShardClock> _reports = [];
    private readonly HashSet<NodeId> _holders = [];
    private readonly ArrayBufferWriter<byte> _message = new(256);
    private Term _term;
    private Epoch _epoch;
    private long _leadingSinceMs;
    private Baseline? _baseline;
    private ulong _round;
    private long _roundSinceMs;
    private int _askTicks;
    private Offer? _offer;
    private NodeId _owesReportTo;

    /// <summary>The engine whose data is to become equal; null while there is none.</summary>
    public OpenEngine? Engine { get; set; }

    /// <summary>Who has told the leader what it has.</summary>
    public ImmutableArray<NodeId> Reported => [.. _reports.Keys.Order()];

    /// <summary>Who holds the baseline, as far as the leader knows; itself left out.</summary>
    public ImmutableArray<NodeId> Holders => [.. _holders.Order()];

    private bool IsClosing => regimes.Current.Kind == RegimeKind.Closing && !switcher.IsLate && !switcher.IsSkipping;

    /// <summary>That this replica is closing would survive a power loss, so it can be relied upon.</summary>
    private bool IsBound => storage.DurablePosition.Applied >= regimes.Current.Since;

    /// <summary>Whether this replica's data is what a baseline says; null while not all of it was read since the start.</summary>
    public bool? Stands(Baseline baseline)
    {
        if (Engine is not { IsRecovering: false } engine || !engine.Healing.IsAtRest || !engine.Clock.Equals(baseline.Clock))
        {
            return false;
        }

        return engine.DataSum() is { } data ? baseline.HasEqualSums(data, stateMachine.SumOfRequests()) : null;
    }

    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        BinaryCursor input = new(payload);
        Epoch epoch = new(input.ReadVarInt());
        Term term = new(input.ReadVarInt());
        if (!IsClosing || epoch != regimes.Epoch || term != raft.Term || Engine is null)
        {
            return;
        }

        switch (kind)
        {
            case DottedMessageKind.ReportWanted when IsLeader(from):
                _owesReportTo = from;
                ReportIfAtRest();
                break;
            case DottedMessageKind.CloseReport when raft.State == RaftRole.Leader:
                OnReport(from, input.ReadBool(), ShardClock.Decode(ref input));
                break;
            case DottedMessageKind.BaselineOffered when IsLeader(from):
                _offer = new Offer(from, epoch, term, input.ReadVarInt(), Baseline.Decode(ref input));
                Consider();
                break;
            case DottedMessageKind.BaselineHeld when raft.State == RaftRole.Leader && input.ReadVarInt() == _round && _baseline is not null:
                _holders.Add(from);
                break;
            default:
                break;
        }
    }

    /// <summary>In every turn: what has come and what has become durable may be enough for the next step.</summary>
    public void Step()
    {
        if (!IsClosing || Engine is null || !IsBound)
        {
            return;
        }

        if (raft.State == RaftRole.Leader)
        {
            Lead();
        }
        else
        {
            ReportIfAtRest();
            Consider();
        }
    }

    public void OnTick()
    {
        if (!IsClosing)
        {
            return;
        }

        _askTicks++;
        if (!IsBound && _askTicks % AskTicks == 1)
        {
            view.Seal();
            storage.RequestFlush();
        }

        Step();
    }

    private bool IsLeader(NodeId node) => IsBound && !raft.Leader.IsNone && places.NodeOf(raft.Leader) == node;

    private void Lead()
    {
        if (view.AppliedTerm != raft.Term || switcher.HoldsData || Engine is not { IsRecovering: false } engine)
        {
            return;
        }

        BeginIfNew();
        bool asks = _askTicks >= AskTicks;
        _askTicks = asks ? 0 : _askTicks;
        if (!HaveReported(asks) || !PullMissing(engine) || !engine.IsAtRest || !Settle(engine))
        {
            return;
        }

        bool everybodyHolds = true;
        foreach (NodeId peer in places.Peers)
        {
            if (!_holders.Contains(peer))
            {
                everybodyHolds &= !peers.IsReachable(peer);
                if (asks)
                {
                    SendOffer(peer);
                }
            }
        }

        if (places.IsMajority(places.MaskOf([.. _holders, descriptor.Self.Node])) && (everybodyHolds || clock.NowMs - _roundSinceMs > HoldPatienceMs))
        {
            switcher.TryPropose(new RegimeEntry(RegimeStep.Order, regimes.Epoch, regimes.Current.Target, _baseline));
        }
        else if (clock.NowMs - _roundSinceMs > StuckMs && peers.HasMajority)
        {
            HandOver();
        }
    }

    /// <summary>To the next voter that can be reached, in the order of their ids, so that everybody has a turn.</summary>
    private void HandOver()
    {
        _roundSinceMs = clock.NowMs;
        ImmutableArray<ReplicaId> voters = places.Members.Config.Voters;
        int self = voters.IndexOf(raft.Self);
        for (int i = 1; i < voters.Length; i++)
        {
            ReplicaId next = voters[(self + i) % voters.Length];
            if (peers.IsReachable(places.NodeOf(next)) && raft.TransferLeadership(next))
            {
                return;
            }
        }
    }

    private void BeginIfNew()
    {
        if (_term == raft.Term && _epoch == regimes.Epoch)
        {
            return;
        }

        (_term, _epoch) = (raft.Term, regimes.Epoch);
        _leadingSinceMs = clock.NowMs;
        _reports.Clear();
        _holders.Clear();
        _baseline = null;
        _askTicks = AskTicks;
    }

    /// <summary>Whether enough replicas have told what they have. Asks the others.</summary>
    private bool HaveReported(bool asks)
    {
        bool waits = false;
        foreach (NodeId peer in places.Peers)
        {
            if (_reports.ContainsKey(peer))
            {
                continue;
            }

            waits |= peers.IsReachable(peer);
            if (asks)
            {
                Begin();
                Send(peer, DottedMessageKind.ReportWanted);
            }
        }

        bool isPatient = clock.NowMs - _leadingSinceMs < ReportPatienceMs;
        return !(waits && isPatient) && places.IsMajority(places.MaskOf([.. _reports.Keys, descriptor.Self.Node]));
    }

    /// <summary>Whether all that was reported is here. Pulls from one replica after another.</summary>
    private bool PullMissing(OpenEngine engine)
    {
        foreach (NodeId peer in places.Peers)
        {
            if (!_reports.TryGetValue(peer, out ShardClock? reported) || engine.Clock.Includes(reported))
            {
                continue;
            }

            if (!peers.IsReachable(peer))
            {
                // It went away with what it had: a late replica, unless a majority needs it.
                _reports.Remove(peer);
                return false;
            }

            engine.Healing.PullForBaseline(peer);
            return false;
        }

        return true;
    }

    /// <summary>Makes what is here the baseline, if it isn't already. False: not possible yet.</summary>
    private bool Settle(OpenEngine engine)
    {
        if (_baseline is not null && _baseline.Clock.Equals(engine.Clock))
        {
            return true;
        }

        if (engine.DataSum() is not { } data)
        {
            return false;
        }

        _baseline = new Baseline(engine.Clock.Clone(), data, stateMachine.SumOfRequests(), engine.ContextsBeyondBase());
        _round++;
        _roundSinceMs = clock.NowMs;
        _holders.Clear();
        foreach (NodeId peer in places.Peers)
        {
            SendOffer(peer);
        }

        return true;
    }

    private void OnReport(NodeId from, bool isRecovering, ShardClock reported)
    {
        if (places.PeerIndexOf(from) < 0 || _term != raft.Term || _epoch != regimes.Epoch)
        {
            return;
        }

        if (isRecovering)
        {
            _reports.Remove(from);
        }
        else
        {
            _reports[from] = reported;
        }
    }

    private void ReportIfAtRest()
    {
        if (_owesReportTo.IsNone || Engine is not { } engine || !(engine.IsAtRest || engine.IsRecovering) || !IsLeader(_owesReportTo))
        {
            return;
        }

        Begin();
        VarInt.WriteByte(_message, engine.IsRecovering ? (byte)1 : (byte)0);
        engine.Clock.Encode(_message);
        Send(_owesReportTo, DottedMessageKind.CloseReport);
        _owesReportTo = default;
    }

    /// <summary>What stands between this replica and the baseline that it was offered.</summary>
    private void Consider()
    {
        if (_offer is not { } offer || Engine is not { IsRecovering: false } engine)
        {
            return;
        }

        if (offer.Epoch != regimes.Epoch || offer.Term != raft.Term || !IsLeader(offer.From))
        {
            _offer = null;
            return;
        }

        if (!offer.Baseline.Clock.Includes(engine.Clock))
        {
            // The leader does not know all of this replica: it will offer another one.
            _offer = null;
            _owesReportTo = offer.From;
            ReportIfAtRest();
        }
        else if (!engine.Clock.Includes(offer.Baseline.Clock))
        {
            engine.Healing.PullForBaseline(offer.From);
        }
        else if (engine.IsAtRest && engine.DataSum() is not null)
        {
            _offer = null;
            if (Stands(offer.Baseline) == true)
            {
                Begin();
                VarInt.Write(_message, offer.Round);
                Send(offer.From, DottedMessageKind.BaselineHeld);
            }
        }
    }

    private void SendOffer(NodeId peer)
    {
        Begin();
        VarInt.Write(_message, _round);
        _baseline!.Encode(_message);
        Send(peer, DottedMessageKind.BaselineOffered);
    }

    private void Begin()
    {
        _message.ResetWrittenCount();
        VarInt.Write(_message, regimes.Epoch.Value);
        VarInt.Write(_message, raft.Term.Value);
    }

    private void Send(NodeId to, DottedMessageKind kind) => transport.Send(descriptor.Shard, to, kind, _message.WrittenSpan);
}
