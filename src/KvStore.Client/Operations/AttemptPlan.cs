using KvStore.Client.Connections;
using KvStore.Client.Routing;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Client.Operations;

/// <summary>
/// Decides what becomes of an operation: to which node it goes, what a refusal, a hint or a lost stream means, when to pause, when to stop. Pure: time is an argument, randomness is handed in, and it does
/// nothing but write down in the operation what it has decided. The <see cref="Dispatcher"/> carries it out.
/// <para>
/// A write that was sent and not answered is unresolved: only "done" or "the condition did not hold" under the same request id resolves it; any other end is unknown.
/// </para>
/// </summary>
internal sealed class AttemptPlan(IRoutableNodes nodes, SeedFindings seeds, int attemptTimeoutMs, Random random)
{
    private const int MinBackoffMs = 5;
    private const int MaxBackoffMs = 100;
    private const int KeyspaceGraceMs = 1_000;
    private const int QuorumSearchMs = 2_000;

    /// <summary>After provisional-after a replica has to notice that it is over, and two of them do so one after another.</summary>
    private const int ProvisionalGraceMs = 1_000;
    private const int TopologyPollMs = 100;

    private const string NobodyKnows = "the deadline passed, and no node that could be asked has read since its start which keyspaces there are";

    /// <summary>The next attempt, or the reason why there is none now. On "send" the operation is ready to be encoded.</summary>
    /// <param name="operation">Within its deadline.</param>
    /// <param name="map">Null: no topology was heard yet.</param>
    /// <param name="session">The session of the client's writes. One of an earlier session keeps the floor that it began with.</param>
    /// <param name="floor">The acknowledged floor of the client's writes.</param>
    /// <param name="nowMs">The client's clock.</param>
    public NextStep Next(KvOperation operation, ClusterMap? map, ulong session, ulong floor, long nowMs)
    {
        if (nowMs >= operation.GiveUpMs)
        {
            return NextStep.Report(NoMajority(operation), operation.LastReason);
        }

        if (Resolve(operation, map, nowMs) is { } unresolved)
        {
            return unresolved;
        }

        if (NodeSelector.Choose(nodes, operation.Shard!, operation.Route, operation.Tried, nowMs, random) is not { } target)
        {
            return EndRound(operation, nowMs);
        }

        operation.Attempts++;
        operation.LastNode = target.Node;
        if (operation.Wire.Session == session)
        {
            operation.Wire.AcknowledgedFloor = operation.IsWrite ? floor : 0;
        }

        operation.Wire.TimeoutMs = (uint)Math.Max(1, operation.DeadlineMs - nowMs);
        operation.AttemptEndsMs = Math.Min(operation.DeadlineMs, nowMs + attemptTimeoutMs);
        return NextStep.Send(target);
    }

    /// <summary>The node of the last "send" could not take it: choose another.</summary>
    public static void OnUnavailable(KvOperation operation, uint node)
    {
        operation.Attempts--;
        operation.Phase = KvPhase.Connecting;
        operation.Tried.Add(node);
    }

    /// <summary>The bounds of this client are reached: the operation was not sent.</summary>
    public static NextStep OnFull(KvOperation operation)
    {
        operation.Attempts--;
        return NextStep.Report(KvCode.Overloaded, null);
    }

    public NextStep OnAnswer(KvOperation operation, in WireResult answer, uint from, long nowMs)
    {
        operation.Phase = KvPhase.Server;
        operation.LastNode = answer.Node != 0 ? answer.Node : from;
        operation.Shard?.Learn(answer.Epoch, answer.Regime);
        if (answer.Outcome == Outcome.Done)
        {
            // A node that forwarded says who served; one that names itself may merely have relayed, and teaches nothing.
            if (operation.Route == RouteKind.Leader && answer.Node != from && answer.Regime != Regime.Provisional)
            {
                operation.Shard!.Learn(answer.Node);
            }

            return NextStep.Complete;
        }

        Note(operation, answer, from);
        if (answer.Code == Code.RequestExpired && operation.Wire.MayHaveHappened && operation.Route == RouteKind.FirstReplica)
        {
            // This replica can't tell whether the increment was counted. Whoever took it, or has got it from there, can.
            operation.Tried.Add(from);
            return Pause(operation, nowMs);
        }

        switch (AnswerPolicy.Judge(answer))
        {
            case Verdict.TryElsewhere:
                operation.Tried.Add(from);
                return NextStep.Choose;
            case Verdict.PauseThenElsewhere:
                operation.Tried.Add(from);
                return Pause(operation, nowMs);
            case Verdict.Pause:
                return Pause(operation, nowMs);
            case Verdict.SeekQuorum:
                return SeekQuorum(operation, from, nowMs);
            case Verdict.Relearn when !operation.Unresolved:
                operation.Wire.Epoch = Math.Max(answer.Epoch, operation.Wire.Epoch);
                return Pause(operation, nowMs);
            case Verdict.Relearn:
                return NextStep.Report(KvCode.EpochPassed, "the keyspace has changed its mode since the write was first tried, and nothing tells what became of that attempt");
            default:
                return answer.Code == Code.ConditionFailed && operation.IsConditional ? NextStep.Complete : NextStep.Report((KvCode)answer.Code, answer.Reason);
        }
    }

    /// <summary>The attempt ended without an answer; another node is next.</summary>
    public static void OnLost(KvOperation operation, uint from, AttemptLoss loss)
    {
        operation.Phase = loss switch
        {
            AttemptLoss.NeverConnected => KvPhase.Connecting,
            AttemptLoss.NeverSent => KvPhase.Queued,
            _ => KvPhase.Sent,
        };
        operation.Unresolved |= loss == AttemptLoss.Sent && operation.IsWrite;
        operation.MayBeInOverlay |= operation.Unresolved && operation.Shard is { IsAdaptive: true };
        if (loss == AttemptLoss.Sent && operation.Shard is { IsAdaptive: true } shard)
        {
            // Perhaps the leader is on the other side, and this side serves provisionally: others need not find out anew.
            shard.Forget(from);
        }

        operation.Tried.Add(from);
    }

    /// <summary>The deadline has passed: a refusal that still stood is the better reason.</summary>
    public NextStep OnDeadline(KvOperation operation, long nowMs)
    {
        if (operation.AwaitsFirstTopology)
        {
            (KvCode code, string reason) = seeds.AtDeadline(nowMs);
            return NextStep.Report(code, reason);
        }

        bool refused = operation.Phase == KvPhase.Server && operation.LastCode != KvCode.None && !operation.Unresolved;
        return refused
            ? NextStep.Report(operation.LastCode, $"still {Failure.Describe(operation.LastCode)} when the deadline passed{(operation.LastReason is { Length: > 0 } r ? ": " + r : "")}")
            : NextStep.Report(KvCode.DeadlineExceeded, operation.Shard is null ? operation.LastReason : null);
    }

    /// <summary>What a refusal tells of the shard and of the operation, whatever comes next.</summary>
    private static void Note(KvOperation operation, in WireResult answer, uint from)
    {
        operation.LastCode = (KvCode)answer.Code;
        operation.LastReason = answer.Reason;
        operation.LastMissing = answer.Missing;
        operation.Unresolved |= operation.IsWrite && answer.Outcome != Outcome.NotDone;
        operation.MayBeInOverlay |= operation.Unresolved && operation.Shard is { IsAdaptive: true };
        if (answer.LeaderHint != 0)
        {
            operation.Shard!.Learn(answer.LeaderHint);
        }
        else if (answer.Code == Code.NotLeader)
        {
            operation.Shard!.Forget(from);
        }

        if (answer.Code is Code.NoLeader or Code.NotLeader or Code.LeadershipLost)
        {
            // This replica can reach a majority, which will have a leader again soon: another's "no quorum" is that one's own trouble.
            operation.SawMajority = true;
            operation.GiveUpMs = long.MaxValue;
        }
    }

    /// <summary>Finds the shard; a step: it can't, and this is to be done instead.</summary>
    private NextStep? Resolve(KvOperation operation, ClusterMap? map, long nowMs)
    {
        operation.AwaitsFirstTopology = map is null;
        if (map is null && seeds.OnlyStrangersSince(operation.StartedMs) is { } strangers)
        {
            operation.Phase = KvPhase.Connecting;
            return NextStep.Report(KvCode.Unsupported, strangers);
        }

        KeyspaceRoute? keyspace = map?.Find(operation.Keyspace);
        if (keyspace is null || keyspace.Shards.Length == 0)
        {
            if (map is { IsComplete: true } && nowMs >= operation.StartedMs + KeyspaceGraceMs)
            {
                return NextStep.Report(KvCode.UnknownKeyspace, null);
            }

            operation.LastReason = map is { IsComplete: false } ? NobodyKnows : null;
            operation.Phase = KvPhase.Connecting;
            operation.WakeAtMs = nowMs + TopologyPollMs;
            return NextStep.AwaitTopology;
        }

        if (operation.Session is { } foreign && foreign.IsOfAnotherCluster(map!.Public.ClusterId))
        {
            return NextStep.Report(KvCode.InvalidArgument, "the session token is of another cluster: begin a new session");
        }

        ref WireOperation wire = ref operation.Wire;
        wire.KeyspaceId = keyspace.Id;
        int shard = wire.Kind == OperationKind.Scan ? (int)wire.Shard : KeyRouting.ShardOf(wire.Key.Span, keyspace.Shards.Length);
        if (shard >= keyspace.Shards.Length)
        {
            return NextStep.Report(KvCode.StaleEpoch, "the keyspace has fewer shards than when the scan began");
        }

        operation.Shard = keyspace.Shards[shard];
        if (operation.IsWrite && !operation.Unresolved)
        {
            // Nothing was taken of it yet: it is a write of the present epoch. Once an attempt may have been taken, only its own epoch can tell.
            wire.Epoch = Math.Max(wire.Epoch, operation.Shard.Epoch);
        }

        // A replica of an ap keyspace that can't tell what became of the first attempt must not count again.
        wire.MayHaveHappened = wire.Kind == OperationKind.Increment && operation.Unresolved;
        operation.ShardNumber = (uint)shard;
        if (operation.Session is { } session)
        {
            wire.SessionPosition = session.PositionIn(keyspace.Id, operation.ShardNumber);
        }

        operation.Route = RouteOf(operation, keyspace);
        return null;
    }

    /// <summary>
    /// Reads that any replica may answer go to the nearest. Not so eventual reads of ap keyspaces, unless they ask for it: from the replica that takes the writes they are least surprising.
    /// </summary>
    private static RouteKind RouteOf(KvOperation operation, KeyspaceRoute keyspace)
    {
        ref WireOperation wire = ref operation.Wire;
        ReadLevel level = wire.Level == ReadLevel.Unspecified ? keyspace.DefaultReadLevel : wire.Level;
        bool anyReplica = !operation.IsWrite && (wire.ServeAtReplica || level is ReadLevel.Session or ReadLevel.Bounded || (level == ReadLevel.Eventual && !operation.Shard!.IsOpen));
        return anyReplica ? RouteKind.Nearest : operation.Shard!.IsOpen ? RouteKind.FirstReplica : RouteKind.Leader;
    }

    /// <summary>Every node that could be asked has been.</summary>
    private NextStep EndRound(KvOperation operation, long nowMs)
    {
        if (operation.LastCode is KvCode.SessionBehind or KvCode.TooStale && nowMs >= operation.StartedMs + QuorumSearchMs)
        {
            return NextStep.Report(operation.LastCode, operation.LastReason);
        }

        bool mayBeServedSoon = operation.Shard!.IsAdaptive && operation.LastCode == KvCode.NoQuorum;
        if (operation.SawNoQuorum && !operation.SawMajority && !operation.RetryNoQuorumUntilDeadline && !mayBeServedSoon)
        {
            return NextStep.Report(NoMajority(operation), operation.LastReason);
        }

        operation.Tried.Clear();
        operation.SawMajority = false;
        return Pause(operation, nowMs);
    }

    private NextStep SeekQuorum(KvOperation operation, uint from, long nowMs)
    {
        operation.Tried.Add(from);
        if (!operation.RetryNoQuorumUntilDeadline && !operation.SawMajority)
        {
            int search = operation.Shard!.IsAdaptive && operation.LastCode == KvCode.NoQuorum
                ? Math.Max(QuorumSearchMs, operation.Shard.ProvisionalAfterMs + ProvisionalGraceMs)
                : QuorumSearchMs;
            operation.GiveUpMs = Math.Min(operation.GiveUpMs, nowMs + search);
            if (nowMs >= operation.GiveUpMs)
            {
                return NextStep.Report(NoMajority(operation), operation.LastReason);
            }
        }

        return Pause(operation, nowMs);
    }

    /// <summary>What a side without a majority said last.</summary>
    private static KvCode NoMajority(KvOperation operation) =>
        operation.LastCode is KvCode.ProvisionalRefused or KvCode.OverlayFull ? operation.LastCode : KvCode.NoQuorum;

    /// <summary>Jittered and growing, 5 to 100 ms.</summary>
    private NextStep Pause(KvOperation operation, long nowMs)
    {
        int ceiling = Math.Min(MaxBackoffMs, MinBackoffMs << Math.Min(operation.Backoffs++, 8));
        operation.WakeAtMs = nowMs + random.Next((ceiling + 1) / 2, ceiling + 1);
        return NextStep.Pause;
    }
}
